"""The study ``poisson-1d``."""
