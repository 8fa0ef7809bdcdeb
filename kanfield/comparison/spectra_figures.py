"""Figures of ``kanfield spectrum``: radial spectra, convergence against frequency, heat maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kanfield.monitors.spectrum_figure import draw_heat_map
from kanfield.reports.figures import (
    INK,
    MARKERS,
    SERIES,
    add_grid,
    add_legend,
    legend_entry,
    literal,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from kanfield.comparison.run_spectrum import RunSpectrum


def _names(spectra: Sequence[RunSpectrum]) -> tuple[list[str], list[str]]:
    """The names of images and the labels, each once."""
    return list(dict.fromkeys(s.image for s in spectra)), list(dict.fromkeys(s.label for s in spectra))


def draw_spectra(spectra: Sequence[RunSpectrum]) -> Figure:
    """A panel for every image: radial spectra of the image, of reconstructions and of errors."""
    images, labels = _names(spectra)
    size = (0.8 + 3.6 * len(images), 4.0)
    figure, axes = new_figure(*size, 1, len(images), squeeze=False, sharey=True)
    for run in spectra:
        axis, number = axes[0, images.index(run.image)], labels.index(run.label)
        colour = SERIES[number % len(SERIES)]
        axis.plot(run.frequencies, run.original, color=INK, linewidth=2.4, zorder=1)
        axis.plot(run.frequencies, run.reconstruction, "--", color=colour, linewidth=0.9)
        axis.plot(run.frequencies, run.error, color=colour, linewidth=1.3)
    for axis, image in zip(axes[0], images, strict=True):
        axis.set_title(literal(image), fontsize=10)
        _frequency_axis(axis, spectra)
        axis.set_yscale("log")
    axes[0, 0].set_ylabel("mean energy, values from 0 to 1")
    styles = [
        legend_entry("error", linewidth=1.3),
        legend_entry("reconstruction", linestyle="--", linewidth=0.9),
    ]
    add_legend(figure, legend_entry("image", linewidth=2.4), *styles, *_model_entries(labels))
    return figure


def draw_convergence(spectra: Sequence[RunSpectrum]) -> Figure:
    """A panel for every image: the step at which each band is learned, and the fitted slope."""
    images, labels = _names(spectra)
    size = (0.8 + 3.6 * len(images), 4.0)
    figure, axes = new_figure(*size, 1, len(images), squeeze=False, sharey=True)
    for run in spectra:
        assert run.curve is not None
        axis, number = axes[0, images.index(run.image)], labels.index(run.label)
        colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
        pairs = [(f, s) for f, s in zip(run.curve.centres, run.curve.learned(), strict=True) if s is not None]
        if not pairs:
            continue
        x, y = np.array(pairs).T
        axis.plot(x, y, marker, color=colour, markersize=5)
        found = run.bias
        if found is not None and found.slope is not None:
            middle = np.exp(np.log(x).mean()), np.exp(np.log(y).mean())
            axis.plot(x, middle[1] * (x / middle[0]) ** found.slope, color=colour, linewidth=1.1)
    for axis, image in zip(axes[0], images, strict=True):
        axis.set_title(literal(image), fontsize=10)
        _frequency_axis(axis, spectra)
        axis.set_xlim(0.8 * min(run.curve.centres[0] for run in spectra if run.curve), 0.5)
        axis.set_yscale("log")
    axes[0, 0].set_ylabel("step at which 90 % is learned")
    add_legend(figure, *_model_entries(labels, MARKERS))
    return figure


def draw_maps(spectra: Sequence[RunSpectrum]) -> Figure:
    """A heat map for every label and image, of the first seed."""
    images, labels = _names(spectra)
    size = (1.0 + 2.6 * len(labels), 0.6 + 2.4 * len(images))
    figure, axes = new_figure(*size, len(images), len(labels), squeeze=False, sharey="row")
    drawn, colours = set(), None
    for run in spectra:
        row, column = images.index(run.image), labels.index(run.label)
        if (row, column) in drawn or run.curve is None:
            continue
        drawn.add((row, column))
        axis = axes[row, column]
        colours = draw_heat_map(axis, run.curve)
        axis.tick_params(axis="x", labelrotation=60)
        axis.set_title(literal(f"{run.label}, {run.image}"), fontsize=10)
        if column:
            axis.set_ylabel("")
        if row + 1 < len(images):
            axis.set_xlabel("")
    for row in range(len(images)):
        for column in range(len(labels)):
            if (row, column) not in drawn:
                axes[row, column].set_axis_off()
    assert colours is not None
    figure.colorbar(colours, ax=axes, label="error, share of the band's energy", shrink=0.8)
    return figure


def _frequency_axis(axis: Axes, spectra: Sequence[RunSpectrum]) -> None:
    lowest = min(run.frequencies[0] for run in spectra)
    ticks = [1 / 2**n for n in range(1, 12) if 1 / 2**n >= lowest]
    axis.set_xscale("log")
    axis.set_xticks(ticks, [f"1/{round(1 / tick)}" for tick in ticks], rotation=45)
    axis.minorticks_off()
    axis.set_xlabel("frequency, cycles per pixel")
    add_grid(axis)


def _model_entries(labels: Sequence[str], markers: Sequence[str] = ("",)) -> list[Line2D]:
    return [
        legend_entry(literal(label), SERIES[n % len(SERIES)], marker=markers[n % len(markers)])
        for n, label in enumerate(labels)
    ]
