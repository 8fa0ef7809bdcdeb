"""Other grids for the same function: exact two-scale refinement, and least squares for the rest."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from kanfield.splines.backend import full_precision
from kanfield.splines.basis import Grid, active_basis, locate


@functools.lru_cache(maxsize=64)
def two_scale_matrix(size: int, factor: int, order: int) -> Tensor:
    """Matrix P with ``fine = P @ coarse``: the same splines on ``factor`` times as many cells, exactly.

    A B-spline is the sum of the finer ones weighted by the coefficients of
    ``(1 + z + ... + z^(factor-1))^(order+1) / factor^order``.

    Args:
        size: coarse cells ``G``.
        factor: whole number of fine cells in a coarse one.
        order: 1 to 5.

    Returns:
        float64, shape ``(factor * G + order, G + order)``; rows sum to one.

    >>> two_scale_matrix(1, 2, 1).tolist()
    [[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
    """
    # On the CPU whatever the default device is: the result is cached.
    mask = torch.ones(1, dtype=torch.float64, device="cpu")
    box = torch.ones(1, 1, factor, dtype=torch.float64, device="cpu")
    for _ in range(order + 1):
        mask = torch.nn.functional.conv1d(mask[None, None], box, padding=factor - 1)[0, 0]
    mask = mask / factor**order
    matrix = torch.zeros(factor * size + order, size + order, dtype=torch.float64, device="cpu")
    for coarse in range(size + order):
        for m, value in enumerate(mask):
            fine = factor * (coarse - order) + order + m  # left knots of both bases agree at m = 0
            if 0 <= fine < matrix.shape[0]:
                matrix[fine, coarse] = value
    return matrix


def refine(coef: Tensor, size: int, factor: int, order: int) -> Tensor:
    """Coefficients of the same function on a grid of ``factor * size`` cells over the same range.

    Args:
        coef: coefficients, shape ``(I * (size + order), O)``.
        size: cells of the present grid.
        factor: whole number of new cells in a present one.
        order: 1 to 5.

    Returns:
        Shape ``(I * (factor * size + order), O)``, differentiable in ``coef``.

    >>> refine(torch.tensor([[0.0], [1.0]]), size=1, factor=2, order=1).flatten().tolist()
    [0.0, 0.5, 1.0]
    """
    return apply_two_scale(two_scale_matrix(size, factor, order).to(coef), coef)


def apply_two_scale(matrix: Tensor, coef: Tensor) -> Tensor:
    """``matrix`` times the coefficients of every input.

    Args:
        matrix: shape ``(K_fine, K_coarse)``.
        coef: shape ``(I * K_coarse, O)``.

    Returns:
        Shape ``(I * K_fine, O)``.

    >>> apply_two_scale(torch.ones(3, 2), torch.ones(4, 5)).shape
    torch.Size([6, 5])
    """
    outputs = coef.shape[1]
    with full_precision(coef.device):  # a refinement in half would not be exact
        finer = torch.matmul(matrix, coef.reshape(-1, matrix.shape[1], outputs))
    return finer.reshape(-1, outputs)


def refit(coef: Tensor, old: Grid, new: Grid, order: int) -> Tensor:
    """Coefficients on ``new`` closest to the function on ``old``, by least squares for each spline alone.

    The fit runs over ``4 * new.size + order + 1`` evenly spaced points of the new range; where that leaves
    the old one it follows the linear continuation. A function that the new grid can hold is kept to rounding.

    Args:
        coef: coefficients, shape ``(I * (old.size + order), O)``.
        old: the grid of ``coef``.
        new: the grid to move to.
        order: 1 to 5.

    Returns:
        Shape ``(I * (new.size + order), O)``, without a graph.

    >>> grid = Grid(torch.tensor([0.0]), torch.tensor([1.0]), 4)
    >>> wider = Grid(torch.tensor([0.0]), torch.tensor([2.0]), 8)
    >>> line = torch.arange(-1.0, 6.0).reshape(-1, 1)
    >>> refit(line, grid, wider, order=3).flatten().round(decimals=3)[:3:2].tolist()
    [-1.0, 1.0]
    """
    with torch.no_grad():
        points, solve = _collocation(new.size, order, coef.dtype, coef.device)
        x = new.lower + points[:, None] * (new.upper - new.lower)  # (M, I)
        values = _each_spline(x, coef, old, order)  # (I, M, O)
        return torch.matmul(solve, values).reshape(-1, coef.shape[1])


def design_matrix(points: Tensor, size: int, order: int) -> Tensor:
    """All ``size + order`` B-splines at points of [0, 1]: the dense basis, for problems of one grid.

    Args:
        points: shape ``(M,)``.
        size: cells on [0, 1].
        order: 1 to 5.

    Returns:
        Shape ``(M, size + order)``; rows sum to one.

    >>> design_matrix(torch.tensor([0.25]), size=2, order=1).tolist()
    [[0.5, 0.5, 0.0]]
    """
    scale = torch.full_like(points[:1], size)
    cells = locate(points[:, None], torch.zeros_like(scale), scale, size)
    basis = points.new_zeros(len(points), size + order)
    for j, b in enumerate(active_basis(cells, scale, order)):
        basis.scatter_(1, cells.cell + j, b)
    return basis


def gram_matrix(size: int, order: int) -> Tensor:
    """Means over a grid's range of the products of any two of its B-splines.

    By Gauss-Legendre quadrature in every cell, which is exact for their degree.

    Args:
        size: cells of the grid.
        order: 1 to 5.

    Returns:
        float64, shape ``(K, K)`` with ``K = size + order``.

    >>> gram_matrix(1, 1).mul(6).round(decimals=9).tolist()
    [[2.0, 1.0], [1.0, 2.0]]
    """
    nodes, weights = np.polynomial.legendre.leggauss(order + 1)
    inside = torch.from_numpy((nodes + 1) / 2)
    points = (torch.arange(size, dtype=torch.float64)[:, None] + inside).reshape(-1) / size
    basis = design_matrix(points, size, order)
    return basis.T @ (torch.from_numpy(weights / 2).repeat(size)[:, None] / size * basis)


@functools.lru_cache(maxsize=64)
def _collocation(size: int, order: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points of the fit in [0, 1], shape (M,), and the matrix from values there to coefficients, (K, M).

    Kept on the device: grids move while a fit goes on, and a copy to a GPU would wait for it.
    """
    points = torch.linspace(0, 1, 4 * size + order + 1, dtype=torch.float64, device="cpu")
    basis = design_matrix(points, size, order)
    # Uniform B-splines are well conditioned, so the normal equations lose nothing.
    gram = torch.linalg.cholesky(basis.T @ basis)
    solve = torch.cholesky_solve(basis.T.contiguous(), gram)
    return points.to(dtype).to(device), solve.to(dtype).to(device)


def _each_spline(x: Tensor, coef: Tensor, grid: Grid, order: int) -> Tensor:
    """Values (I, M, O) of the splines of every input at points x (M, I), not summed over inputs."""
    inputs, rows = x.shape[1], grid.size + order
    cells = locate(x, grid.lower, grid.scale, grid.size)
    first = cells.cell + rows * torch.arange(inputs, device=x.device)
    taps = active_basis(cells, grid.scale, order)
    total = sum(b[:, :, None] * coef[first + j] for j, b in enumerate(taps))
    assert isinstance(total, Tensor)
    return total.transpose(0, 1)
