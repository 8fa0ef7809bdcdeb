"""A KAN as a graph of nodes: sums and products of one-variable functions of earlier nodes.

A layered KAN ``[n, w, 1]`` is ``w`` sums over the inputs and one over those; a multiplication node of KAN 2.0
(arXiv:2408.10205) is a product. Every change gives a new network, and the old one stays as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray

from kanfield.symbolic.edges import EdgeFunction, Named, Spline
from kanfield.symbolic.numbers import as_number

Array = NDArray[np.float64]
Key = tuple[int, int]  # node (counted from the first after the inputs) and edge of it


@dataclass(frozen=True)
class Edge:
    """A function of one value: an input, by its number, or an earlier node, counted after the inputs."""

    source: int
    function: EdgeFunction


@dataclass(frozen=True)
class Node:
    """A sum, or a product, of its edges.

    Attributes:
        edges: what is summed or multiplied.
        product: whether it is a product.
        bias: constant that a sum adds, which a fit may change; None for none.
        fixed: whether a fit leaves the bias as it is.
    """

    edges: tuple[Edge, ...]
    product: bool = False
    bias: float | None = None
    fixed: bool = False


@dataclass(frozen=True)
class Network:
    """Nodes over named inputs; the last node is the output.

    Attributes:
        inputs: names of the columns of x.
        nodes: in an order in which every source comes first.

    Shape:
        - Input: ``(N, n)``, one column for every name.
        - Output: ``(N,)``.
    """

    inputs: tuple[str, ...]
    nodes: tuple[Node, ...]

    # ---- reading ---------------------------------------------------------------------------------

    def edges(self) -> Iterator[tuple[Key, Edge]]:
        """Every edge with its key, nodes in their order."""
        for number, node in enumerate(self.nodes):
            for place, edge in enumerate(node.edges):
                yield (number, place), edge

    def edge(self, key: Key) -> Edge:
        """The edge of a key."""
        return self.nodes[key[0]].edges[key[1]]

    def spline_keys(self) -> list[Key]:
        """Keys of the edges that are splines."""
        return [key for key, edge in self.edges() if isinstance(edge.function, Spline)]

    def values(self, x: Array) -> list[Array]:
        """Values of all inputs and nodes at ``x``, each ``(N,)``."""
        known = list(np.ascontiguousarray(x.T))
        for node in self.nodes:
            parts = [edge.function(known[edge.source]) for edge in node.edges]
            known.append(_combine(node, parts, len(x)))
        return known

    def __call__(self, x: Array) -> Array:
        """The output at ``x``, shape ``(N,)``."""
        return self.values(x)[-1]

    # ---- parameters ------------------------------------------------------------------------------

    @property
    def parameters(self) -> Array:
        """All free parameters, node by node: those of its edges, then its bias."""
        parts = [part for node in self.nodes for part in _node_parameters(node)]
        return np.concatenate(parts) if parts else np.empty(0)

    def with_parameters(self, p: Array) -> Network:
        """The same network with other values of :attr:`parameters`."""
        nodes, place = [], 0
        for node in self.nodes:
            edges = []
            for edge in node.edges:
                size = len(edge.function.parameters)
                function = edge.function.with_parameters(p[place : place + size]) if size else edge.function
                edges.append(Edge(edge.source, function))
                place += size
            bias = node.bias
            if bias is not None and not node.fixed:
                bias, place = float(p[place]), place + 1
            nodes.append(dataclasses.replace(node, edges=tuple(edges), bias=bias))
        return dataclasses.replace(self, nodes=tuple(nodes))

    def jacobian(self, x: Array) -> Array:
        """Derivatives of the output by :attr:`parameters`, exactly, in one sweep backwards: ``(N, P)``."""
        known = self.values(x)
        sizes = [sum(map(len, _node_parameters(node))) for node in self.nodes]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        out = np.zeros((len(x), starts[-1]))
        weights = [np.zeros(len(x)) for _ in known]
        weights[-1] = np.ones(len(x))
        first = len(self.inputs)
        for number in reversed(range(len(self.nodes))):
            node, weight, place = self.nodes[number], weights[first + number], starts[number]
            for edge, others in zip(node.edges, _others(node, known), strict=True):
                w = weight * others
                size = len(edge.function.parameters)
                if size:
                    out[:, place : place + size] = w[:, None] * edge.function.jacobian(known[edge.source])
                    place += size
                if edge.source >= first:
                    weights[edge.source] = weights[edge.source] + w * edge.function.slope(known[edge.source])
            if node.bias is not None and not node.fixed:
                out[:, place] = weight
        return out

    # ---- changing --------------------------------------------------------------------------------

    def with_function(self, key: Key, function: EdgeFunction) -> Network:
        """The network with another function on one edge."""
        node = self.nodes[key[0]]
        edges = list(node.edges)
        edges[key[1]] = Edge(edges[key[1]].source, function)
        return self.with_node(key[0], dataclasses.replace(node, edges=tuple(edges)))

    def with_node(self, number: int, node: Node) -> Network:
        """The network with another node in the place of one."""
        nodes = list(self.nodes)
        nodes[number] = node
        return dataclasses.replace(self, nodes=tuple(nodes))

    def with_chain(self, key: Key, inner: Sequence[Node], function: EdgeFunction) -> Network:
        """The network with new nodes put into an edge: the last of them is seen through ``function``.

        Sources of the new nodes are the edge's own where they are -1, and -2 is the new node before.
        """
        number, first = key[0], len(self.inputs)
        own, at = self.edge(key).source, first + number

        def shifted(source: int) -> int:
            return source if source < at else source + len(inner)

        nodes = list(self.nodes[:number])
        for count, node in enumerate(inner):
            sources = {-1: own, -2: at + count - 1}
            nodes.append(
                dataclasses.replace(
                    node, edges=tuple(Edge(sources[edge.source], edge.function) for edge in node.edges)
                )
            )
        for later, node in enumerate(self.nodes[number:]):
            edges = [Edge(shifted(edge.source), edge.function) for edge in node.edges]
            if later == 0:
                edges[key[1]] = Edge(at + len(inner) - 1, function)
            nodes.append(dataclasses.replace(node, edges=tuple(edges)))
        return dataclasses.replace(self, nodes=tuple(nodes))

    def without(self, keys: set[Key]) -> Network:
        """The network without some edges, nor nodes and edges that then lead nowhere."""
        kept = [
            dataclasses.replace(
                node, edges=tuple(e for place, e in enumerate(node.edges) if (number, place) not in keys)
            )
            for number, node in enumerate(self.nodes)
        ]
        first = len(self.inputs)
        changed = True
        while changed:  # an empty sum is a constant, which the bias of the sums that see it holds
            dead = {first + n for n, node in enumerate(kept[:-1]) if not node.edges}
            trimmed = [
                dataclasses.replace(node, edges=tuple(e for e in node.edges if e.source not in dead))
                for node in kept
            ]
            used = {edge.source for node in trimmed for edge in node.edges}
            for n in range(len(trimmed) - 1):
                if first + n not in used:
                    trimmed[n] = dataclasses.replace(trimmed[n], edges=())
            changed, kept = trimmed != kept, trimmed
        order = [n for n, node in enumerate(kept) if node.edges or n == len(kept) - 1]
        renamed = {first + old: first + new for new, old in enumerate(order)}
        nodes = tuple(
            dataclasses.replace(
                kept[n],
                edges=tuple(Edge(renamed.get(e.source, e.source), e.function) for e in kept[n].edges),
            )
            for n in order
        )
        return dataclasses.replace(self, nodes=nodes)

    def map_splines(self, change: Callable[[Key, Spline], EdgeFunction]) -> Network:
        """The network with ``change(key, spline)`` in the place of every spline."""
        network = self
        for key in self.spline_keys():
            function = self.edge(key).function
            assert isinstance(function, Spline)
            network = network.with_function(key, change(key, function))
        return network

    def refine(self, factor: int) -> Network:
        """The same function with every spline on ``factor`` times the cells, exactly."""
        return self.map_splines(lambda _, spline: spline.refine(factor))

    # ---- formulae --------------------------------------------------------------------------------

    def expression(self, splines: Mapping[Key, Any] | None = None) -> Any:
        """The SymPy expression of the output.

        Args:
            splines: SymPy functions that stand for edges that are splines still.

        Raises:
            ValueError: an edge is a spline and has no stand-in.
        """
        known: list[Any] = [sympy.Symbol(name, real=True) for name in self.inputs]
        for number, node in enumerate(self.nodes):
            parts = []
            for place, edge in enumerate(node.edges):
                if isinstance(edge.function, Named):
                    parts.append(edge.function.expression(known[edge.source]))
                elif splines is not None and (number, place) in splines:
                    parts.append(splines[number, place](known[edge.source]))
                else:
                    raise ValueError(f"edge {number}, {place} is a spline: snap it first")
            if node.product:
                known.append(sympy.Mul(*parts))
            else:
                known.append(sympy.Add(*parts, as_number(node.bias or 0.0, node.fixed)))
        return known[-1]


def _combine(node: Node, parts: list[Array], count: int) -> Array:
    if node.product:
        return np.prod(parts, axis=0) if parts else np.ones(count)
    return np.sum(parts, axis=0) + (node.bias or 0.0) if parts else np.full(count, node.bias or 0.0)


def _others(node: Node, known: list[Array]) -> list[Any]:
    """For every edge the derivative of the node by it: for a product, the product of the others."""
    if not node.product:
        return [1.0] * len(node.edges)
    parts = [edge.function(known[edge.source]) for edge in node.edges]
    return [
        np.prod([part for other, part in enumerate(parts) if other != place], axis=0)
        if len(parts) > 1
        else 1.0
        for place in range(len(parts))
    ]


def _node_parameters(node: Node) -> list[Array]:
    parts = [edge.function.parameters for edge in node.edges]
    return parts if node.bias is None or node.fixed else [*parts, np.array([node.bias])]


def cover(values: Array, margin: float = 0.0) -> tuple[float, float]:
    """Borders of a grid that covers values, wider by a fraction ``margin`` of their range on both sides."""
    low, high = float(values.min()), float(values.max())
    spread = max(high - low, 1e-6 * (1 + abs(high)))
    return low - margin * spread, low + (1 + margin) * spread
