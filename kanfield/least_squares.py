"""Levenberg-Marquardt for dense problems whose Jacobian is known exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import qr, solve_triangular
from torch import Tensor

Array = NDArray[np.float64]
Solve = Callable[[Array], Array]  # from residuals to a step

_MAX_REJECTED = 12  # steps in a row; the damping then has grown by 2^78
_SHORTEST = 1e-8  # length of a column, against the longest: damping alone keeps what no residual depends on
_BLOCKS = 8  # of a Gram matrix, along either side
_AHEAD = 0.1  # share of a step at which its turn is measured
_MOST_BEND = 0.5  # length of a turn beside its step's: further the parabola means nothing
_MANY = 200  # parameters above which Cholesky factorisations, several times faster, take the place of QR


@dataclass(frozen=True)
class Minimum:
    """Where a minimisation ended.

    Attributes:
        parameters: shape ``(P,)``.
        cost: sum of squared residuals there.
        iterations: steps that were accepted.
        evaluations: of the residual, accepted or not.
        damping: for the next step.
    """

    parameters: Array
    cost: float
    iterations: int
    evaluations: int
    damping: float


def levenberg_marquardt(
    residual: Callable[[Array], Array],
    jacobian: Callable[[Array], Array],
    start: Any,
    *,
    iterations: int = 100,
    tolerance: float = 1e-12,
    damping: float = 1e-3,
    geodesic: bool = False,
    watch: Callable[[Minimum], None] = lambda reached: None,
) -> Minimum:
    """Minimise a sum of squares by Levenberg-Marquardt steps with Nielsen's rule for the damping (1999).

    Columns of the Jacobian are scaled by the largest length that they have had (Moré, 1978): parameters of
    different units are damped alike, and one that fewer and fewer residuals depend on does not run away.
    The damping falls to a third at most, so that a step far from the solution does not rush into the nearest
    basin. Few parameters are found by QR factorisations, which lose no digits, many by the normal equations,
    more than there are residuals by equations of the residuals' number.

    In a narrow valley that turns, straight steps must be short. With ``geodesic`` every step follows the
    parabola along which the residuals change at an even rate (Transtrum and Sethna, arXiv:1201.5885), as long
    as it is nearly straight: one more residual, and one more solution with the same factors.

    Args:
        residual: of parameters ``(P,)`` the residuals ``(M,)``; where one is not finite, the step is refused.
        jacobian: of parameters ``(P,)`` the derivatives of the residuals, ``(M, P)``.
        start: parameters to begin with, ``(P,)``.
        iterations: accepted steps at most.
        tolerance: ends when the cost, or the step, falls by less than this fraction; 0 or more.
        damping: at the start, relative to the scaled Jacobian.
        geodesic: whether steps follow the valley's turns.
        watch: called after every accepted step with what is reached; what it raises ends the search.

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
            return Minimum(p, cost, 0, evaluations, damping)
        growth, longest = 2.0, np.zeros_like(p)
        while accepted < iterations:
            matrix = jacobian(p)
            lengths = np.sqrt(np.einsum("mp,mp->p", matrix, matrix))  # without a copy of the squares
            if not np.isfinite(lengths).all():
                break
            longest = np.maximum(longest, lengths)
            scale = np.maximum(longest, _SHORTEST * float(longest.max()) or 1.0)
            damped = _method(matrix)(matrix, scale)
            moved = False
            for _ in range(_MAX_REJECTED):
                solve = damped(damping)
                step = solve(r) / scale
                linear = matrix @ step
                candidate = p + step
                if geodesic:
                    ahead = residual(p + _AHEAD * step)
                    evaluations += 1
                    bend = solve(2 / _AHEAD * ((ahead - r) / _AHEAD - linear)) / scale / 2
                    if np.linalg.norm(bend * scale) <= _MOST_BEND * np.linalg.norm(step * scale):
                        candidate = candidate + bend
                r_new = residual(candidate)
                evaluations += 1
                new = float(r_new @ r_new)
                expected = linear + r
                predicted = cost - float(expected @ expected)
                moved = bool(np.isfinite(new) and new < cost)
                if moved:
                    gain = min((cost - new) / max(predicted, 1e-300), 2.0)
                    damping *= max(1 / 3, 1 - (2 * gain - 1) ** 3)
                    damping, growth = max(damping, 1e-15), 2.0
                    watch(Minimum(candidate, new, accepted + 1, evaluations, damping))
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
        return Minimum(p, cost, accepted, evaluations, damping)


