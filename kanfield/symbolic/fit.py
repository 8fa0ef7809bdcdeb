"""Fitting a network's free parameters to samples, all at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kanfield.least_squares import levenberg_marquardt
from kanfield.symbolic.edges import Spline
from kanfield.symbolic.network import Network, cover

Array = NDArray[np.float64]


def rmse(network: Network, x: Array, y: Array) -> float:
    """Root of the mean squared error, infinite where the network has no value."""
    with np.errstate(all="ignore"):
        error = float(np.sqrt(np.mean((network(x) - y) ** 2)))
    return error if np.isfinite(error) else np.inf


def refit(
    network: Network,
    x: Array,
    y: Array,
    *,
    weight: Array | None = None,
    penalty: Array | None = None,
    iterations: int = 30,
    tolerance: float = 1e-9,
) -> Network:
    """The network after Levenberg-Marquardt steps on all of its free parameters.

    Args:
        network: where to start.
        x: samples, ``(N, n)``.
        y: target, ``(N,)``.
        weight: factor of every sample's error, ``(N,)``.
        penalty: rows ``(M, P)`` whose products with the parameters are pulled to zero.
        iterations: accepted steps at most.
        tolerance: see :func:`kanfield.least_squares.levenberg_marquardt`.

    Returns:
        A network of the same shape.

    >>> from kanfield.symbolic.convert import layered
    >>> x = np.linspace(-1, 1, 60)[:, None]
    >>> network = layered(["x"], [], x, size=8, seed=0)
    >>> rmse(refit(network, x, np.sin(2 * x[:, 0])), x, np.sin(2 * x[:, 0])) < 1e-3
    True
    """
    w = np.ones(len(y)) if weight is None else weight
    extra = np.zeros((0, len(network.parameters))) if penalty is None else penalty

    def residual(p: Array) -> Array:
        return np.concatenate([w * (network.with_parameters(p)(x) - y), extra @ p])

    def jacobian(p: Array) -> Array:
        return np.concatenate([w[:, None] * network.with_parameters(p).jacobian(x), extra])

    found = levenberg_marquardt(
        residual, jacobian, network.parameters, iterations=iterations, tolerance=tolerance
    )
    return network.with_parameters(found.parameters)


def follow(network: Network, x: Array) -> Network:
    """The network with the grids of splines on hidden values moved to where those values are."""
    known = network.values(x)

    def moved(key: tuple[int, int], spline: Spline) -> Spline:
        source = network.edge(key).source
        if source < len(network.inputs):
            return spline
        low, high = cover(known[source])
        slack = 0.05 * (high - low)
        tight = spline.upper - spline.lower <= 1.3 * (high - low)
        if tight and spline.lower <= low and high <= spline.upper:
            return spline
        return spline.moved(low - slack, high + slack)

    return network.map_splines(moved)
