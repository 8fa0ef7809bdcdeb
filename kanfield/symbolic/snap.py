"""Snapping: splines become named functions one by one, each judged by the whole network after a refit."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kanfield.symbolic.candidates import Candidate, pairs, single
from kanfield.symbolic.edges import Named, Spline
from kanfield.symbolic.fit import refit, rmse
from kanfield.symbolic.functions import FUNCTIONS, Function
from kanfield.symbolic.network import Edge, Key, Network
from kanfield.symbolic.samples import Samples

Array = NDArray[np.float64]

_BEAM = 2
_OPTIONS = 3  # candidates of an edge that are tried in the network
_EDGES = 3  # most certain edges that are tried before one is given up
FEW = 500  # samples that splines are snapped on
_EXACT = 1e-9  # relative error of a formula that is the target itself
_EVIDENCE, _BITS = 60.0, 6.0  # bits that half the error, and a unit of complexity, are worth
_HEAVIEST = 10.0  # weight of a sample, against the median: beside a pole few would say what an edge is
_WORSE = 1.5  # how much a snap may raise the error on validation samples


@dataclass(frozen=True)
class Snapped:
    """A network on its way to a formula.

    Attributes:
        network: some of its edges are named functions.
        error: on the validation samples, relative to the target's spread.
        kept: edges that no function fits; they stay splines.
    """

    network: Network
    error: float
    kept: frozenset[Key] = frozenset()


def edge_values(network: Network, x: Array, key: Key) -> tuple[Array, Array, Array]:
    """What an edge sees, what it gives, and how much the output feels that; each ``(N,)``.

    Args:
        network: which one.
        x: samples, ``(N, n)``.
        key: of the edge.
    """
    known = network.values(x)
    edge = network.edge(key)
    seen = known[edge.source]
    # The derivative of the output by a constant that the edge would add.
    probe = network.with_function(key, _Shift(edge.function))  # type: ignore[arg-type]
    place = 0
    for number, node in enumerate(probe.nodes):
        for spot, each in enumerate(node.edges):
            if (number, spot) == key:
                return seen, edge.function(seen), np.abs(probe.jacobian(x)[:, place])
            place += len(each.function.parameters)
        place += node.bias is not None and not node.fixed
    raise KeyError(key)


@dataclass(frozen=True)
class _Shift:
    """An edge whose only parameter is a constant added to it."""

    inside: Spline | Named

    @property
    def parameters(self) -> Array:
        return np.zeros(1)

    def with_parameters(self, p: Array) -> _Shift:
        return self

    def __call__(self, x: Array) -> Array:
        return self.inside(x)

    def slope(self, x: Array) -> Array:
        return self.inside.slope(x)

    def jacobian(self, x: Array) -> Array:
        return np.ones((len(x), 1))


def candidates(
    network: Network, x: Array, functions: Mapping[str, Function] = FUNCTIONS
) -> dict[Key, list[Candidate]]:
    """What every spline of a network may be, the best first; the network is left as it is.

    Args:
        network: with splines.
        x: samples that it was fitted to, ``(N, n)``.
        functions: the table.

    Returns:
        Candidates by edge, scored by fit and complexity together.

    >>> from kanfield.symbolic.convert import layered
    >>> x = np.linspace(-1, 1, 80)[:, None]
    >>> network = refit(layered(["x"], [], x, size=8, seed=0), x, np.exp(2 * x[:, 0]))
    >>> candidates(network, x)[0, 0][0].name
    'exp'
    """
    return {key: _candidates_of(network, x, key, functions) for key in network.spline_keys()}


def _weighted_values(network: Network, x: Array, key: Key) -> tuple[Array, Array, Array]:
    seen, given, weight = edge_values(network, x, key)
    middle = float(np.median(weight))
    return seen, given, np.minimum(weight, _HEAVIEST * middle) if middle > 0 else weight


def _candidates_of(
    network: Network, x: Array, key: Key, functions: Mapping[str, Function], floor: float = 1e-4
) -> list[Candidate]:
    """Single functions for an edge; ``floor`` is the misfit that the spline's own error explains."""
    seen, given, weight = _weighted_values(network, x, key)
    if np.ptp(seen) < 1e-12 or not np.isfinite(weight).all() or not weight.any():
        return []
    return single(seen, given, functions.values(), weight**2, floor=floor)


def _pairs_of(
    network: Network, x: Array, key: Key, functions: Mapping[str, Function], floor: float
) -> list[Candidate]:
    seen, given, weight = _weighted_values(network, x, key)
    return pairs(seen, given, functions, weight**2, floor=floor)


def snap(
    network: Network,
    samples: Samples,
    functions: Mapping[str, Function] = FUNCTIONS,
    go_on: Callable[[], bool] = lambda: True,
    most: int = FEW,
) -> list[Snapped]:
    """Snap a fitted network: the most certain edge first, every snap refitted end to end and judged by that.

    Args:
        network: with splines, fitted.
        samples: to fit and to choose by.
        functions: the table.
        go_on: asked between snaps; False ends the search with what there is.
        most: samples to fit, at most.

    Returns:
        The best networks found, the best first; those whose ``kept`` is empty are formulae.
    """
    spread = samples.spread or 1.0
    # Fewer samples do while splines are left: their own error is larger than that of the constants.
    samples = dataclasses.replace(samples, x=samples.x[:most], y=samples.y[:most])
    start = Snapped(network, rmse(network, samples.x_val, samples.y_val) / spread)
    beam, finished = [start], []
    while beam and go_on():
        following: list[Snapped] = []
        for state in beam:
            following += _next_states(state, samples, functions, spread)
        following.sort(key=price)
        finished += [s for s in following if not _left(s)]
        beam = [s for s in following if _left(s)][:_BEAM]
        if any(not s.kept and s.error < _EXACT for s in finished):
            break
    done = finished or beam or [start]
    return sorted(done, key=price)


