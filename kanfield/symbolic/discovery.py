"""What a search for a formula found, and a test of what a formula leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from kanfield.symbolic.network import Network

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Formula:
    """A formula that was found.

    Attributes:
        expression: in SymPy, of symbols named as the inputs.
        network: the KAN that it is read from, all of its edges named functions.
        complexity: nodes of the expression's tree.
        error: on validation samples, relative to the target's standard deviation.
        outside: the same on samples outside the range that was fitted; None where there are none.
        seed: of the split and the starts.
        origin: the structure that was snapped.
        explains: whether what it leaves of the samples looks like noise.
    """

    expression: Any
    network: Network
    complexity: int
    error: float
    outside: float | None
    seed: int
    origin: str
    explains: bool = False


@dataclass(frozen=True)
class Attempt:
    """A network that was snapped, or not.

    Attributes:
        seed: of the split and the starts.
        origin: the structure, or the widths of a layered KAN.
        fitted: relative validation error with splines.
        snapped: the same of the formula; None where no formula came out.
        outcome: in words.
        network: with splines.
        seconds: since the search began.
    """

    seed: int
    origin: str
    fitted: float
    snapped: float | None
    outcome: str
    network: Network
    seconds: float


@dataclass(frozen=True)
class Discovery:
    """What a search found.

    Attributes:
        inputs: names.
        target: its name.
        formulas: the Pareto front of complexity and validation error, the simplest first.
        chosen: the one that error and complexity together prefer; None where no network could be snapped.
        found: whether the chosen one explains the samples: exactly, or with residuals that look like noise.
        floor: relative validation error of the best smooth model, which noise bounds from below.
        attempts: every network that was snapped, failures too.
        fitted: the network with splines that the chosen formula comes from.
        seconds: that the search took.
    """

    inputs: tuple[str, ...]
    target: str
    formulas: list[Formula]
    chosen: Formula | None
    found: bool
    floor: float
    attempts: list[Attempt]
    fitted: Network | None
    seconds: float


def neighbour_correlation(x: Array, residual: Array) -> float:
    """Correlation of the residuals of nearest neighbours: near zero for noise, positive for a misfit.

    Args:
        x: samples, ``(N, n)``.
        residual: at them, ``(N,)``.

    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> bool(neighbour_correlation(x, np.sin(9 * x[:, 0])) > 0.9)
    True
    """
    centred = residual - residual.mean()
    power = float(centred @ centred)
    if len(residual) < 3 or power == 0:
        return 0.0
    scaled = (x - x.mean(0)) / np.maximum(x.std(0), 1e-300)
    _, near = cKDTree(scaled).query(scaled, k=2)
    own = np.arange(len(x))  # of two samples at the same place each may be found as its own second nearest
    nearest = np.where(near[:, 0] != own, near[:, 0], near[:, 1])
    return float(centred @ centred[nearest]) / power
