"""The figure of the study ``ntk``: eigenvalues, the image's energy and frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from kanfield.reports.figures import SERIES, add_grid, add_legend, new_figure
from kanfield.studies.ntk.tangent_kernel import KernelSpectrum

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SMOOTHED = 0.03  # of the eigenvectors: the window of the moving average of frequencies
_DASHES = ("-", "--", ":")
_LEAST = 1e-12  # eigenvalues below are rounding


def draw_kernels(kernels: Mapping[str, KernelSpectrum]) -> Figure:
    """Eigenvalues, the image's cumulative energy and frequencies against the number of the eigenvector."""
    figure, axes = new_figure(10.6, 3.7, 1, 3, sharex=True)
    for place, (name, kernel) in enumerate(kernels.items()):
        # Dashes too: a run's best weights are often its last, and would hide them.
        style = {"color": SERIES[place % len(SERIES)], "linestyle": _DASHES[place % 3], "linewidth": 1.5}
        number = np.arange(1, len(kernel.values) + 1)
        shown = kernel.values > _LEAST
        axes[0].plot(number[shown], kernel.values[shown], label=name, **style)
        axes[1].plot(number, kernel.energy.cumsum(), **style)
        width = max(1, round(_SMOOTHED * len(number)))
        kept = np.convolve(np.ones(len(number)), np.ones(width), "same")  # fewer at the ends
        smooth = np.convolve(kernel.cycles, np.ones(width), "same") / kept
        axes[2].plot(number, smooth, **style)
    labels = ("eigenvalue, share of the sum", "share of the image, cumulative", "cycles over the image")
    for axis, label in zip(axes, labels, strict=True):
        axis.set_xlabel("number of the eigenvector")
        axis.set_ylabel(label)
        add_grid(axis)
        axis.set_xscale("log")
    axes[0].set_yscale("log")
    add_legend(figure)
    return figure  # type: ignore[no-any-return]
