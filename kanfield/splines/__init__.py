"""Uniform B-splines: the operator and its grids. Knows nothing of networks or images."""

from kanfield.splines.backend import choose_backend, explain_backend, use_backend
from kanfield.splines.basis import Grid
from kanfield.splines.spline import spline

__all__ = ["Grid", "choose_backend", "explain_backend", "spline", "use_backend"]
