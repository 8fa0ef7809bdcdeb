"""The outer layer of a KAN by linear least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from kanfield.pde.jacobian import outer_size
from kanfield.pde.jets import spline_layers
from kanfield.pde.system import System

_MOST = 2**27  # numbers of a matrix: 1 GB


def solve_outer_layer(system: System) -> None:
    """Give a KAN's last layer the coefficients that one linear least-squares problem asks for.

    For a linear equation they are the best that the inner layers, fresh or just refined, allow (variable
    projection); where the equation is not linear, or the step does not help, the field stays as it was. So
    it does where the layer is so wide that the triangle of its problem would fill the memory.
    """
    layers = spline_layers(system.field)
    outer = outer_size(layers) if layers else 0
    if not outer or outer**2 > _MOST:
        return
    before = system.parameters
    r, matrix = _equations(system, outer)
    # Splines of several inputs share their constants, so the columns have no full rank.
    step = torch.linalg.lstsq(matrix, -r[:, None], rcond=1e-10, driver="gelsy").solution[:, 0]
    after = before.clone()
    after[-outer:] += step
    if not float(system.residual(after).norm()) < 0.5 * float(r.norm()):
        system.parameters = before


def _equations(system: System, outer: int) -> tuple[Tensor, Tensor]:
    """Residuals and their derivatives in the last layer, or a triangle of the same least squares."""
    count = sum(len(term.scale) for term in system.terms)
    if count * outer <= _MOST:
        parts = list(system.outer_blocks(count))
        return torch.cat([r for r, _ in parts]), torch.cat([matrix for _, matrix in parts])
    triangle = torch.zeros(0, outer + 1, dtype=torch.float64)
    for r, matrix in system.outer_blocks(max(outer, _MOST // (4 * outer))):
        block = torch.cat([matrix, r[:, None]], 1)
        triangle = torch.linalg.qr(torch.cat([triangle, block.to(triangle)]), mode="r").R
    return triangle[:, -1], triangle[:, :-1]
