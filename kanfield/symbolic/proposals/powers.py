"""Products of powers: the laws of physics that logarithms make linear, however many decades they span."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from kanfield.symbolic.candidates import unit
from kanfield.symbolic.edges import Named, Spline, spline_basis
from kanfield.symbolic.fit import refit, rmse
from kanfield.symbolic.functions import Function
from kanfield.symbolic.network import Edge, Network, Node, cover
from kanfield.symbolic.proposals.coordinates import Coordinate, interpolation_error
from kanfield.symbolic.samples import Samples

# Exponents, and the table's functions for them.
POWERS = {
    **{1.0: "x", 2.0: "x^2", 3.0: "x^3", 4.0: "x^4"},
    **{0.5: "sqrt", 1.5: "x^1.5", -0.5: "1/sqrt", -1.0: "1/x", -2.0: "1/x^2"},
}
_CLOSE = 1e-6  # of exponents and of the target, where powers are all that there is: without noise
_ROUGHLY = 0.15  # of exponents, where a function of one input is there too
_SMOOTH = 0.05  # relative error of that function by interpolation
_ROUNDS = 8
_CELLS = (8, 24, 72)


def power_law(samples: Samples, functions: Mapping[str, Function], names: tuple[str, ...]) -> Network | None:
    """The network of ``c x^p y^q ...`` that gives the samples to rounding, or None.

    Args:
        samples: to fit.
        functions: the table.
        names: of the inputs.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> x = 10 ** np.random.default_rng(0).uniform(-12, -9, (40, 2))
    >>> samples = Samples(x[:30], x[:30, 0] / x[:30, 1] ** 2, x[30:], x[30:, 0] / x[30:, 1] ** 2)
    >>> [edge.function.function.name for edge in power_law(samples, FUNCTIONS, ("q", "r")).nodes[0].edges]
    ['x', '1/x^2']
    """
    x, y = samples.x, samples.y
    if not (x.all() and y.all()) or len(y) <= x.shape[1] + 1:
        return None
    matrix = np.column_stack([np.log(np.abs(x)), np.ones(len(y))])
    exponents = np.linalg.lstsq(matrix, np.log(np.abs(y)), rcond=None)[0][:-1]
    edges = _edges(exponents, range(x.shape[1]), x, functions, _CLOSE)
    if not edges:
        return None
    with np.errstate(all="ignore"):
        ratio = y / _product(edges, x)
        scale = float(np.median(ratio))
        if not np.abs(ratio / scale - 1).max() <= _CLOSE:  # nor where a power is too large to be a number
            return None
    last = Edge(len(names), Named(functions["x"], np.array([1.0, 0.0, scale, 0.0]), "c"))
    return Network(names, (Node(edges, product=True), Node((last,))))


def power_law_times(
    samples: Samples, coordinate: Coordinate, functions: Mapping[str, Function], names: tuple[str, ...]
) -> Network | None:
    """Powers of all inputs but those of one coordinate, times a spline of that or over one.

    Between samples that are neighbours in the coordinate its function hardly changes, so the differences of
    their logarithms give the exponents of the others.

    Args:
        samples: to fit.
        coordinate: an input, or two of them joined.
        functions: the table.
        names: of the inputs.

    Returns:
        A network; None where there is no such law, or no power in it.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> x = np.random.default_rng(0).uniform(1, 3, (300, 2))
    >>> y = x[:, 0] ** 2 * np.sin(x[:, 1])
    >>> samples, place = Samples(x[:200], y[:200], x[200:], y[200:]), Coordinate("x", (1,))
    >>> network = power_law_times(samples, place, FUNCTIONS, ("a", "b"))
    >>> bool(np.abs(network(x) - y).max() < 1e-3)
    True
    """
    x, y = samples.x, samples.y
    others = [other for other in range(x.shape[1]) if other not in coordinate.sources]
    if not others or not (x[:, others].all() and y.all() and samples.x_val[:, others].all()):
        return None
    z, z_val = coordinate.values(x), coordinate.values(samples.x_val)
    order = np.argsort(z)
    steps = np.diff(np.log(np.abs(x[order][:, others])), axis=0)
    change = np.diff(np.log(np.abs(y[order])))
    kept = np.ones(len(change), dtype=bool)
    for _ in range(_ROUNDS):  # where the function has a zero, neighbours differ: those are left out
        exponents = np.linalg.lstsq(steps[kept], change[kept], rcond=None)[0]
        left = np.abs(change - steps @ exponents)
        kept = left <= max(2 * float(np.median(left)), 1e-12)
    edges = _edges(exponents, others, x, functions, _ROUGHLY)
    if not edges or not np.isfinite(z).all():
        return None
    factor, factor_val = _product(edges, x), _product(edges, samples.x_val)
    one, one_val = z[:, None], z_val[:, None]
    if interpolation_error(one, y / factor, one_val, samples.y_val / factor_val) <= _SMOOTH:
        inner, last = y / factor, "x"
    elif "1/x" in functions and samples.y_val.all():
        inner, last = factor / y, "1/x"  # with poles, it is one over a smooth one
        if interpolation_error(one, inner, one_val, factor_val / samples.y_val) > _SMOOTH:
            return None
    else:
        return None
    first = len(names)
    before = () if coordinate.kind == "x" else (coordinate.node(functions, x),)
    source = first if before else coordinate.sources[0]
    best, least = None, np.inf
    for cells in _CELLS:
        lower, upper = cover(z)
        basis = spline_basis(z, lower, upper, cells)
        spline = Spline(lower, upper, np.linalg.lstsq(basis, inner, rcond=None)[0].astype(np.float64))
        if last == "x":
            nodes: tuple[Node, ...] = (*before, Node((*edges, Edge(source, spline)), product=True))
        else:
            over = Edge(first + len(before), unit(functions[last]))
            nodes = (*before, Node((Edge(source, spline),)), Node((*edges, over), product=True))
        network = Network(names, nodes)
        network = refit(network, x, y, iterations=4) if last == "x" else network
        error = rmse(network, samples.x_val, samples.y_val)
        if error < least:
            best, least = network, error
    return best


def _edges(
    exponents: NDArray[np.float64],
    places: Sequence[int],
    x: NDArray[np.float64],
    functions: Mapping[str, Function],
    tolerance: float,
) -> tuple[Edge, ...]:
    """Powers as edges; none where an exponent is no half, or the table has no such power of these inputs."""
    rounded = np.round(2 * exponents) / 2
    if not (np.abs(exponents - rounded) <= tolerance).all():
        return ()
    edges = []
    for place, exponent in zip(places, rounded, strict=True):
        name = POWERS.get(float(exponent), "")
        if exponent == 0:
            continue
        signed = exponent in (1, 2, 3, 4) or (name in functions and functions[name].pole)
        if name not in functions or not (signed or (x[:, place] > 0).all()):
            return ()
        edges.append(Edge(place, Named(functions[name])))
    return tuple(edges)


def _product(edges: Sequence[Edge], x: NDArray[np.float64]) -> NDArray[np.float64]:
    factors: NDArray[np.float64] = np.prod([edge.function(x[:, edge.source]) for edge in edges], axis=0)
    return factors
