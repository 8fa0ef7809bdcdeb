"""How well splines of G cells approximate smooth functions, in C^m: eq. 3 of the poster, measured.

For a composition of two layers whose edges are known smooth functions, every edge is replaced by its best
spline, as in the theorem, and derivatives of order m are compared at many points. Theory: the error falls as
``G^-(k + 1 - m)`` for splines of order k (arXiv:2404.19756, theorem 2.1).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from kanfield.splines import Grid, spline
from kanfield.splines.refine import design_matrix

POINTS = 20_001  # at which errors are measured; not a multiple of a grid's cells
GRIDS = (20, 28, 40, 56, 80, 112, 160)
_DERIVATIVES = 3  # C^0, C^1, C^2


def inner(x: Tensor, derivative: int) -> Tensor:
    """The first edge, ``sin(pi x) / pi``, or a derivative of it."""
    scale: float = math.pi ** (derivative - 1)
    values: Tensor = scale * torch.sin(math.pi * x + derivative * math.pi / 2)
    return values


def outer(u: Tensor, derivative: int) -> Tensor:
    """The second edge, ``exp(2 u)``, or a derivative of it."""
    scale: float = 2.0**derivative
    return scale * torch.exp(2 * u)


def chain(first: list[Tensor], second: list[Tensor]) -> list[Tensor]:
    """Value, first and second derivative of a composition from those of its two edges, each ``(M,)``."""
    slope = second[1] * first[1]
    return [second[0], slope, second[2] * first[1].square() + second[1] * first[2]]


def best_spline(values: Tensor, positions: Tensor, size: int, order: int) -> Tensor:
    """Least-squares coefficients of a spline on [0, 1].

    Args:
        values: to fit, shape ``(M,)``.
        positions: of the values in [0, 1], shape ``(M,)``.
        size: cells G.
        order: k, the degree: 1, 2 or 3.

    Returns:
        Shape ``(G + k, 1)``.
    """
    basis = design_matrix(positions, size, order)
    coef: Tensor = torch.linalg.lstsq(basis, values[:, None], driver="gelsd").solution
    return coef


def errors(size: int, order: int) -> list[float]:
    """Largest errors in the derivatives of order 0, 1 and 2, up to the order of the spline.

    Args:
        size: cells G of both edges' grids.
        order: k, the degree of the splines: 1, 2 or 3.
    """
    x = torch.linspace(-1, 1, POINTS, dtype=torch.float64)
    fine = torch.linspace(0, 1, 40 * size + 1, dtype=torch.float64)
    true_first = [inner(x, m) for m in range(_DERIVATIVES)]
    true = chain(true_first, [outer(true_first[0], m) for m in range(_DERIVATIVES)])
    low, high = -1 / math.pi, 1 / math.pi
    first_coef = best_spline(inner(2 * fine - 1, 0), fine, size, order)
    second_coef = best_spline(outer(low + (high - low) * fine, 0), fine, size, order)
    first = _evaluate(x, first_coef, -1.0, 1.0, size, order)
    second = _evaluate(first[0], second_coef, low, high, size, order)
    approximated = chain(first, second)[: order + 1]
    return [float((a - b).abs().max()) for a, b in zip(approximated, true, strict=False)]


def _evaluate(x: Tensor, coef: Tensor, low: float, high: float, size: int, order: int) -> list[Tensor]:
    grid = Grid(x.new_tensor([low]), x.new_tensor([high]), size)
    return [spline(x[:, None], coef, grid, order, derivative=m)[:, 0] for m in range(_DERIVATIVES)]
