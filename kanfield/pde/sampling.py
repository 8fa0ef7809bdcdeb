"""Points of an equation and its conditions: Sobol's, and more of them where the residual is large."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.stats import qmc
from torch import Tensor

from kanfield.errors import RunFailed
from kanfield.pde.problem import TIME, Condition, Problem

_POOL = 4  # candidates for each point that is kept


def inside_points(problem: Problem, count: int, seed: int, until: float = 1.0) -> Tensor:
    """Points of a scrambled Sobol sequence in the box.

    Args:
        problem: whose box.
        count: how many, ``N``.
        seed: of the scrambling.
        until: share of the time from its beginning, above 0 and up to 1.

    Returns:
        float64, shape ``(N, D)``.
    """
    upper = problem.upper
    for number, name in enumerate(problem.box):
        if name == TIME:
            upper[number] = problem.lower[number] + until * (upper[number] - problem.lower[number])
    sequence = qmc.Sobol(len(problem.box), seed=seed)
    unit = torch.from_numpy(sequence.random_base2(max(1, (count - 1).bit_length()))[:count])
    return problem.lower + unit * (upper - problem.lower)


def face_points(problem: Problem, condition: Condition, count: int, seed: int, until: float = 1.0) -> Tensor:
    """Points on the faces of a condition, as many on each; see :func:`inside_points`."""
    faces = problem.faces(condition)
    each = max(1, count // len(faces))
    parts = []
    for number, (coordinate, value) in enumerate(faces):
        points = inside_points(problem, each, seed + number, until)
        points[:, coordinate] = value
        parts.append(points)
    return torch.cat(parts)


def adaptive_points(
    problem: Problem, count: int, seed: int, until: float, residual: Callable[[Tensor], Tensor]
) -> Tensor:
    """Points drawn with a probability that grows with the residual (Wu et al., arXiv:2207.10289).

    They come from a pool of four times as many, with the density ``|r| / mean(|r|) + 1`` and none twice: half
    of them go where the residual is large, as long as the pool has so many there, and the others everywhere.
    A small region gets at most all the points that the pool has in it.

    Args:
        problem: whose box.
        count: how many, ``N``.
        seed: of the candidates and the draw.
        until: see :func:`inside_points`.
        residual: of points ``(M, D)``, shape ``(M,)``.

    Returns:
        float64, shape ``(N, D)``.

    Raises:
        RunFailed: the residual is not finite at a point.
    """
    pool = inside_points(problem, _POOL * count, seed, until)
    size = residual(pool).abs()
    lost = (~torch.isfinite(size)).nonzero()
    if len(lost):
        where = problem.place(pool[int(lost[0])])
        raise RunFailed(
            f"{problem.name}: the residual is not finite at {where}: give another --seed, fewer --widths, or "
            "an equation that has a value there; stretches that are done are kept"
        )
    density = size / size.mean().clamp_min(1e-300) + 1
    generator = torch.Generator().manual_seed(seed)
    return pool[torch.multinomial(density, count, generator=generator)]
