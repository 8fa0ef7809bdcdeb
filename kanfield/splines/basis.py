"""Uniform B-splines: the k+1 basis functions that do not vanish on a cell, as polynomials there.

A grid of ``G`` cells on ``[lower, upper]`` carries ``K = G + k`` B-splines of order ``k``, their knots going
on past both borders with the same spacing; only ``k + 1`` of them are non-zero at any point. See de Boor,
*A Practical Guide to Splines*, 1978; the notation is that of KAN (arXiv:2404.19756).
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from numpy.polynomial import Polynomial
from torch import Tensor

ORDERS = (1, 2, 3, 4, 5)


class Grid(NamedTuple):
    """Uniform cells for every input.

    Args:
        lower: left borders, shape ``(I,)``.
        upper: right borders, shape ``(I,)``, each above its left border.
        size: number of cells ``G``, the same for all inputs.
    """

    lower: Tensor
    upper: Tensor
    size: int

    @property
    def scale(self) -> Tensor:
        """Cells per unit of x, shape ``(I,)``."""
        return self.size / (self.upper - self.lower)


class Cells(NamedTuple):
    """Where numbers lie on their grids; all tensors have the shape of x.

    Attributes:
        cell: number of the cell (int64), of the nearest one outside the grid.
        local: coordinate from that cell's left border, in cells: in [0, 1] inside the grid, negative or above
            1 outside it.
        outside: -1 below the grid, 1 above it and 0 inside (int8).
    """

    cell: Tensor
    local: Tensor
    outside: Tensor


def locate(x: Tensor, lower: Tensor, scale: Tensor, size: int) -> Cells:
    """Cells of ``x``; NaN goes to cell 0 with a local coordinate of NaN.

    Args:
        x: numbers, shape ``(..., I)``.
        lower: left borders, shape ``(I,)``.
        scale: cells per unit of x, shape ``(I,)``.
        size: number of cells.

    >>> locate(torch.tensor([[0.5], [1.2]]), torch.tensor([0.0]), torch.tensor([4.0]), 4).cell.tolist()
    [[2], [3]]
    """
    position = (x - lower) * scale  # the native kernels compute this very expression
    detached = position.detach()
    cell = cell_at(detached, size)
    outside = (detached > size).to(torch.int8) - (detached < 0).to(torch.int8)
    return Cells(cell, position - cell, outside)


def cell_at(position: Tensor, size: int) -> Tensor:
    """Number (int64) of the cell at a position, of the nearest cell outside the grid; 0 for NaN.

    Args:
        position: distance from the grid's left border, in cells.
        size: number of cells.

    >>> cell_at(torch.tensor([-1.0, 2.5, 9.0]), 4).tolist()
    [0, 2, 3]
    """
    return torch.nan_to_num(position, nan=0.0).clamp(0, size - 1).to(torch.int64)


def active_basis(cells: Cells, scale: Tensor, order: int, derivative: int = 0) -> list[Tensor]:
    """The ``order + 1`` non-zero basis functions at ``cells``, or their derivatives in x.

    Outside the grid the value continues linearly with the border's slope, so the first derivative is that
    slope and higher ones are zero.

    Args:
        cells: where x lies, from :func:`locate`.
        scale: cells per unit of x, shape ``(I,)``.
        order: 1 to 5.
        derivative: order of the derivative in x.

    Returns:
        ``order + 1`` tensors of the cells' shape; tap ``j`` belongs to coefficient ``cells.cell + j``.

    Raises:
        ValueError: the order is not one of :data:`ORDERS`, or the derivative is negative.

    >>> grid = Grid(torch.tensor([0.0]), torch.tensor([4.0]), 4)
    >>> cells = locate(torch.tensor([[1.5]]), grid.lower, grid.scale, grid.size)
    >>> [round(b.item(), 3) for b in active_basis(cells, grid.scale, 2)]
    [0.125, 0.75, 0.125]
    """
    if order not in ORDERS:
        raise ValueError(f"spline order {order} is not one of {ORDERS}")
    if derivative < 0:
        raise ValueError(f"derivative order {derivative} is negative")
    if derivative > order:
        return [torch.zeros_like(cells.local) for _ in range(order + 1)]
    below, above = cells.outside < 0, cells.outside > 0
    border = torch.where(above, 1.0, torch.where(below, 0.0, cells.local))
    values = polynomials(border, order, derivative)
    if derivative == 0:
        beyond = cells.local - border
        return [b + beyond * s for b, s in zip(values, polynomials(border, order, 1), strict=True)]
    factor = scale**derivative
    if derivative >= 2:
        factor = torch.where(cells.outside != 0, 0.0, factor)
    return [b * factor for b in values]


def polynomials(t: Tensor, order: int, derivative: int) -> list[Tensor]:
    """The ``order + 1`` B-splines that do not vanish on a cell, or their derivatives in t.

    Args:
        t: coordinates within the cell, 0 to 1.
        order: 1 to 5.
        derivative: 0 to ``order``.

    >>> [b.item() for b in polynomials(torch.tensor(0.25), 1, 0)]
    [0.75, 0.25]
    """
    r, values = 1 - t, []
    for tap in range(order + 1):
        s = r if from_right(tap, order) else t
        *lower, top = coefficients(tap, order, derivative)
        value = 0 * s + top  # NaN stays
        for c in reversed(lower):
            value = value * s + c if c else value * s
        values.append(value)
    return values


def from_right(tap: int, order: int) -> bool:
    """Whether a tap is computed from its distance to the cell's right end, where few digits cancel."""
    return 2 * tap < order


@functools.cache
def coefficients(tap: int, order: int, derivative: int) -> tuple[float, ...]:
    """Coefficients of a B-spline's piece on a cell in powers of t, or of 1 - t where :func:`from_right`.

    Args:
        tap: 0 to ``order``.
        order: degree k.
        derivative: in t, 0 to ``order``.

    Returns:
        ``order - derivative + 1`` numbers, that of the constant first; the last is not zero.

    >>> coefficients(0, 2, 0), coefficients(1, 2, 0)
    ((0.0, 0.0, 0.5), (0.5, 1.0, -1.0))
    """
    mirrored = from_right(tap, order)
    piece = _pieces(order)[order - tap if mirrored else tap].deriv(derivative)
    sign = (-1) ** derivative if mirrored else 1
    return tuple(sign * float(c) / math.factorial(order) for c in piece.coef)


@functools.cache
def _pieces(order: int) -> list[Polynomial]:
    """All pieces in t by the recursion of Cox and de Boor, times ``order!``: their coefficients are whole."""
    if order == 0:
        return [Polynomial([1])]
    nothing = Polynomial([0])
    before = [nothing, *_pieces(order - 1), nothing]
    rising = [Polynomial([order - tap, 1]) * before[tap] for tap in range(order + 1)]
    falling = [Polynomial([tap + 1, -1]) * before[tap + 1] for tap in range(order + 1)]
    return [a + b for a, b in zip(rising, falling, strict=True)]
