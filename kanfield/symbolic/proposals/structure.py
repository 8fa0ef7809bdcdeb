"""Small networks that a formula's structure proposes: its coordinates, its outer function, its terms.

Most formulae of textbooks are ``F(sum of products of one-variable functions)``, on the inputs or on sums,
differences, products or quotients of two of them. Such networks are fitted to the samples directly; which of
them predicts samples that it has not seen says what the structure is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kanfield.symbolic.candidates import OUTER, inverted, unit
from kanfield.symbolic.edges import Spline
from kanfield.symbolic.fit import refit, rmse
from kanfield.symbolic.functions import Function
from kanfield.symbolic.network import Edge, Network, Node, cover
from kanfield.symbolic.proposals.coordinates import Coordinate, columns
from kanfield.symbolic.samples import Samples

Array = NDArray[np.float64]
Term = frozenset[int]  # the coordinates whose functions are multiplied

_SUBSAMPLE = 250  # samples that structures are compared on
_MAX_TERMS = 4
_MAX_COORDINATES = 5  # subsets of more are too many
_ROUGH_CELLS = 4
_FEW = 4  # factors of a structure that is snapped before others are fitted
_PROMISING = 1e-3  # relative error of a structure that is snapped before others are fitted


@dataclass(frozen=True)
class Structure:
    """A network on the inputs whose shape was proposed, fitted to the samples.

    Attributes:
        text: the shape in words.
        network: with splines on its inner edges.
        error: on validation samples, relative to the target's spread.
        score: the error and the number of parameters together; the smaller, the better.
    """

    text: str
    network: Network
    error: float
    score: float


def propose(
    samples: Samples,
    coordinates: tuple[Coordinate, ...],
    functions: Mapping[str, Function],
    names: tuple[str, ...],
    seed: int = 0,
    go_on: Callable[[], bool] = lambda: True,
) -> Iterator[Structure]:
    """Fit networks ``F(sum of products)`` for one outer function after the other.

    Args:
        samples: of the task.
        coordinates: what the products' functions see, at most five.
        functions: the table.
        names: of the inputs.
        seed: of the random starts.
        go_on: asked between fits; False ends the search with what there is.

    Yields:
        The best network of an outer function: at once where it predicts so well that the others need not be
        fitted, which takes longest, before it has been snapped; then the others, the best first.
    """
    if len(coordinates) > _MAX_COORDINATES:
        return
    found: list[Structure] = []
    sign = -1.0 if samples.y.max() <= 0 and samples.y_val.max() <= 0 else 1.0
    for name in ("", *OUTER):
        outer = functions.get(name) if name else None
        if name and outer is None:
            continue
        if found and not go_on():
            break
        task = _inner_task(samples, coordinates, outer, sign)
        if task is None:
            continue
        terms = _choose_terms(task, functions, seed)
        network = min(
            (_fitted(task, terms, functions, seed, cells, starts=2) for cells in _cells(coordinates)),
            key=lambda fitted: _error(task, fitted),
        )
        error = _error(task, network)
        whole = compose(coordinates, network, outer, sign, functions, names, samples.x)
        parameters = len(network.parameters)
        text = _in_words(name, terms, coordinates, names)
        structure = Structure(text, whole, error, float(np.log(error + 1e-9)) + 0.02 * parameters)
        # One function of one coordinate needs no outer one: chains of two are candidates of its edge.
        small = sum(map(len, terms)) <= _FEW  # many factors predict well whatever the outer function is
        if (error < _PROMISING and small) or (len(coordinates) == 1 and not name):
            yield structure
        else:
            found.append(structure)
    yield from sorted(found, key=lambda s: s.score)


def _in_words(
    outer: str, terms: Sequence[Term], coordinates: Sequence[Coordinate], names: Sequence[str]
) -> str:
    """Such as ``exp: f(a) + f(b-c) f(d)``."""
    texts = [coordinate.text(names) for coordinate in coordinates]
    inside = " + ".join(" ".join(texts[place] for place in sorted(term)) for term in terms)
    return f"{outer}: {inside}" if outer else inside


def _cells(coordinates: Sequence[Coordinate]) -> tuple[int, ...]:
    """Grids to choose from: one coordinate has samples for fine ones."""
    return (8, 24, 72) if len(coordinates) == 1 else (8,)


@dataclass(frozen=True)
class _Task:
    """Samples of what an outer function sees, with the weights that make their errors those of the output."""

    z: Array
    t: Array
    w: Array
    z_val: Array
    t_val: Array
    w_val: Array
    spread: float


def _inner_task(
    samples: Samples, coordinates: Sequence[Coordinate], outer: Function | None, sign: float
) -> _Task | None:
    z, z_val = columns(coordinates, samples.x), columns(coordinates, samples.x_val)
    y, y_val = samples.y, samples.y_val
    if outer is None:
        return _Task(z, y, np.ones(len(y)), z_val, y_val, np.ones(len(y_val)), samples.spread)
    t, t_val = inverted(outer, sign * y), inverted(outer, sign * y_val)
    if t is None or t_val is None:
        return None
    w, w_val = (np.minimum(np.abs(outer.slope(v)), 1e6) for v in (t, t_val))
    if not (np.isfinite(w).all() and np.isfinite(w_val).all()) or not w.any():
        return None
    return _Task(z, t, w, z_val, t_val, w_val, samples.spread)


def _error(task: _Task, network: Network) -> float:
    error = float(np.sqrt(np.mean((task.w_val * (network(task.z_val) - task.t_val)) ** 2)))
    return error / (task.spread or 1.0) if np.isfinite(error) else np.inf


def _choose_terms(task: _Task, functions: Mapping[str, Function], seed: int) -> tuple[Term, ...]:
    """The set of products that predicts best, one added after the other, less what is not needed."""
    count = task.z.shape[1]
    few = _Task(
        *(task.z[:_SUBSAMPLE], task.t[:_SUBSAMPLE], task.w[:_SUBSAMPLE]),
        *(task.z_val[:_SUBSAMPLE], task.t_val[:_SUBSAMPLE], task.w_val[:_SUBSAMPLE]),
        task.spread,
    )
    pool = [
        frozenset(chosen)
        for size in range(1, count + 1)
        for chosen in itertools.combinations(range(count), size)
    ]
    known: dict[frozenset[Term], float] = {}

    def error_of(terms: frozenset[Term]) -> float:
        if terms not in known:
            ordered = tuple(sorted(terms, key=lambda t: (len(t), sorted(t))))
            known[terms] = _error(few, _fitted(few, ordered, functions, seed, _ROUGH_CELLS, 1))
        return known[terms]

    def price(terms: frozenset[Term]) -> float:
        return float(np.log(error_of(terms) + 1e-6)) + 0.1 * sum(map(len, terms))

    # Sums of functions of one coordinate each, alone and times a function of one of them.
    sums = [frozenset(frozenset([place]) for place in range(count))]
    if count > 1:
        sums += [
            frozenset(frozenset([one, two]) for two in range(count) if two != one) for one in range(count)
        ]
    beam = sorted({*(frozenset([term]) for term in pool), *sums}, key=price)[:2]
    best = beam[0]
    for _ in range(_MAX_TERMS - 1):
        if error_of(best) < _PROMISING:
            break
        grown = {terms | {term} for terms in beam for term in pool if term not in terms}
        shrunk = {terms - {term} for terms in grown for term in terms if len(terms) > 2}
        beam = sorted((grown | shrunk) if count <= 3 else grown, key=price)[:2]
        if not beam or price(beam[0]) >= price(best):
            break
        best = beam[0]
    for term in sorted(best, key=len, reverse=True):
        if len(best) > 1 and price(best - {term}) < price(best):
            best = best - {term}
    return tuple(sorted(best, key=lambda t: (len(t), sorted(t))))


def _fitted(
    task: _Task,
    terms: Sequence[Term],
    functions: Mapping[str, Function],
    seed: int,
    cells: int,
    starts: int,
) -> Network:
    """A sum of products of splines, fitted to what the outer function sees."""
    random = np.random.default_rng(seed)
    best, best_error = None, np.inf
    has_products = any(len(term) > 1 for term in terms)
    for _ in range(starts if has_products else 1):
        network = _fresh(task, terms, functions, random, cells)
        network = refit(
            network, task.z, task.t, weight=task.w, iterations=20 if starts == 1 else 60, tolerance=1e-5
        )
        error = _error(task, network)
        if best is None or error < best_error:
            best, best_error = network, error
    assert best is not None
    return best


def _fresh(
    task: _Task,
    terms: Sequence[Term],
    functions: Mapping[str, Function],
    random: np.random.Generator,
    cells: int,
) -> Network:
    count = task.z.shape[1]
    mean = float(np.average(task.t, weights=task.w**2 + 1e-300))
    scale = float(np.std(task.t)) or 1.0

    def spline(place: int, level: float, spread: float) -> Spline:
        low, high = cover(task.z[:, place])
        greville = (np.arange(cells + 3) - 1) / cells * 2 - 1
        coef = level + spread * (
            random.standard_normal() * greville + 0.3 * random.standard_normal(cells + 3)
        )
        return Spline(low, high, coef)

    nodes: list[Node] = []
    last: list[Edge] = []
    for term in terms:
        places = sorted(term)
        if len(places) == 1:
            last.append(Edge(places[0], spline(places[0], 0.0, 0.1 * scale)))
            continue
        root = scale ** (1 / len(places))
        edges = tuple(Edge(place, spline(place, root, 0.3 * root)) for place in places)
        last.append(Edge(count + len(nodes), unit(functions["x"])))
        nodes.append(Node(edges, product=True))
    names = tuple(f"z{place}" for place in range(count))
    return Network(names, (*nodes, Node(tuple(last), bias=mean)))


def compose(
    coordinates: Sequence[Coordinate],
    network: Network,
    outer: Function | None,
    sign: float,
    functions: Mapping[str, Function],
    names: tuple[str, ...],
    x: Array,
) -> Network:
    """The network on the inputs: coordinates before it, and the outer function after it."""
    first = len(names)
    nodes: list[Node] = []
    where: list[int] = []
    for coordinate in coordinates:
        if coordinate.kind == "x":
            where.append(coordinate.sources[0])
        else:
            where.append(first + len(nodes))
            nodes.append(coordinate.node(functions, x))
    shift = first + len(nodes) - len(coordinates)
    for node in network.nodes:
        edges = tuple(
            Edge(where[e.source] if e.source < len(coordinates) else e.source + shift, e.function)
            for e in node.edges
        )
        nodes.append(Node(edges, node.product, node.bias))
    if outer is not None:
        nodes.append(Node((Edge(first + len(nodes) - 1, unit(outer, sign)),)))
    return Network(names, tuple(nodes))


def improve(structure: Structure, samples: Samples) -> Structure:
    """The structure with its whole network refitted to the target itself, where that helps."""
    network = refit(structure.network, samples.x, samples.y, iterations=15, tolerance=1e-5)
    error = rmse(network, samples.x_val, samples.y_val) / (samples.spread or 1.0)
    if error >= structure.error:
        return structure
    return Structure(structure.text, network, error, structure.score)
