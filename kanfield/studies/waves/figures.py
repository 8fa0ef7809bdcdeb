"""Figures of the study ``waves``: amplitudes recovered against frequency and steps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kanfield.reports.figures import MARKERS, SERIES, add_grid, add_legend, legend_entry, new_figure
from kanfield.studies.waves.signal import FREQUENCIES, RECOVERED

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class WaveFits:
    """The repeats of one model with one kind of amplitudes.

    Attributes:
        model: the family.
        kind: of amplitudes, ``"equal"`` or ``"increasing"``.
        steps: at which amplitudes were measured, shape ``(M,)``.
        recovered: shares of the amplitudes, shape ``(repeats, M, 10)``.
        failed: number of repeats that diverged, which are not in ``recovered``.
    """

    model: str
    kind: str
    steps: NDArray[np.float64]
    recovered: NDArray[np.float64]
    failed: int

    def first_steps(self) -> NDArray[np.float64]:
        """The step at which each wave was first recovered, shape ``(repeats, 10)``; NaN for never."""
        recovered = self.recovered >= RECOVERED
        return np.where(recovered.any(1), self.steps[recovered.argmax(1)], np.nan)


def draw_heat_maps(groups: Sequence[WaveFits]) -> Figure:
    """A map for every group: amplitude recovered at every frequency and step, mean over repeats."""
    kinds = list(dict.fromkeys(group.kind for group in groups))
    models = list(dict.fromkeys(group.model for group in groups))
    size = (1.2 + 2.9 * len(models), 0.4 + 2.9 * len(kinds))
    figure, axes = new_figure(*size, len(kinds), len(models), squeeze=False, sharex=True, sharey=True)
    drawn = None
    for group in groups:
        axis = axes[kinds.index(group.kind), models.index(group.model)]
        mean = group.recovered.mean(0).clip(0, 1)
        extent = (FREQUENCIES[0] - 2.5, FREQUENCIES[-1] + 2.5, 0, group.steps[-1])
        drawn = axis.imshow(
            mean, origin="lower", aspect="auto", extent=extent, vmin=0, vmax=1, cmap="cividis",
            interpolation="nearest",
        )  # fmt: skip
        axis.set_title(f"{group.model}, {group.kind} amplitudes", fontsize=10)
        axis.set_xticks(FREQUENCIES[1::2])
    for axis in axes[-1]:
        axis.set_xlabel("frequency, Hz")
    for axis in axes[:, 0]:
        axis.set_ylabel("steps")
    assert drawn is not None
    figure.colorbar(drawn, ax=axes, label="amplitude recovered, mean over repeats", shrink=0.8)
    return figure  # type: ignore[no-any-return]


def draw_first_steps(groups: Sequence[WaveFits], steps: int) -> Figure:
    """The step at which each wave is recovered: median and range over repeats.

    Args:
        groups: what to draw, a panel for every kind of amplitudes.
        steps: of the fits. A wave that is not recovered in some repeat counts as recovered then, and its
            marker is hollow.
    """
    kinds = list(dict.fromkeys(group.kind for group in groups))
    models = list(dict.fromkeys(group.model for group in groups))
    figure, axes = new_figure(1 + 4 * len(kinds), 3.6, 1, len(kinds), squeeze=False, sharey=True)
    styles = list(zip(itertools.cycle(SERIES), MARKERS, models, strict=False))
    for group in groups:
        axis, number = axes[0, kinds.index(group.kind)], models.index(group.model)
        first = group.first_steps()
        always = np.isfinite(first).all(0)
        first = np.where(np.isfinite(first), first, steps)
        middle = np.median(first, 0)
        hertz = np.array(FREQUENCIES) + 1.2 * (number - (len(models) - 1) / 2)  # beside each other
        spread = np.abs(np.stack([first.min(0), first.max(0)]) - middle)
        colour, marker, _ = styles[number]
        axis.errorbar(hertz, middle, spread, color=colour, fmt="none", elinewidth=1.2, capsize=2)
        axis.plot(hertz[always], middle[always], marker, color=colour)
        axis.plot(hertz[~always], middle[~always], marker, color=colour, mfc="none")
    for axis, kind in zip(axes[0], kinds, strict=True):
        axis.set_yscale("log")
        axis.set_ylim(steps / 200, 1.3 * steps)
        axis.set_xlabel("frequency, Hz")
        axis.set_title(f"{kind} amplitudes", fontsize=10)
        add_grid(axis)
    axes[0, 0].set_ylabel(f"step at which {100 * RECOVERED:.0f} % is recovered")
    add_legend(figure, *(legend_entry(name, c, marker=m, linestyle="none") for c, m, name in styles))
    return figure  # type: ignore[no-any-return]
