"""Figures of the study ``random-field``: errors against the length scale and against the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kanfield.reports.figures import MARKERS, SERIES, add_grid, add_legend, legend_entry, new_figure
from kanfield.studies.common.panels import new_panels
from kanfield.studies.random_field.settings import RandomField, trial_key
from kanfield.studies.study import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES: dict[str, dict[str, Any]] = {
    "test": {"linestyle": "-"},
    "train": {"linestyle": "--", "markerfacecolor": "none"},
}


def _number(value: float | None) -> float:
    return np.nan if value is None else value


def draw_errors(settings: RandomField, names: Sequence[str], results: Mapping[str, Result]) -> Figure:
    """A panel for every dimension: errors of every model against the length scale."""
    count = len(settings.dimensions)
    figure, axes = new_figure(1 + 4 * count, 4, 1, count, squeeze=False, sharey=True)
    for axis, d in zip(axes[0], settings.dimensions, strict=True):
        for number, name in enumerate(names):
            for key, style in _STYLES.items():
                rows = [results[trial_key(d, s, 1, name)] for s in settings.sigmas]
                label = name if key == "test" and axis is axes[0, 0] else None
                axis.plot(
                    settings.sigmas,
                    [_number(row[key][-1]) for row in rows],
                    **style,
                    color=SERIES[number],
                    marker=MARKERS[number],
                    markersize=4,
                    label=label,
                )
        axis.set_title(f"d = {d}", fontsize=10)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(settings.sigmas, [f"{s:g}" for s in settings.sigmas])
        axis.xaxis.minorticks_off()
        axis.set_xlabel("length scale sigma")
        add_grid(axis)
    axes[0, 0].set_ylabel("RMSE, labels of unit deviation")
    add_legend(figure, *(legend_entry(key, marker="o", **style) for key, style in _STYLES.items()))
    return figure  # type: ignore[no-any-return]


def draw_grids(settings: RandomField, names: Sequence[str], results: Mapping[str, Result]) -> Figure:
    """A panel for every random field and number of samples: the KANs' errors against their grid."""
    cases = settings.cases()
    figure, axes = new_panels(len(cases), 4, 2.6, 2.4, sharey=True)
    for place, (axis, (d, sigma, factor)) in enumerate(zip(axes.flat, cases, strict=False)):
        for number, name in enumerate(names):
            row = results[trial_key(d, sigma, factor, name)]
            for key, style in _STYLES.items():
                label = name if key == "test" and not place else None
                values = [_number(value) for value in row[key]]
                colour, marker = SERIES[number], MARKERS[number]
                axis.plot(row["grids"], values, **style, color=colour, marker=marker, label=label)
        samples = ", 10 x samples" if factor == 10 else ""
        axis.set_title(f"d = {d}, sigma = {sigma:g}{samples}", fontsize=9)
        axis.set_yscale("log")
        add_grid(axis)
        if place >= len(cases) - axes.shape[1]:
            axis.set_xlabel("grid size G")
    for axis in axes[:, 0]:
        axis.set_ylabel("RMSE")
    add_legend(figure, *(legend_entry(key, marker="o", **style) for key, style in _STYLES.items()))
    return figure
