"""How much a residual matters: what it does to the solution until the end of the time.

A residual at a time t disturbs the solution there. Where the equation is ``r(u, u_t, ...) = 0``, a
disturbance grows at the rate ``-(dr/du) / (dr/du_t)`` as long as its neighbours do not even it out, so the
same residual can do a thousand times more harm in one place than in another. Weighted by the norm in time of
the disturbance that it causes, a small residual means a small error, as in the goal-oriented error estimates
of dual weighted residuals (Becker and Rannacher, 2001).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from kanfield.pde.jets import Jet
from kanfield.pde.problem import TIME, Problem

_NODES = 8  # spans of time along which a disturbance is followed
_AT_LEAST = 0.05  # share of the time for which it is followed, however late it comes
_LEAST = 0.1  # weight beside a root mean square of one: the equation holds everywhere
_FASTEST = 10.0  # rate over the whole time; faster ones are evened out by what the rate leaves out


def growth_weights(
    problem: Problem, jet_at: Callable[[Tensor], Jet], points: Tensor, until: float = 1.0
) -> Tensor:
    """Weights of residuals at points, with a mean square of one.

    Args:
        problem: whose equation.
        jet_at: the jet of the solution, as far as it is known, at points ``(M, D)``.
        points: shape ``(N, D)``.
        until: share of the time that is solved.

    Returns:
        Shape ``(N,)``, above zero; ones where the equation is not of first order in time.

    >>> grows = Problem({"x": (0, 1), "t": (0, 1)}, lambda u, x, t: u.dt - 5 * u)
    >>> flat = lambda p: Jet(*(torch.zeros(*n, len(p), 1) for n in ((), (2,), (2,))))
    >>> early, late = growth_weights(grows, flat, torch.tensor([[0.5, 0.0], [0.5, 0.9]]))
    >>> bool(early > 9 * late)
    True
    """
    names = list(problem.box)
    if TIME not in names:
        return torch.ones(len(points), dtype=points.dtype)
    axis = names.index(TIME)
    whole = float(problem.upper[axis] - problem.lower[axis])
    end = float(problem.lower[axis]) + until * whole
    length = (end - points[:, axis]).clamp_min(_AT_LEAST * whole) / _NODES
    later = points.repeat(_NODES + 1, 1)
    later[:, axis] += (torch.arange(_NODES + 1)[:, None] * length).reshape(-1)
    later[:, axis].clamp_(max=end)
    u = Jet(*(part.detach().requires_grad_() for part in jet_at(later)))
    with torch.enable_grad():
        r = problem.apply(problem.residual, u, later)
        value, first, second = torch.autograd.grad(r.sum(), u, allow_unused=True, materialize_grads=True)
    speed = first[axis, :, 0]
    if bool(second[axis].any()) or not bool((speed.abs() > 1e-9 * speed.abs().max()).all()):
        return torch.ones(len(points), dtype=points.dtype)
    rate = (-value[:, 0] / speed).nan_to_num().clamp(-_FASTEST / whole, _FASTEST / whole)
    rate = rate.reshape(_NODES + 1, -1)
    growth = 2 * torch.cat([torch.zeros_like(length)[None], ((rate[1:] + rate[:-1]) / 2 * length).cumsum(0)])
    # The integral of an exponential of a straight line, over every span.
    bend = growth.diff(dim=0)
    mean = torch.where(bend.abs() < 1e-6, torch.ones_like(bend), torch.expm1(bend) / bend)
    weights = ((growth[:-1].exp() * mean).sum(0) * length).sqrt() / speed[: len(points)].abs()
    weights = (weights.square() / weights.square().mean() + _LEAST**2).sqrt()
    return weights / weights.square().mean().sqrt()
