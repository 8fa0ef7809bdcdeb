"""Figures of the study ``pde``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kanfield.reports.figures import MARKERS, SERIES, add_grid, add_legend, new_figure
from kanfield.studies.pde.rows import ROWS
from kanfield.studies.pde.settings import Pde
from kanfield.studies.study import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_rows(settings: Pde, results: Mapping[str, Result]) -> Figure:
    """A line for every row: the poster's error and ours, by ways."""
    keys = list(settings.rows)[::-1]
    figure, axis = new_figure(7.4, 1.2 + 0.35 * len(keys))
    errors = {"poster": {key: ROWS[key].error for key in keys}}
    for way in settings.ways:
        errors[way] = {key: results[f"{key}-{way}"]["l2"] for key in keys if f"{key}-{way}" in results}
    for number, (name, found) in enumerate(errors.items()):
        heights = [keys.index(key) for key in found]
        style = {"color": SERIES[number], "marker": MARKERS[number], "linestyle": "none", "label": name}
        axis.plot(list(found.values()), heights, **style)
    axis.set_yticks(range(len(keys)), [f"{ROWS[key].problem}, {ROWS[key].shape}" for key in keys], fontsize=8)
    axis.set_xscale("log")
    axis.set_xlabel("relative L2 error")
    add_grid(axis)
    add_legend(figure)
    return figure  # type: ignore[no-any-return]


def draw_errors(settings: Pde, results: Mapping[str, Result]) -> Figure:
    """Errors against seconds of our solutions, one column for each problem."""
    problems = list(dict.fromkeys(ROWS[key].problem for key in settings.rows))
    figure, axes = new_figure(1 + 3.6 * len(problems), 3.6, 1, len(problems), squeeze=False)
    for axis, problem in zip(axes[0], problems, strict=True):
        keys = [key for key in settings.rows if ROWS[key].problem == problem]
        for number, key in enumerate(keys):
            for way, line in (("guess", ":"), ("best", "-")):
                if (found := results.get(f"{key}-{way}")) is None or "error/L2" not in found["curves"]:
                    continue
                values = [error for _, error in found["curves"]["error/L2"]]
                style = {"color": SERIES[number], "linestyle": line, "linewidth": 1.5}
                axis.plot(found["at"], values, label=f"{key}, {way}", **style)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(problem, fontsize=10)
        axis.set_xlabel("seconds")
        add_grid(axis)
    axes[0, 0].set_ylabel("relative L2 error")
    add_legend(figure)
    return figure  # type: ignore[no-any-return]
