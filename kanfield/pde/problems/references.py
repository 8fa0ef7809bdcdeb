"""What a solution is compared with: the exact one, or the one that another method computed."""

from __future__ import annotations

import numpy as np
import torch

from kanfield.errors import InputError
from kanfield.pde.checks import call
from kanfield.pde.problem import Problem, Reference

_SIDE = {1: 401, 2: 201, 3: 41}  # points along each coordinate where an exact solution is compared


def grid_of(problem: Problem) -> Reference:
    """The grid on which an exact solution is compared, and other solutions are drawn, with the exact values.

    Raises:
        InputError: the box has more than three coordinates.
    """
    if len(problem.box) not in _SIDE:
        raise InputError(
            f"{problem.name}: its box has {len(problem.box)} coordinates: solve takes up to three"
        )
    side = _SIDE[len(problem.box)]
    axes = [np.linspace(low, high, side) for low, high in problem.box.values()]
    empty = Reference(axes, np.zeros([side] * len(axes)))
    if problem.exact is None:
        return empty
    points, exact = empty.points(), problem.exact
    # As a number, too: a constant is a solution.
    values = call(problem, "its exact solution", lambda: torch.as_tensor(exact(*points.T)) + 0 * points[:, 0])
    grid: Reference = call(
        problem,
        f"its exact solution on {len(points):,} points",
        lambda: Reference(axes, values.detach().reshape(empty.values.shape).numpy()),
    )
    return grid


def find_reference(problem: Problem) -> Reference | None:
    """What a problem is compared with: its exact solution, a solver's, or None.

    Raises:
        InputError: one of them fails, or is not of its shape.
    """
    if problem.exact is not None:
        return grid_of(problem)
    if problem.reference is None:
        return None
    found = call(problem, "its reference", problem.reference)
    if not isinstance(found, Reference):
        raise InputError(f"{problem.name}: its reference gives a {type(found).__name__}: give a Reference")
    return found


def until(reference: Reference, axis: int | None, share: float) -> Reference:
    """The part of a reference up to a share of the time, of three times at least."""
    if axis is None or share >= 1:
        return reference
    time_points = reference.axes[axis]
    count = int(np.searchsorted(time_points, time_points[0] + share * np.ptp(time_points), "right"))
    count = max(3, count)  # what differences on the grid take
    axes = [points[:count] if n == axis else points for n, points in enumerate(reference.axes)]
    return Reference(axes, np.take(reference.values, range(count), axis))
