"""Figures of the study ``scaling``: test error against parameters, approximation error against the grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kanfield.metrics.spectra import log_slope
from kanfield.reports.figures import INK, MARKERS, SERIES, add_grid, add_legend, legend_entry, new_figure
from kanfield.studies.common.panels import new_panels
from kanfield.studies.scaling.toy_functions import TOYS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Point:
    """Test errors at one size.

    Attributes:
        parameters: number of them.
        grid: cells G; None for an MLP.
        rmse: root mean square error, median over seeds.
        median: root of the median square error over test points, median over seeds.
        low: lowest ``rmse`` over seeds.
        high: highest ``rmse`` over seeds.
    """

    parameters: int
    grid: int | None
    rmse: float
    median: float
    low: float
    high: float


def draw_scaling(kans: Mapping[str, Sequence[Point]], mlps: Mapping[str, Mapping[str, Point]]) -> Figure:
    """A panel for every function: KANs over their grids, MLPs by depth, and theory's slopes.

    Args:
        kans: points of every function, in ascending order of grids.
        mlps: the point of every shape, such as ``"32x2"``, for every function.
    """
    figure, axes = new_panels(len(kans), 3, 3.5, 3.1)
    for number, (axis, (name, points)) in enumerate(zip(axes.flat, kans.items(), strict=False)):
        _draw_kan(axis, name, points, labelled=not number)
        depths = sorted({shape.split("x")[1] for shape in mlps[name]})
        for place, depth in enumerate(depths, 1):
            line = sorted(
                (p for shape, p in mlps[name].items() if shape.split("x")[1] == depth),
                key=lambda p: p.parameters,
            )
            x, y = [p.parameters for p in line], [p.rmse for p in line]
            low, high = [p.low for p in line], [p.high for p in line]
            label = f"MLP, {depth} hidden layers" if not number else None
            axis.plot(x, y, marker=MARKERS[place], markersize=4, color=SERIES[place], label=label)
            axis.fill_between(x, low, high, color=SERIES[place], alpha=0.15, linewidth=0)
            axis.plot(x, [p.median for p in line], "--", color=SERIES[place], linewidth=1)
        axis.set_title(TOYS[name].formula, fontsize=9)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xlabel("parameters N")
        add_grid(axis)
    for axis in axes[:, 0]:
        axis.set_ylabel("test error")
    styles = (
        legend_entry("RMSE"),
        legend_entry("root of the median square", linestyle="--", linewidth=1),
        legend_entry("slope -4", SERIES[9], linewidth=1.1),
        legend_entry("slope -4/d", SERIES[9], linestyle=":", linewidth=1.1),
    )
    add_legend(figure, *styles)
    return figure


def _draw_kan(axis: Axes, name: str, points: Sequence[Point], labelled: bool) -> None:
    x = [p.parameters for p in points]
    label = "KAN" if labelled else None
    axis.plot(x, [p.rmse for p in points], marker="o", markersize=4, color=SERIES[0], label=label)
    axis.plot(x, [p.median for p in points], "--", color=SERIES[0], linewidth=1)
    low, high = [p.low for p in points], [p.high for p in points]
    axis.fill_between(x, low, high, color=SERIES[0], alpha=0.15, linewidth=0)
    start = next((p for p in points if p.grid is not None and p.grid >= TOYS[name].decade[0]), points[0])
    bottom = min(min(p.low, p.median) for p in points) / 3
    dimension = TOYS[name].inputs
    for power, style in ((4.0, "-"), (4.0 / dimension, ":")):
        # To the largest number of parameters, and not below the data.
        end = min(float(x[-1]), start.parameters * (start.median / bottom) ** (1 / power))
        y = start.median * (end / start.parameters) ** -power
        axis.plot([start.parameters, end], [start.median, y], style, color=SERIES[9], linewidth=1.1, zorder=1)


def draw_approximation(grids: Sequence[int], errors: Mapping[str, Sequence[float]]) -> Figure:
    """A panel for every order: errors in C^m against G, with their slopes.

    Args:
        grids: the values of G.
        errors: by names such as ``"order 3, C^1"``, one for every grid.
    """
    figure, axes = new_figure(9.4, 3.4, 1, 3, sharey=True)
    for axis, order in zip(axes, (1, 2, 3), strict=True):
        for m in range(3):
            values = errors.get(f"order {order}, C^{m}")
            if values is None:
                continue
            slope = log_slope([float(g) for g in grids], list(values))[0]
            label = f"C^{m}: slope {slope:.2f}, theory {m - order - 1}"
            axis.plot(grids, values, marker=MARKERS[m], markersize=4, color=SERIES[m], label=label)
            law = [values[0] * (g / grids[0]) ** (m - order - 1) for g in grids]
            axis.plot(grids, law, color=INK, linewidth=0.8, linestyle=":")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_xticks(grids, [str(g) for g in grids])
        axis.minorticks_off()
        axis.set_title(f"order k = {order}", fontsize=10)
        axis.set_xlabel("grid size G")
        axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2))
        add_grid(axis)
    axes[0].set_ylabel("largest error")
    return figure  # type: ignore[no-any-return]
