"""The outer layer of a KAN by linear least squares."""

from __future__ import annotations

import torch

from kanfield.pde.jets import spline_layers
from kanfield.pde.system import System


def solve_outer_layer(system: System) -> None:
    """Give a KAN's last layer the coefficients that one linear least-squares problem asks for.

    For a linear equation they are the best that the inner layers, fresh or just refined, allow (variable
    projection); where the equation is not linear, or the step does not help, the field stays as it was.
    """
    layers = spline_layers(system.field)
    if layers is None:
        return
    before = system.parameters
    r, matrix = system.jacobian(before)
    outer = sum(p.numel() for p in layers[-1].parameters())
    # Splines of several inputs share their constants, so the columns have no full rank.
    step = torch.linalg.lstsq(matrix[:, -outer:], -r[:, None], rcond=1e-10, driver="gelsy").solution[:, 0]
    after = before.clone()
    after[-outer:] += step
    if not float(system.residual(after).norm()) < 0.5 * float(r.norm()):
        system.parameters = before