def _orthogonal(matrix: Array, scale: Array) -> Callable[[float], Solve]:
    """The step that minimises ``|J s + r|^2 + damping |s|^2``, by QR of J and a second, small one."""
    q, upper = qr(matrix / scale, mode="economic", check_finite=False)
    size = upper.shape[1]

    def damped(damping: float) -> Solve:
        stacked = np.concatenate([upper, np.sqrt(damping) * np.eye(size)])
        again, triangle = qr(stacked, mode="economic", check_finite=False)
        diagonal = np.abs(np.diag(triangle))
        if diagonal.min() <= 1e-15 * diagonal.max():
            return lambda r: np.zeros(size)

        def solve(r: Array) -> Array:
            full = np.concatenate([-(q.T @ r), np.zeros(size)])
            solution: Array = solve_triangular(triangle, again.T @ full, check_finite=False)
            return solution

        return solve

    return damped


def _normal(matrix: Array, scale: Array) -> Callable[[float], Solve]:
    """The same by the normal equations, ``(J^T J + damping) s = -J^T r``."""
    j, lengths = torch.from_numpy(matrix), torch.from_numpy(scale)
    factorised = _cholesky(gram_matrix(j.T) / torch.outer(lengths, lengths))

    def damped(damping: float) -> Solve:
        solve = factorised(damping)
        return lambda r: -solve((j.T @ torch.from_numpy(r)) / lengths).numpy()

    return damped


def _dual(matrix: Array, scale: Array) -> Callable[[float], Solve]:
    """The same by ``s = -J^T (J J^T + damping)^-1 r``: as many unknowns as residuals."""
    j = torch.from_numpy(matrix) / torch.from_numpy(scale)
    factorised = _cholesky(gram_matrix(j))

    def damped(damping: float) -> Solve:
        solve = factorised(damping)
        return lambda r: -(j.T @ solve(torch.from_numpy(r))).numpy()

    return damped


def _method(matrix: Array) -> Callable[[Array, Array], Callable[[float], Solve]]:
    """The cheapest that is exact enough."""
    rows, columns = matrix.shape
    if columns <= _MANY:
        return _orthogonal
    return _normal if columns <= rows else _dual


def gram_matrix(rows: Tensor) -> Tensor:
    """Products of all rows with each other, in a little over half of the operations of ``rows @ rows.T``.

    Args:
        rows: shape ``(N, P)``.

    Returns:
        Shape ``(N, N)``: the lower triangle of the products, and some of the rest.

    >>> gram_matrix(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [[5.0, 0.0], [11.0, 25.0]]
    """
    size = len(rows)
    gram, block = rows.new_zeros(size, size), max(1, math.ceil(size / _BLOCKS))
    for start in range(0, size, block):
        end = min(start + block, size)
        torch.mm(rows[start:end], rows[:end].T, out=gram[start:end, :end])
    return gram


def _cholesky(gram: Tensor) -> Callable[[float], Callable[[Tensor], Tensor]]:
    """Solves ``(gram + damping) x = b`` by the lower triangle, in torch: it keeps to the caller's threads."""

    def factorised(damping: float) -> Callable[[Tensor], Tensor]:
        damped = gram.clone()
        damped.diagonal().add_(damping)
        factor, failed = torch.linalg.cholesky_ex(damped)
        if bool(failed):  # rounding has made the matrix indefinite: more damping will do
            return torch.zeros_like
        return lambda b: torch.cholesky_solve(b[:, None], factor)[:, 0]

    return factorised
