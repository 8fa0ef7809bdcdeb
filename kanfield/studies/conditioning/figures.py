"""Figures of the study ``conditioning``: ratios of eigenvalues, and spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kanfield.reports.figures import MARKERS, SERIES, add_grid, add_legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, float]]


def draw_ratios(rows: Mapping[str, Rows], size: int, dimension: int) -> Figure:
    """Ratios against the grid in one dimension, and against the dimension on one grid.

    Args:
        rows: of every layer, with ``d``, ``G`` and ``ratio``.
        size: the grid of the right panel.
        dimension: the number of inputs of the left panel.
    """
    figure, axes = new_figure(8.4, 3.6, 1, 2, sharey=True)
    for number, (name, all_rows) in enumerate(rows.items()):
        style = {"marker": MARKERS[number], "color": SERIES[number], "markersize": 5}
        by_grid = [(row["G"], row["ratio"]) for row in all_rows if row["d"] == dimension]
        by_dimension = [(row["d"], row["ratio"]) for row in all_rows if row["G"] == size]
        axes[0].plot(*zip(*by_grid, strict=True), label=name, **style)
        axes[1].plot(*zip(*by_dimension, strict=True), **style)
    for axis, key, word in zip(axes, ("G", "d"), ("grid size or width G", "dimension d"), strict=True):
        axis.set_xscale("log")
        axis.set_yscale("log")
        values = sorted({int(row[key]) for all_rows in rows.values() for row in all_rows})
        axis.set_xticks(values, [str(v) for v in values])
        axis.minorticks_off()
        axis.set_xlabel(word)
        add_grid(axis)
    axes[0].set_ylabel("largest over smallest eigenvalue")
    add_legend(figure)
    return figure  # type: ignore[no-any-return]


def draw_spectra(eigenvalues: Mapping[str, Sequence[float]]) -> Figure:
    """Eigenvalues in descending order, over the largest."""
    figure, axis = new_figure(5.6, 3.6)
    for number, (name, values) in enumerate(eigenvalues.items()):
        axis.plot(
            range(1, len(values) + 1), values, color=SERIES[number], marker=MARKERS[number], markersize=3
        )
        axis.plot([], [], color=SERIES[number], marker=MARKERS[number], markersize=5, label=name)
    axis.set_yscale("log")
    axis.set_xlabel("number of the eigenvalue")
    axis.set_ylabel("eigenvalue over the largest")
    add_grid(axis)
    add_legend(figure)
    return figure  # type: ignore[no-any-return]
