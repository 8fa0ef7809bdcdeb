"""A polynomial inside an outer function, where noise hides which shape the samples have."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kanfield.symbolic.candidates import inverted, unit
from kanfield.symbolic.fit import refit, rmse
from kanfield.symbolic.functions import Function
from kanfield.symbolic.network import Edge, Network, Node
from kanfield.symbolic.proposals.monomials import sum_of_powers
from kanfield.symbolic.proposals.powers import POWERS
from kanfield.symbolic.samples import Samples

Array = NDArray[np.float64]

_OUTER = ("x", "sqrt", "1/x", "1/sqrt")
_DEGREES = (4, 3, 2)
_MOST = 35  # terms of a whole polynomial
_STANDARD_ERRORS = 4.0  # by which the coefficient of a term that stays differs from zero
_HEAVIEST = 10.0  # weight of a sample, against the median: beside a pole few would say what the others are


def polynomial(samples: Samples, functions: Mapping[str, Function], names: tuple[str, ...]) -> Network | None:
    """The network of ``F(polynomial)`` that predicts the samples best; its terms are those that noise allows.

    A spline of a difference may be given as splines of both inputs and their product, each with constants of
    its own, and within noise those fit: this form has none to spare.

    Args:
        samples: to fit.
        functions: the table.
        names: of the inputs.

    Returns:
        A network; None for more inputs than a whole polynomial of degree two is for, where the table lacks
        powers, or where no term is left.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> random = np.random.default_rng(0)
    >>> x = random.uniform(-1, 1, (400, 2))
    >>> y = np.sqrt(1 + (x[:, 0] - x[:, 1]) ** 2) + 0.01 * random.standard_normal(400)
    >>> network = polynomial(Samples(x[:300], y[:300], x[300:], y[300:]), FUNCTIONS, ("a", "b"))
    >>> len(network.nodes[-2].edges)  # a^2, b^2 and ab
    3
    """
    exponents = _exponents(samples.x.shape[1], functions)
    if exponents is None:
        return None
    sign = -1.0 if samples.y.max() <= 0 else 1.0
    found: list[tuple[float, Network]] = []
    for name in _OUTER:
        if name not in functions:
            continue
        t = samples.y if name == "x" else inverted(functions[name], sign * samples.y)
        if t is None:
            continue
        weight = np.nan_to_num(np.abs(functions[name].slope(t)), nan=np.inf)
        weight = np.minimum(weight, _HEAVIEST * np.median(weight))
        if not np.isfinite(weight).all():
            continue
        terms, coefficients = _terms(exponents, samples.x, t, weight)
        if not exponents[terms].any():
            continue
        inside = sum_of_powers(exponents[terms], coefficients, functions, names)
        if name != "x":
            inside = (*inside, Node((Edge(len(names) + len(inside) - 1, unit(functions[name], sign)),)))
        network = refit(Network(names, inside), samples.x, samples.y, iterations=15, tolerance=1e-9)
        found.append((rmse(network, samples.x_val, samples.y_val), network))
    found = [each for each in found if np.isfinite(each[0])]
    return min(found, key=lambda each: each[0])[1] if found else None


def _exponents(count: int, functions: Mapping[str, Function]) -> Array | None:
    """Of all products up to the highest total degree that does not make too many, ``(K, n)``."""
    for degree in _DEGREES:
        if any(POWERS[float(power)] not in functions for power in range(1, degree + 1)):
            continue
        if math.comb(count + degree, degree) <= _MOST:
            of_each = itertools.product(range(degree + 1), repeat=count)
            return np.array([each for each in of_each if sum(each) <= degree], dtype=np.float64)
    return None


def _terms(exponents: Array, x: Array, t: Array, weight: Array) -> tuple[list[int], Array]:
    """The terms whose coefficients differ from zero, the least certain left out first, and coefficients."""
    sizes = np.abs(x).max(axis=0)  # powers of inputs of any size have numbers
    sizes = np.where(sizes > 0, sizes, 1.0)  # an input may be zero in all samples but those to choose by
    columns = weight[:, None] * np.stack([np.prod((x / sizes) ** each, axis=1) for each in exponents], 1)
    length, target = np.linalg.norm(columns, axis=0), weight * t
    length = np.where(length > 0, length, 1.0)
    columns = columns / length
    kept = list(range(len(exponents)))
    while kept:
        inverse = np.linalg.pinv(columns[:, kept])
        coefficients = inverse @ target
        residual = target - columns[:, kept] @ coefficients
        spread = np.linalg.norm(residual) / np.sqrt(max(1, len(t) - len(kept)))
        certain = np.abs(coefficients) / np.maximum(spread * np.linalg.norm(inverse, axis=1), 1e-300)
        if certain.min() >= _STANDARD_ERRORS:
            return kept, coefficients / length[kept] / np.prod(sizes ** exponents[kept], axis=1)
        del kept[int(np.argmin(certain))]
    return kept, np.zeros(0)
