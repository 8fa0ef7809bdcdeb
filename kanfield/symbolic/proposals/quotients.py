"""One function of an input over one of another: targets with poles, which no smooth network fits."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kanfield.symbolic.candidates import unit
from kanfield.symbolic.edges import ORDER, Spline, spline_basis
from kanfield.symbolic.functions import Function
from kanfield.symbolic.network import Edge, Network, Node, cover
from kanfield.symbolic.samples import Samples

Array = NDArray[np.float64]

_CELLS = 24
_FAR = 10.0  # how far above the 95th percentile of magnitudes the largest is where there are poles
_CLOSE = 1e-2  # relative error of the two functions on unseen samples


def has_poles(y: Array) -> bool:
    """Whether few values are so much larger than the others that poles are likely."""
    size = np.abs(y)
    return bool(size.max() > _FAR * np.quantile(size, 0.95))


def quotient(samples: Samples, functions: Mapping[str, Function], names: tuple[str, ...]) -> Network | None:
    """The network of ``f(a) / g(b)`` that predicts unseen samples best, or None where none does well.

    ``f(a) = y g(b)`` is linear in the coefficients of both splines and has no poles, so the two are the
    singular vector of the least singular value.

    Args:
        samples: to fit.
        functions: the table.
        names: of the inputs.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> x = np.random.default_rng(0).uniform(0, 6.28, (600, 2))
    >>> y = np.sin(x[:, 0]) / np.sin(x[:, 1])
    >>> network = quotient(Samples(x[:400], y[:400], x[400:], y[400:]), FUNCTIONS, ("a", "b"))
    >>> bool(np.median(np.abs(network(x) - y)) < 1e-2)
    True
    """
    if "1/x" not in functions:
        return None
    best, least = None, _CLOSE
    middle = float(np.median(np.abs(samples.y))) or 1.0
    weight, weight_val = (1 / (1 + np.abs(y) / middle) for y in (samples.y, samples.y_val))
    for a, b in itertools.permutations(range(len(names)), 2):
        ends = [cover(samples.x[:, place]) for place in (a, b)]
        above, below = (
            weight[:, None] * spline_basis(samples.x[:, place], low, high, _CELLS)
            for place, (low, high) in zip((a, b), ends, strict=True)
        )
        matrix = np.concatenate([above, -samples.y[:, None] * below], axis=1)
        coef = np.linalg.svd(matrix, full_matrices=False)[2][-1]
        f, g = Spline(*ends[0], coef[: _CELLS + ORDER]), Spline(*ends[1], coef[_CELLS + ORDER :])
        left = weight_val * f(samples.x_val[:, a])
        right = weight_val * samples.y_val * g(samples.x_val[:, b])
        error = float(np.linalg.norm(left - right) / (np.linalg.norm(left) or np.inf))
        if error < least:
            under = Edge(len(names), unit(functions["1/x"]))
            nodes = (Node((Edge(b, g),)), Node((Edge(a, f), under), product=True))
            best, least = Network(names, nodes), error
    return best
