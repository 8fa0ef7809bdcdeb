"""The study ``random-field``."""
