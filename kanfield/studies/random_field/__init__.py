"""Regression of Gaussian random fields: ``kanfield study random-field``."""
