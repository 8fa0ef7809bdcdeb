"""Splits of a table of samples: to fit, to choose by, and beyond the range that was fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError

Array = NDArray[np.float64]

LEAST_SAMPLES = 20
_MOST_FITTED = 1000  # more samples cost time and say little more about one small formula
_MOST_CHOSEN_BY = 500
_OUTSIDE = 0.1  # of the samples, those nearest to the borders, where there are enough
_ENOUGH = 100
_LARGEST, _SMALLEST = 1e100, 1e-100  # their squares can be computed


@dataclass(frozen=True)
class Samples:
    """Samples to fit and samples to choose by.

    Attributes:
        x: inputs to fit, ``(N, n)``.
        y: their target, ``(N,)``.
        x_val: inputs to choose by, ``(M, n)``.
        y_val: their target, ``(M,)``.
    """

    x: Array
    y: Array
    x_val: Array
    y_val: Array

    @property
    def spread(self) -> float:
        """Standard deviation of the target."""
        return float(np.std(np.concatenate([self.y, self.y_val])))


def check(x: Array, y: Array, names: tuple[str, ...], target: str) -> None:
    """Check that a formula can be looked for.

    Args:
        x: inputs, ``(N, n)``.
        y: target, ``(N,)``.
        names: of the inputs.
        target: name of the target.

    Raises:
        InputError: samples are too few, not finite, constant, too large or too small; the message says where.
    """
    if x.ndim != 2 or y.shape != x.shape[:1] or len(names) != x.shape[1]:
        raise InputError(f"x is (N, n) and y (N,) with a name for every input, got {x.shape} and {y.shape}")
    if not names:
        raise InputError("there is no input: a table needs a column beside the target")
    if len(y) < x.shape[1] + 1:
        raise InputError(f"{len(y)} rows and {x.shape[1] + 1} columns: give more samples than columns")
    for name, column in [*zip(names, x.T, strict=True), (target, y)]:
        bad = np.flatnonzero(~np.isfinite(column))
        if bad.size:
            raise InputError(f"column '{name}', sample {bad[0] + 1} is {column[bad[0]]}: leave such rows out")
        size = float(np.abs(column).max())
        if size > _LARGEST or 0 < size < _SMALLEST:
            raise InputError(f"column '{name}' reaches {size:.1e}: give it in other units")
    distinct = len(np.unique(np.column_stack([x, y]), axis=0))
    if distinct < LEAST_SAMPLES:
        raise InputError(f"{distinct} different samples are too few: give at least {LEAST_SAMPLES}")
    for name, column in [*zip(names, x.T, strict=True), (target, y)]:
        if np.ptp(column) <= 1e-12 * np.abs(column).max():
            raise InputError(
                f"column '{name}' is constant: "
                + ("there is nothing to explain" if name == target else "leave it out with --inputs")
            )


def split(x: Array, y: Array, seed: int) -> tuple[Samples, Array, Array]:
    """Split samples at random, after the outermost are put aside.

    Args:
        x: inputs, ``(N, n)``; equal rows count once.
        y: target, ``(N,)``.
        seed: of the split.

    Returns:
        Samples to fit and to choose by; and x and y of those outside the range of both, which may be none.

    >>> x = np.random.default_rng(0).uniform(size=(400, 2))
    >>> samples, outside, _ = split(x, x.sum(1), 0)
    >>> 0.05 < len(outside) / 400 < 0.15, len(samples.x) > 2 * len(samples.x_val)
    (True, True)
    """
    _, kept = np.unique(np.column_stack([x, y]), axis=0, return_index=True)
    x, y = x[np.sort(kept)], y[np.sort(kept)]
    outer = np.zeros(len(y), dtype=bool)
    if len(y) >= _ENOUGH:
        tail = _OUTSIDE / (2 * x.shape[1])
        low, high = np.quantile(x, [tail, 1 - tail], axis=0)
        outer = ((x < low) | (x > high)).any(1)
    inner = np.random.default_rng(seed).permutation(np.flatnonzero(~outer))
    cut = max(len(inner) * 7 // 10, 1)
    fit, choose = inner[:cut][:_MOST_FITTED], inner[cut:][:_MOST_CHOSEN_BY]
    return Samples(x[fit], y[fit], x[choose], y[choose]), x[outer], y[outer]
