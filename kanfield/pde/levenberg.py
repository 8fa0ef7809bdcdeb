"""Levenberg-Marquardt: nonlinear least squares with the exact Jacobian, in double precision.

Every step solves ``(J^T J + damping D^2) step = -J^T r``, where D holds the largest norms that the columns
of J have had (More, 1978), so that parameters of different units need no scaling. The damping follows the
ratio of the decrease found to the decrease predicted (Nielsen, 1999): it falls to a third at most, so that a
step far from the solution does not rush into the nearest basin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_FIRST_DAMPING = 1e-2
_LEAST_DAMPING, _LARGEST_DAMPING = 1e-14, 1e12
_LEAST_RATIO = 1e-3  # of the decrease found to that predicted, for a step to be taken
_STALLED = 1e-9  # relative decrease of the loss below which ten steps in a row end the search


@dataclass
class Progress:
    """Where a search stands.

    Attributes:
        step: steps tried.
        loss: sum of squares over two.
        damping: of the next step.
        accepted: whether the last step was taken.
    """

    step: int
    loss: float
    damping: float
    accepted: bool


def levenberg_marquardt(
    parameters: Tensor,
    residual: Callable[[Tensor], Tensor],
    jacobian: Callable[[Tensor], tuple[Tensor, Tensor]],
    steps: int,
    *,
    watch: Callable[[Progress, Tensor], bool] | None = None,
) -> Tensor:
    """Minimise ``sum(residual(parameters)^2) / 2``.

    Args:
        parameters: start, shape ``(P,)``, float64.
        residual: gives ``(N,)``.
        jacobian: gives ``(N,)`` and ``(N, P)``.
        steps: to try at most; those that are refused count.
        watch: called after every step with the progress and the parameters; returns whether to go on.

    Returns:
        The best parameters found, shape ``(P,)``.

    Raises:
        ValueError: the residual is not finite at the start.

    >>> t = torch.linspace(0, 1, 20, dtype=torch.float64)
    >>> def residual(p):
    ...     return p[0] * torch.exp(p[1] * t) - 2 * torch.exp(-3 * t)
    >>> def both(p):
    ...     return residual(p), torch.func.jacrev(residual)(p)
    >>> start = torch.tensor([1.0, 0.0], dtype=torch.float64)
    >>> levenberg_marquardt(start, residual, both, 30).round(decimals=6).tolist()
    [2.0, -3.0]
    """
    r, matrix = jacobian(parameters)
    if not bool(torch.isfinite(r).all()):
        raise ValueError("the residual is not finite at the start")
    loss, damping, growth, stalled = float(r @ r) / 2, _FIRST_DAMPING, 2.0, 0
    squares = torch.zeros_like(parameters)
    gram = gradient = scale = parameters
    fresh = True
    for step in range(1, steps + 1):
        if fresh:
            gram, gradient = matrix.T @ matrix, matrix.T @ r
            squares = torch.maximum(squares, gram.diagonal())
            # A coefficient that no sample reaches has no column; damping alone then keeps it.
            scale = squares.clamp_min(1e-16 * float(squares.max()) + 1e-300).sqrt()
            gram, gradient = gram / torch.outer(scale, scale), gradient / scale
        move, predicted = _solve(gram, gradient, damping)
        trial = parameters + move / scale
        found = residual(trial)
        trial_loss = float(found @ found) / 2
        ratio = (loss - trial_loss) / predicted if trial_loss == trial_loss and predicted > 0 else -1.0
        fresh = ratio > _LEAST_RATIO
        if fresh:
            stalled = stalled + 1 if loss - trial_loss < _STALLED * loss else 0
            parameters, loss = trial, trial_loss
            damping = max(_LEAST_DAMPING, damping * max(1 / 3, 1 - (2 * ratio - 1) ** 3))
            growth = 2.0
        else:
            damping, growth = damping * growth, growth * 2
        going = watch is None or watch(Progress(step, loss, damping, fresh), parameters)
        if not going or damping > _LARGEST_DAMPING or stalled >= 10 or loss == 0:
            break
        if fresh and step < steps:
            r, matrix = jacobian(parameters)
    return parameters


def _solve(gram: Tensor, gradient: Tensor, damping: float) -> tuple[Tensor, float]:
    """The step in scaled parameters, and the decrease of the loss that the linear model predicts."""
    damped = gram.clone()
    damped.diagonal().add_(damping)
    factor, failed = torch.linalg.cholesky_ex(damped)
    if bool(failed):  # rounding has made the matrix indefinite: more damping will do
        return torch.zeros_like(gradient), 0.0
    move = -torch.cholesky_solve(gradient[:, None], factor)[:, 0]
    return move, float(damping * (move @ move) - gradient @ move) / 2
