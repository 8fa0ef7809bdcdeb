"""Figures of the study ``poisson-1d``: errors against steps and against frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kanfield.reports.figures import MARKERS, SERIES, add_grid, add_legend, new_figure
from kanfield.studies.poisson_1d.settings import Poisson1d
from kanfield.studies.study import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_errors(settings: Poisson1d, results: Mapping[str, Result]) -> Figure:
    """A column for every frequency: errors in L2 and H1 against steps."""
    count = len(settings.frequencies)
    figure, axes = new_figure(0.8 + 2.1 * count, 4.6, 2, count, squeeze=False, sharex=True, sharey="row")
    for column, w in enumerate(settings.frequencies):
        for number, model in enumerate(settings.models):
            row = results[f"w{w}-{model}"]
            for axis, key in zip(axes[:, column], ("l2", "h1"), strict=True):
                label = model if not column and key == "l2" else None
                axis.plot(row["steps"], row[key], color=SERIES[number], linewidth=1.5, label=label)
        axes[0, column].set_title(f"w = {w}", fontsize=10)
        axes[1, column].set_xlabel("steps of L-BFGS")
    for axis in axes.flat:
        axis.set_yscale("log")
        add_grid(axis)
    axes[0, 0].set_ylabel("relative L2 error")
    axes[1, 0].set_ylabel("relative H1 error")
    add_legend(figure)
    return figure  # type: ignore[no-any-return]


def draw_final(settings: Poisson1d, results: Mapping[str, Result]) -> Figure:
    """Errors at the end against frequency, in L2 and in H1."""
    figure, axes = new_figure(7.4, 3.2, 1, 2)
    for axis, key, name in zip(axes, ("l2", "h1"), ("L2", "H1"), strict=True):
        for number, model in enumerate(settings.models):
            errors = [results[f"w{w}-{model}"][key][-1] for w in settings.frequencies]
            label = model if key == "l2" else None
            style = {"color": SERIES[number], "marker": MARKERS[number], "label": label}
            axis.plot(settings.frequencies, errors, **style)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("frequency w")
        axis.set_ylabel(f"relative {name} error")
        add_grid(axis)
    add_legend(figure)
    return figure  # type: ignore[no-any-return]
