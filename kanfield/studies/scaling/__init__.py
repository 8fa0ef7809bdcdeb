"""The study ``scaling``."""
