"""Levenberg-Marquardt for small dense problems whose Jacobian is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular

Array = NDArray[np.float64]

_MAX_REJECTED = 12  # steps in a row; the damping then has grown by 2^78


@dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended.

    Attributes:
        parameters: shape ``(P,)``.
        cost: sum of squared residuals there.
        iterations: steps that were accepted.
        evaluations: of the residual, accepted or not.
    """

    parameters: Array
    cost: float
    iterations: int
    evaluations: int


def levenberg_marquardt(
    residual: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    start: Any,
    *,
    iterations: int = 100,
    tolerance: float = 1e-12,
    damping: float = 1e-3,
) -> Minimum:
    """Minimise a sum of squares by Levenberg-Marquardt steps with Nielsen's rule for the damping.

    Columns of the Jacobian are scaled to length one, so that parameters of different units are damped alike.
    The steps come from a QR factorisation: normal equations would lose half the digits.

    Args:
        residual: of parameters ``(P,)`` the residuals ``(M,)``; where one is not finite, the step is refused.
        jacobian: of parameters ``(P,)`` the derivatives of the residuals, ``(M, P)``.
        start: parameters to begin with, ``(P,)``.
        iterations: accepted steps at most.
        tolerance: ends when the cost, or the step, falls by less than this fraction; 0 or more.
        damping: at the start, relative to the scaled Jacobian.

    Returns:
        The minimum that was found; at worst the start.

    >>> t = np.linspace(0, 1, 20)
    >>> def difference(p):
    ...     return p[0] * np.exp(p[1] * t) - 2 * np.exp(-3 * t)
    >>> def slopes(p):
    ...     return np.stack([np.exp(p[1] * t), p[0] * t * np.exp(p[1] * t)], 1)
    >>> levenberg_marquardt(difference, slopes, [1.0, 0.0]).parameters.round(9).tolist()
    [2.0, -3.0]
    """
    with np.errstate(all="ignore"):
        p = np.array(start, dtype=np.float64)
        r = residual(p)
        cost = float(r @ r)
        evaluations, accepted = 1, 0
        if not p.size or not np.isfinite(cost):
            return Minimum(p, cost, 0, evaluations)
        growth = 2.0
        while accepted < iterations:
            matrix = jacobian(p)
            if not np.isfinite(matrix).all():
                break
            scale = np.linalg.norm(matrix, axis=0)
            scale[scale == 0] = 1.0
            q, upper = qr(matrix / scale, mode="economic", check_finite=False)
            target = -(q.T @ r)
            moved = False
            for _ in range(_MAX_REJECTED):
                step = _damped_step(upper, target, damping) / scale
                candidate = p + step
                r_new = residual(candidate)
                evaluations += 1
                new = float(r_new @ r_new)
                linear = matrix @ step + r
                predicted = cost - float(linear @ linear)
                if np.isfinite(new) and new < cost:
                    gain = min((cost - new) / max(predicted, 1e-300), 2.0)
                    damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
                    damping, growth, moved = max(damping, 1e-15), 2.0, True
                    break
                damping, growth = damping * growth, growth * 2
            if not moved:
                break
            accepted += 1
            small = float(np.linalg.norm(step * scale)) <= tolerance * float(np.linalg.norm(p * scale))
            done = cost - new <= tolerance * cost or small
            p, r, cost = candidate, r_new, new
            if done:
                break
        return Minimum(p, cost, accepted, evaluations)


def _damped_step(upper: Array, target: Array, damping: float) -> Array:
    """Solve ``min |R s - t|^2 + damping |s|^2`` by a second, small QR factorisation."""
    size = upper.shape[1]
    stacked = np.concatenate([upper, np.sqrt(damping) * np.eye(size)])
    q, r = qr(stacked, mode="economic", check_finite=False)
    diagonal = np.abs(np.diag(r))
    if diagonal.min() <= 1e-15 * diagonal.max():
        return np.zeros(size)
    full = np.concatenate([target, np.zeros(size)])
    step: Array = solve_triangular(r, q.T @ full, check_finite=False)
    return step
