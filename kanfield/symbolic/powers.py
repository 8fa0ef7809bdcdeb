"""Products of powers: the laws of physics that logarithms make linear, however many decades they span."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kanfield.symbolic.edges import Named
from kanfield.symbolic.functions import Function
from kanfield.symbolic.network import Edge, Network, Node
from kanfield.symbolic.samples import Samples

# Exponents, and the table's functions for them; the first four take negative numbers too.
_POWERS = {
    **{1.0: "x", 2.0: "x^2", 3.0: "x^3", 4.0: "x^4"},
    **{0.5: "sqrt", 1.5: "x^1.5", -0.5: "1/sqrt", -1.0: "1/x", -2.0: "1/x^2"},
}
_CLOSE = 1e-6  # of exponents, and of logarithms of the target: this is for samples without noise


def power_law(samples: Samples, functions: Mapping[str, Function], names: tuple[str, ...]) -> Network | None:
    """The network of ``c x^p y^q ...`` that gives the samples to rounding, or None.

    Args:
        samples: to fit.
        functions: the table.
        names: of the inputs.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> x = 10 ** np.random.default_rng(0).uniform(-12, -9, (40, 2))
    >>> samples = Samples(x[:30], x[:30, 0] / x[:30, 1] ** 2, x[30:], x[30:, 0] / x[30:, 1] ** 2)
    >>> power_law(samples, FUNCTIONS, ("q", "r")).expression()
    q/r**2
    """
    x, y = samples.x, samples.y
    if not (x.all() and y.all()) or len(y) <= x.shape[1] + 1:
        return None
    matrix = np.column_stack([np.log(np.abs(x)), np.ones(len(y))])
    solution = np.linalg.lstsq(matrix, np.log(np.abs(y)), rcond=None)[0]
    exponents = np.round(2 * solution[:-1]) / 2
    if np.abs(solution[:-1] - exponents).max() > _CLOSE:
        return None
    edges = []
    for place, exponent in enumerate(exponents):
        name = _POWERS.get(float(exponent))
        if exponent == 0:
            continue
        if name not in functions or not (exponent in (1, 2, 3, 4) or (x[:, place] > 0).all()):
            return None
        edges.append(Edge(place, Named(functions[name])))
    product = np.prod([edge.function(x[:, edge.source]) for edge in edges], axis=0)
    ratio = y / product
    scale = float(np.median(ratio))
    if not edges or np.abs(ratio / scale - 1).max() > _CLOSE:
        return None
    last = Edge(len(names), Named(functions["x"], np.array([1.0, 0.0, scale, 0.0]), "c"))
    return Network(names, (Node(tuple(edges), product=True), Node((last,))))
