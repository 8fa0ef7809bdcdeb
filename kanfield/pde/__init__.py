"""Partial differential equations as least squares: residuals, exact derivatives, Levenberg-Marquardt."""

from kanfield.pde.problem import Condition, Problem, Reference

__all__ = ["Condition", "Problem", "Reference"]
