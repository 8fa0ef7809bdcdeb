"""Drawings of networks: every edge's function on its line, thick where it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kanfield.reports.figures import INK, SERIES, literal, new_figure
from kanfield.symbolic.edges import Named
from kanfield.symbolic.network import Network
from kanfield.symbolic.prune import attributions, depths

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

_BOX = 0.13  # width of an edge's little plot, of the axes' width
_STRENGTH = 3.0  # a line's opacity is tanh of this times the edge's attribution, as in the KAN paper


def draw(network: Network, x: Array, target: str) -> Figure:
    """Draw a network from its inputs, at the bottom, to its output.

    Args:
        network: which one.
        x: samples whose range the edges are drawn over, ``(N, n)``.
        target: name of the output.

    Returns:
        A figure: splines in one colour, named functions in another, with their names.
    """
    depth = [*[0] * len(network.inputs), *depths(network)]
    levels = max(depth)
    used = {edge.source for _, edge in network.edges()}
    shown = [n for n in range(len(depth)) if n >= len(network.inputs) or n in used]
    rows = [[n for n in shown if depth[n] == level] for level in range(levels + 1)]
    place = {
        n: ((k + 0.5) / len(row), (level + 0.08) / (levels + 0.2))
        for level, row in enumerate(rows)
        for k, n in enumerate(row)
    }
    widest = max(max(map(len, rows)), sum(1 for _ in network.edges()) / max(levels, 1))
    figure, axes = new_figure(min(12, 2.5 + 1.3 * widest), 1.0 + 1.7 * levels)
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    known, strength, first = network.values(x), attributions(network, x), len(network.inputs)
    boxes: dict[int, list[tuple[int, int]]] = {}
    for key, _ in network.edges():
        boxes.setdefault(depth[first + key[0]], []).append(key)
    for level, keys in boxes.items():
        keys.sort(key=lambda k: place[network.edge(k).source][0] + place[first + k[0]][0])
        for spot, key in enumerate(keys):
            edge = network.edge(key)
            start, end = place[edge.source], place[first + key[0]]
            middle = ((spot + 0.5) / len(keys), (level - 0.44) / (levels + 0.2))
            alpha = max(0.12, float(np.tanh(_STRENGTH * strength[key])))
            for a, b in ((start, middle), (middle, end)):
                axes.plot([a[0], b[0]], [a[1], b[1]], color=INK, alpha=alpha, linewidth=1.2, zorder=1)
            width = min(_BOX, 0.8 / len(keys))
            inner = axes.inset_axes((middle[0] - width / 2, middle[1] - 0.13 / levels, width, 0.26 / levels))
            seen = known[edge.source]
            t = np.linspace(seen.min(), seen.max(), 120)
            named = isinstance(edge.function, Named)
            with np.errstate(all="ignore"):
                inner.plot(t, edge.function(t), color=SERIES[1] if named else SERIES[0], linewidth=1.4)
            inner.set_xticks([])
            inner.set_yticks([])
            inner.patch.set_alpha(1.0)
            if isinstance(edge.function, Named):
                style = {"fontsize": 8, "color": SERIES[1], "ha": "center", "va": "bottom"}
                backing = {"facecolor": "white", "edgecolor": "none", "pad": 1}
                name = literal(edge.function.function.name)
                inner.text(0.5, 1.06, name, transform=inner.transAxes, bbox=backing, **style)
    for n in shown:
        node = None if n < first else network.nodes[n - first]
        label = network.inputs[n] if node is None else "\u00d7" if node.product else "+"
        if n == len(depth) - 1:
            label = target
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": INK}
        axes.text(*place[n], literal(label), ha="center", va="center", fontsize=10, zorder=3, bbox=box)
    return figure
