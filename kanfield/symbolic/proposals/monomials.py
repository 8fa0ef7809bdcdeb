"""Sums of few products of powers, inside an outer function: polynomials, fractions, roots of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kanfield.symbolic.candidates import inverted, unit
from kanfield.symbolic.edges import Named
from kanfield.symbolic.functions import Function
from kanfield.symbolic.network import Edge, Network, Node
from kanfield.symbolic.proposals.powers import POWERS
from kanfield.symbolic.samples import Samples

Array = NDArray[np.float64]

_OUTER = ("x", "1/x", "sqrt", "1/sqrt", "x^2")
_SETS = ((-2, -1, -0.5, 0, 0.5, 1, 2), (-2, -1, 0, 1, 2), (-1, 0, 1, 2), (-1, 0, 1))
_MOST = 4_100  # products of powers that one sum is chosen from
_SAMPLES = 200  # that it is chosen on
_BEAM = 12
_TERMS = 4
_CLOSE = 1e-6  # relative error of a sum that is taken: it is meant for samples without noise


@dataclass(frozen=True)
class _Pool:
    """Products of powers at some samples.

    Attributes:
        exponents: of every product, ``(K, n)``.
        values: of the products, weighted, each of length 1, ``(N, K)``.
    """

    exponents: Array
    values: Array


def power_sum(
    samples: Samples,
    functions: Mapping[str, Function],
    names: tuple[str, ...],
    go_on: Callable[[], bool] = lambda: True,
) -> Network | None:
    """The network of ``F(c x^p y^q + d x^r y^s + ...)`` that gives the samples to rounding, or None.

    Terms are added one after the other, each time those that leave least of ``F^-1(y)``, in units of its own
    size, so that samples of all decades count alike.

    Args:
        samples: to fit.
        functions: the table.
        names: of the inputs.
        go_on: asked between outer functions; False ends the search.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> x = np.random.default_rng(0).uniform(1, 3, (300, 2))
    >>> y = 1 / (1 / x[:, 0] + 3 * x[:, 1] ** 2)
    >>> network = power_sum(Samples(x[:200], y[:200], x[200:], y[200:]), FUNCTIONS, ("a", "b"))
    >>> bool(np.abs(network(x) / y - 1).max() < 1e-9)
    True
    """
    pool: _Pool | None = None
    sign = -1.0 if samples.y.max() <= 0 else 1.0
    for name in _OUTER:
        if name not in functions or not go_on():
            continue
        t = samples.y if name == "x" else inverted(functions[name], sign * samples.y)
        if t is None or not t.any():
            continue
        few = t[:_SAMPLES]
        weight = 1 / np.maximum(np.abs(few), 0.1 * float(np.median(np.abs(few))) or 1.0)
        pool = _pool(samples.x, functions) if pool is None else pool
        if pool is None:
            return None
        for terms in _sums(pool, few, weight):
            inside = _sum_of(terms, samples.x, t, functions, names)
            if inside is not None:
                outer = Node((Edge(len(names) + len(inside) - 1, unit(functions[name], sign)),))
                return Network(names, inside if name == "x" else (*inside, outer))
    return None


def _pool(x: Array, functions: Mapping[str, Function]) -> _Pool | None:
    """All products of the largest set of exponents that does not make too many."""
    count = x.shape[1]
    some = next((exponents for exponents in _SETS if len(exponents) ** count <= _MOST), None)
    if some is None:
        return None
    x = x[:_SAMPLES]
    choices = []
    for column in x.T:
        allowed = []
        for exponent in some:
            f = functions.get(POWERS.get(exponent, ""))
            if exponent == 0 or (f is not None and np.isfinite(f(column)).all()):
                allowed.append(float(exponent))
        choices.append(allowed)
    exponents = np.array(list(itertools.product(*choices)))
    with np.errstate(all="ignore"):
        logs = np.log(np.abs(x)) @ exponents.T if x.all() else None
    if logs is None:
        values = np.prod([column[:, None] ** exponents[:, n] for n, column in enumerate(x.T)], axis=0)
    else:  # magnitudes of any size: every product is scaled to its own middle
        logs -= np.median(logs, axis=0)
        odd = (np.abs(exponents) == 1).astype(float)
        values = np.exp(np.clip(logs, -300, 300)) * (1 - 2 * (((x < 0) @ odd.T) % 2))
    return _Pool(exponents, values)


def _sums(pool: _Pool, t: Array, weight: Array) -> list[Array]:
    """Exponents ``(k, n)`` of sums that leave almost nothing: of one term, else of two, and so on."""
    target = weight * t
    columns = weight[:, None] * pool.values
    length = np.linalg.norm(columns, axis=0)
    columns = columns / np.where(length > 0, length, 1.0)
    size = float(np.linalg.norm(target))
    beam: list[list[int]] = [[]]
    for _ in range(_TERMS):
        grown: dict[tuple[int, ...], float] = {}
        for chosen in beam:
            q = np.linalg.qr(columns[:, chosen])[0]
            residual = target - q @ (q.T @ target)
            left = 1 - ((q.T @ columns) ** 2).sum(0)  # squared length of what a column adds
            gain = np.where(left > 1e-8, (columns.T @ residual) ** 2 / np.maximum(left, 1e-8), 0.0)
            rest = float(residual @ residual)
            for place in np.argsort(-gain)[:_BEAM]:
                grown[tuple(sorted([*chosen, int(place)]))] = max(rest - float(gain[place]), 0.0)
        best = sorted(grown, key=lambda terms: grown[terms])[:_BEAM]
        good = [pool.exponents[list(terms)] for terms in best if grown[terms] ** 0.5 < _CLOSE * size]
        if good:
            return good
        beam = [list(terms) for terms in best]
    return []


def _sum_of(
    terms: Array, x: Array, t: Array, functions: Mapping[str, Function], names: tuple[str, ...]
) -> tuple[Node, ...] | None:
    """The nodes of a sum of powers that gives ``t``, fitted to all samples; None where some do not agree."""
    weight = 1 / np.maximum(np.abs(t), 0.1 * float(np.median(np.abs(t))) or 1.0)
    factors = [_factors(exponents, functions) for exponents in terms]
    columns = np.stack(
        [np.prod([np.ones(len(x)), *(f(x[:, p]) for p, f in some)], axis=0) for some in factors]
    )
    columns = columns * weight
    if not np.isfinite(columns).all():  # the sum was chosen on other samples
        return None
    length = np.linalg.norm(columns, axis=1)
    found = np.linalg.lstsq((columns / length[:, None]).T, weight * t, rcond=None)[0] / length
    if not np.abs(found @ columns - weight * t).max() <= _CLOSE:
        return None
    return sum_of_powers(terms, found, functions, names)


def sum_of_powers(
    exponents: Array, coefficients: Array, functions: Mapping[str, Function], names: tuple[str, ...]
) -> tuple[Node, ...]:
    """The nodes of a sum of products of powers; the last one is the sum.

    Args:
        exponents: of every product, ``(K, n)``, each a power of the table.
        coefficients: of the products, ``(K,)``; free, as that of the product of none is.
        functions: the table.
        names: of the inputs.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> nodes = sum_of_powers(np.array([[0.0, 0], [1, 2]]), np.array([3.0, 5.0]), FUNCTIONS, ("a", "b"))
    >>> Network(("a", "b"), nodes)(np.array([[2.0, 1.0]]))
    array([13.])
    """
    nodes: list[Node] = []
    last: list[Edge] = []
    bias = None
    for scale, row in zip(coefficients, exponents, strict=True):
        some = _factors(row, functions)
        constants = np.array([1.0, 0.0, scale, 0.0])
        if not some:
            bias = float(scale)
        elif len(some) == 1:
            last.append(Edge(some[0][0], Named(some[0][1], constants, "c")))
        else:
            last.append(Edge(len(names) + len(nodes), Named(functions["x"], constants, "c")))
            nodes.append(Node(tuple(Edge(place, Named(f)) for place, f in some), product=True))
    return (*nodes, Node(tuple(last), bias=bias))


def _factors(exponents: Array, functions: Mapping[str, Function]) -> list[tuple[int, Function]]:
    """The inputs of a product of powers, by their numbers, and the functions of the table for them."""
    return [(place, functions[POWERS[float(e)]]) for place, e in enumerate(exponents) if e != 0]
