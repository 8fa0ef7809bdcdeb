"""Layered KANs as networks: fresh ones, and those that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from kanfield.errors import InputError
from kanfield.fields.kan import KAN
from kanfield.fields.kan_layer import KANLayer
from kanfield.splines import Grid, spline
from kanfield.symbolic.edges import ORDER, Spline, spline_basis
from kanfield.symbolic.network import Edge, Network, Node, cover

Array = NDArray[np.float64]

_FINER = 8  # times the cells, for edges that are no cubic spline of their grid


def layered(inputs: Sequence[str], widths: Sequence[int], x: Array, size: int, seed: int) -> Network:
    """A fresh KAN with splines on all edges.

    Args:
        inputs: names of the inputs.
        widths: units of the hidden layers.
        x: samples that the grids cover, ``(N, n)``.
        size: cells of every grid.
        seed: of the random start.

    Returns:
        A network whose first layers see straight lines of random slopes with a little noise.

    >>> network = layered(["u", "v"], [5], np.random.default_rng(0).uniform(-1, 1, (50, 2)), 3, seed=0)
    >>> len(list(network.edges())), network(np.zeros((4, 2))).shape
    (15, (4,))
    """
    random = np.random.default_rng(seed)
    known = list(np.ascontiguousarray(x.T))
    nodes: list[Node] = []
    sources = list(range(len(inputs)))
    for width in (*widths, 1):
        layer = []
        for _ in range(width):
            edges = []
            for source in sources:
                lower, upper = cover(known[source])
                greville = (np.arange(size + 3) - 1) / size * 2 - 1
                slope = random.standard_normal() / len(sources) ** 0.5
                coef = slope * greville + 0.1 * random.standard_normal(size + 3) / len(sources) ** 0.5
                edges.append(Edge(source, Spline(lower, upper, coef)))
            layer.append(Node(tuple(edges), bias=0.0))
        new = [np.sum([e.function(known[e.source]) for e in node.edges], axis=0) for node in layer]
        nodes += layer
        sources = list(range(len(known), len(known) + width))
        known += new
    return Network(tuple(inputs), tuple(nodes))


def from_kan(kan: KAN, names: Sequence[str]) -> Network:
    """A network with the edges of a trained KAN, which is left as it is.

    Cubic splines without a base are carried over exactly. Other edges become the nearest cubic splines on
    eight times the cells, over the range of their grids.

    Args:
        kan: on the coordinates themselves, with one output.
        names: of its inputs.

    Raises:
        InputError: the KAN has an encoding, as those of image fields have, or several outputs.

    >>> kan = KAN(2, 1, widths=[3], grids=4)
    >>> len(from_kan(kan, ["a", "b"]).spline_keys())
    9
    """
    layers = [layer for layer in kan.layers if isinstance(layer, KANLayer)]
    if kan.encoding != "none" or kan.has_residual:
        seen = kan.encoding if kan.encoding != "none" else "a residual's grid"
        raise InputError(
            f"the KAN sees {seen}, as fields of images do: no formula of named functions is an image"
        )
    if layers[-1].out_features != 1:
        raise InputError(f"the KAN has {layers[-1].out_features} outputs: snap one of a single output")
    if len(names) != layers[0].in_features:
        raise InputError(f"the KAN has {layers[0].in_features} inputs and {len(names)} names were given")
    nodes: list[Node] = []
    sources = list(range(len(names)))
    for layer in layers:
        edges = _edges(layer)
        first = len(names) + len(nodes)
        for output in range(layer.out_features):
            row = tuple(Edge(source, edges[place][output]) for place, source in enumerate(sources))
            nodes.append(Node(row, bias=0.0))
        sources = list(range(first, first + layer.out_features))
    return Network(tuple(names), tuple(nodes))


def _edges(layer: KANLayer) -> list[list[Spline]]:
    """The splines of a layer by input and output."""
    with torch.no_grad():
        coef = layer.merged_coef().double()
        lower, upper = layer.lower.double(), layer.upper.double()
        rows = coef.reshape(layer.in_features, -1, layer.out_features)
        found: list[list[Spline]] = []
        for place in range(layer.in_features):
            low, high = float(lower[place]), float(upper[place])
            if layer.base_weight is None and layer.order == ORDER:
                columns = rows[place].numpy().T
            else:
                size = _FINER * layer.grid_size
                t = torch.linspace(low, high, 4 * size + 1, dtype=torch.float64)
                grid = Grid(lower[place : place + 1], upper[place : place + 1], layer.grid_size)
                values = spline(t[:, None], rows[place], grid, layer.order)
                if layer.base_weight is not None:
                    values = values + torch.nn.functional.silu(t)[:, None] * layer.base_weight[place].double()
                basis = spline_basis(t.numpy(), low, high, size)
                columns = np.linalg.lstsq(basis, values.numpy(), rcond=None)[0].T
            found.append([Spline(low, high, np.array(column)) for column in columns])
    return found
