"""Figures of the study of grid extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kanfield.metrics.spectra import Bands
from kanfield.reports.figures import INK, MARKERS, SERIES, add_grid, add_legend, new_figure
from kanfield.studies.study import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_bands(results: Mapping[str, Result], against: str) -> Figure:
    """A panel for every band: the error against ``"steps"`` or ``"seconds"``."""
    bands = list(next(iter(results.values()))["bands"])
    columns = min(3, len(bands))
    rows = -(-len(bands) // columns)
    size = (0.6 + 3.2 * columns, 0.5 + 2.6 * rows)
    figure, axes = new_figure(*size, rows, columns, squeeze=False, sharex=True)
    for axis in axes.flat[len(bands) :]:
        axis.set_axis_off()
    for place, (axis, band) in enumerate(zip(axes.flat, bands, strict=False)):
        for number, (name, result) in enumerate(results.items()):
            label = name if not place else None
            axis.plot(result[against], result["bands"][band], label=label, **_style(number))
        axis.set_title(f"{octave(band)} cycles a pixel", fontsize=9)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.xaxis.set_minor_formatter("")  # labels within a decade would overlap
        if against == "steps":
            _mark(axis, results)
        add_grid(axis)
        if place >= len(bands) - columns:  # nothing is drawn below
            axis.tick_params(labelbottom=True)
            axis.set_xlabel("steps" if against == "steps" else "training time, s")
    for axis in axes[:, 0]:
        axis.set_ylabel("error, share of energy")
    add_legend(figure)
    return figure  # type: ignore[no-any-return]


def draw_psnr(results: Mapping[str, Result]) -> Figure:
    """PSNR against steps and against time."""
    figure, axes = new_figure(8.4, 3.4, 1, 2, sharey=True)
    for number, (name, result) in enumerate(results.items()):
        axes[0].plot(result["steps"], result["psnr"], label=name, **_style(number))
        axes[1].plot(result["seconds"], result["psnr"], **_style(number))
    _mark(axes[0], results)
    for axis in axes:
        add_grid(axis)
    axes[0].set_xlabel("steps")
    axes[1].set_xlabel("training time, s")
    axes[0].set_ylabel("PSNR, dB")
    add_legend(figure)
    return figure  # type: ignore[no-any-return]


def octave(band: str) -> str:
    """A band's name in fractions.

    >>> octave("1/8-1/4")
    '1/8 to 1/4'
    """
    low, high = (round(1 / edge) for edge in Bands.parse_name(band))
    return f"1/{low} to 1/{high}"


def _style(number: int) -> dict[str, object]:
    return {"color": SERIES[number], "marker": MARKERS[number], "markersize": 3.5, "linewidth": 1.4}


def _mark(axis: Axes, results: Mapping[str, Result]) -> None:
    for refinement in results["staged"]["refinements"]:
        axis.axvline(refinement["step"], color=INK, linewidth=0.8, linestyle=":")
