"""The study ``conditioning``."""
