"""The study ``ntk``."""