def price(state: Snapped) -> tuple[int, float]:
    """What states are sorted by: edges that stayed splines, then error and complexity together, in bits."""
    cost = 0.0
    for _, edge in state.network.edges():
        if isinstance(edge.function, Named):
            cost += edge.function.function.complexity + len(edge.function.free)
    return len(state.kept), _EVIDENCE * math.log2(state.error + _EXACT / 10) + _BITS * cost


def _left(state: Snapped) -> list[Key]:
    return [key for key in state.network.spline_keys() if key not in state.kept]


def _next_states(
    state: Snapped, samples: Samples, functions: Mapping[str, Function], spread: float
) -> list[Snapped]:
    left = _left(state)
    if not left:
        return []
    floor = min(max(0.3 * state.error, 1e-5), 1e-2)
    options = {key: _candidates_of(state.network, samples.x, key, functions, floor) for key in left}
    certain = sorted(left, key=lambda key: options[key][0].error if options[key] else math.inf)
    for key in certain[:_EDGES]:
        states = _tried(state, key, options[key], samples, spread)
        if not any(s.error <= 1.1 * state.error for s in states):
            two = _pairs_of(state.network, samples.x, key, functions, floor)
            states += _tried(state, key, two, samples, spread)
        if states:
            return states
    return [dataclasses.replace(state, kept=state.kept | {certain[0]})]


def _tried(
    state: Snapped, key: Key, options: list[Candidate], samples: Samples, spread: float
) -> list[Snapped]:
    """The states that candidates of one edge lead to, each refitted; those that are worse are left out."""
    states: list[Snapped] = []
    for candidate in options[:_OPTIONS]:
        # The misfit of the best bounds what is worth trying.
        if candidate.error > max(0.2, 5 * options[0].error):
            continue
        for network in placed(state.network, key, candidate):
            network = refit(network, samples.x, samples.y, iterations=15, tolerance=1e-5)
            error = rmse(network, samples.x_val, samples.y_val) / spread
            if _EXACT < error < 1e-6:  # it converges, and may do so to the last digits
                network = refit(network, samples.x, samples.y, iterations=15, tolerance=1e-12)
                error = rmse(network, samples.x_val, samples.y_val) / spread
            if error <= max(_WORSE * state.error, _EXACT):
                kept = frozenset(_renamed(k, key, len(candidate.inner)) for k in state.kept)
                states.append(Snapped(network, error, kept))
            if error < max(0.05 * state.error, _EXACT):  # no other can be meant
                return states
    return states


def _renamed(key: Key, changed: Key, more: int) -> Key:
    return (key[0] + more, key[1]) if key[0] >= changed[0] else key


def placed(network: Network, key: Key, candidate: Candidate) -> list[Network]:
    """The networks that a candidate on an edge can give.

    A constant added to a factor of a product can often be moved into the other terms, so that it is tried
    without one first; in a sum the bias has it.

    Args:
        network: the present one.
        key: of the edge.
        candidate: for it.
    """
    node = network.nodes[key[0]]
    if candidate.inner:
        return [network.with_chain(key, candidate.inner, candidate.function)]
    named = candidate.function
    network = _absorbed(network, key, named)
    named = _without_gauge(network, key, named)
    a, b, c, d = named.constants
    bare = Named(named.function, np.array([a, b, c, 0.0]), named.free.replace("d", ""))
    if not node.product:
        moved = dataclasses.replace(network.nodes[key[0]], bias=(network.nodes[key[0]].bias or 0.0) + d)
        return [network.with_node(key[0], moved).with_function(key, bare)]
    if named.function.name in ("x^2", "x^4", "1/x", "1/x^2", "x^3") and "b" in named.free and b != 0:
        power = Named(named.function, np.array([math.copysign(1.0, a), 0.0, c, 0.0]), "c")
        with_power = [network.with_function(key, power)] if _inside(network, key, power) else []
        return [*with_power, network.with_function(key, bare), network.with_function(key, named)]
    return [network.with_function(key, bare), network.with_function(key, named)]


def _inside(network: Network, key: Key, named: Named) -> bool:
    low, high = named.function.domain
    function = network.edge(key).function
    assert isinstance(function, Spline)
    return low < function.lower and function.upper < high


def _absorbable(network: Network, key: Key) -> int | None:
    """The sum that an edge sees, where nothing else sees it and it can take over the edge's a and b."""
    source = network.edge(key).source - len(network.inputs)
    if source < 0 or network.nodes[source].product or network.nodes[source].bias is None:
        return None
    seen_by = [k for k, e in network.edges() if e.source == source + len(network.inputs)]
    return source if seen_by == [key] else None


def _absorbed(network: Network, key: Key, named: Named) -> Network:
    """The network whose sum before an edge is scaled and shifted by the edge's a and b."""
    source = _absorbable(network, key)
    if source is None:
        return network
    a, b = named.constants[:2]
    node = network.nodes[source]
    edges = []
    for edge in node.edges:
        f = edge.function
        if isinstance(f, Spline):
            f = dataclasses.replace(f, coef=a * f.coef)
        else:
            f = dataclasses.replace(f, constants=f.constants * np.array([1, 1, a, a]))
        edges.append(Edge(edge.source, f))
    return network.with_node(
        source, dataclasses.replace(node, edges=tuple(edges), bias=a * (node.bias or 0.0) + b)
    )


def _without_gauge(network: Network, key: Key, named: Named) -> Named:
    if _absorbable(network, key) is None:
        return named
    _, _, c, d = named.constants
    free = "".join(letter for letter in named.free if letter in "cd")
    return Named(named.function, np.array([1.0, 0.0, c, d]), free)
