"""Comparisons: several models on the same images, each with the same budget."""
