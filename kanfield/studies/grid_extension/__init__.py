"""The study ``grid-extension``."""
