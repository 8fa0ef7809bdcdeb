"""Uniform B-splines: the operator and its grids. Knows nothing of networks or images."""

from kanfield.splines.backend import choose_backend, explain_backend, instruction_set, use_backend
from kanfield.splines.basis import ORDERS, Grid
from kanfield.splines.branch import spline_and_silu
from kanfield.splines.precision import PRECISIONS
from kanfield.splines.refine import refine, refit
from kanfield.splines.spline import spline

__all__ = [
    "ORDERS",
    "PRECISIONS",
    "Grid",
    "choose_backend",
    "explain_backend",
    "instruction_set",
    "refine",
    "refit",
    "spline",
    "spline_and_silu",
    "use_backend",
]
