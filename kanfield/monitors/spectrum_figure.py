"""The error in every band of frequencies at every step, as a heat map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kanfield.metrics.spectra import LEARNED
from kanfield.monitors.spectrum_log import SpectrumCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FLOOR = 1e-4  # of a band's energy: the colours end here


def spectrum_figure(curve: SpectrumCurve) -> Figure:
    """A heat map of the error with a line where each band is 90 % learned."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.8), layout="constrained")
    axis = figure.subplots()
    colours = draw_heat_map(axis, curve)
    figure.colorbar(colours, label="error, fraction of the band's energy")
    found = curve.summary()
    if found["bias"] is not None:
        axis.set_title(
            f"bias to low frequencies {found['bias']:.2f} ± {found['bias_error']:.2f}", fontsize=10
        )
    return figure


def draw_heat_map(axis: Axes, curve: SpectrumCurve) -> Any:
    """Draw bands from left to right, steps upwards; the line is where a tenth of the energy is in the error.

    Returns:
        What a colour bar takes.
    """
    from matplotlib.colors import LogNorm

    steps = np.maximum(np.array(curve.steps, dtype=float), 0.5)
    borders = np.concatenate([steps[:1], np.sqrt(steps[1:] * steps[:-1]), steps[-1:]])
    if len(steps) == 1:  # a run of one step: a single row of some height
        borders[1] *= 1.5
    shares = curve.errors.clip(_FLOOR, 1)
    colours = axis.pcolormesh(
        np.log2(curve.edges), borders, shares, norm=LogNorm(_FLOOR, 1), cmap="cividis_r", rasterized=True
    )
    learned = [np.nan if step is None else step for step in curve.learned()]
    axis.plot(
        np.log2(curve.centres), learned, "o-", color="white", markeredgecolor="black", markersize=5, lw=1
    )
    axis.set_yscale("log")
    axis.set_ylim(borders[0], borders[-1])
    axis.set_xticks(np.log2(curve.edges), [f"1/{round(1 / edge)}" for edge in curve.edges])
    axis.set_xlabel("frequency, cycles per pixel")
    axis.set_ylabel(f"steps (line: {100 * (1 - LEARNED):.0f} % learned)")
    return colours
