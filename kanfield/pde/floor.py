"""What a field can represent: the fit of a problem's reference itself, which no solution need go below."""

from __future__ import annotations

import dataclasses

import torch
from scipy.interpolate import RectBivariateSpline
from torch import Tensor

from kanfield.errors import InputError
from kanfield.pde.plan import make_plan
from kanfield.pde.problem import Problem, Reference
from kanfield.pde.settings import SolveSettings
from kanfield.pde.solve import Row, Solver

_ORDER = 5  # of the splines between a reference's points


def fit_reference(
    problem: Problem, settings: SolveSettings, reference: Reference
) -> tuple[float, float, list[Row]]:
    """Fit the reference with the field that the settings would solve the problem with.

    Features and constraints are the problem's own; points, grids and optimiser those of a solution.

    Args:
        problem: of two coordinates.
        settings: of the field and the optimiser.
        reference: of the problem.

    Returns:
        Relative errors in L2 and in the H1 seminorm, and the rows of the fit.

    Raises:
        InputError: the box has not two coordinates, or a setting is impossible.
    """
    if len(problem.box) != 2:
        raise InputError(f"{problem.name}: references are fitted in two coordinates")
    fitting = difference(problem, reference)
    solver = Solver(fitting, settings, make_plan(fitting, settings), None, None)
    solver.run()
    return *reference.errors(solver.on_grid(reference) + reference.values), solver.rows


def difference(problem: Problem, reference: Reference) -> Problem:
    """The problem whose solution is zero: what is left of the solution without the reference.

    >>> from kanfield.pde.problems.catalogue import PROBLEMS
    >>> from kanfield.pde.problems.references import find_reference
    >>> problem = PROBLEMS["poisson-2d"]
    >>> left = difference(problem, find_reference(problem))
    >>> lift, _ = left.hold(torch.tensor([[0.5, 0.0]], dtype=torch.float64))[0]
    >>> abs(float(lift)) < 1e-12  # less u(0.5, 0), which is zero as well
    True
    """
    spline = RectBivariateSpline(*reference.axes, reference.values, kx=_ORDER, ky=_ORDER)

    def constraint(*coordinates: Tensor) -> tuple[Tensor, Tensor]:
        lift, mask = problem.hold(torch.stack(coordinates, 1)).unbind(1)
        known = spline(*(c.detach().numpy() for c in coordinates), grid=False)
        return lift - torch.from_numpy(known), mask

    return dataclasses.replace(
        problem,
        residual=lambda u, *coordinates: u,
        constraint=constraint,
        conditions=(),
        exact=None,
        reference=None,
        windows=1,
    )
