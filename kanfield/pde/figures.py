"""Figures of a solved problem."""

from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from kanfield.files import replacing
from kanfield.pde.problem import Reference
from kanfield.pde.solve import Row
from kanfield.reports.figures import INK, SERIES, add_grid, add_legend, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SNAPSHOTS, _FRAMES, _FRAME_MS = 5, 24, 120


def draw_errors(rows: Sequence[Row]) -> Figure:
    """Errors and loss against steps; dotted lines are where a stretch ends."""
    figure, axes = new_figure(6.4, 3.4)
    steps = [row.step for row in rows]
    series = {"relative L2 error": "l2", "relative H1 error": "h1", "loss": "loss"}
    for number, (label, key) in enumerate(series.items()):
        values = [getattr(row, key) for row in rows]
        if None not in values:
            axes.plot(steps, values, color=SERIES[number], linewidth=1.5, label=label)
    for before, after in itertools.pairwise(rows):
        if after.stretch != before.stretch:
            axes.axvline(before.step, color=INK, alpha=0.3, linewidth=0.8, linestyle=":")
    axes.set_yscale("log")
    axes.set_xlabel("steps")
    add_grid(axes)
    add_legend(figure)
    return figure  # type: ignore[no-any-return]


def draw_maps(
    names: Sequence[str],
    grid: Reference,
    values: NDArray[np.float64],
    residual: NDArray[np.float64],
    known: bool,
) -> Figure:
    """The solution, its reference and error where there is one, and the residual, over two coordinates.

    Args:
        names: of the coordinates; a time is drawn to the right.
        grid: the axes, and the reference's values.
        values: of the solution.
        residual: of the equation, on the same grid.
        known: whether ``grid`` holds a reference.
    """
    panels = {"solution": values}
    if known:
        panels |= {"reference": grid.values, "error": values - grid.values}
    panels["residual"] = residual
    across = 1 if names[1] == "t" else 0
    extent = [f for axis in (across, 1 - across) for f in (grid.axes[axis][0], grid.axes[axis][-1])]
    figure, axes = new_figure(2.6 * len(panels), 2.7, 1, len(panels), squeeze=False, sharey=True)
    low, high = float(grid.values.min()), float(grid.values.max())
    for axis, (title, panel) in zip(axes[0], panels.items(), strict=True):
        signed = title in ("error", "residual")
        # One point in a hundred may lie beyond the colours: a front would hide everything else.
        top = float(np.quantile(np.abs(panel), 0.99)) or 1.0
        limits = (-top, top) if signed else (low, high) if known else (None, None)
        shown = axis.imshow(
            panel if across else panel.T,
            extent=extent,
            origin="lower",
            aspect="auto",
            cmap="RdBu_r" if signed else "viridis",
            vmin=limits[0],
            vmax=limits[1],
            interpolation="nearest",
        )
        axis.set_title(title, fontsize=10)
        axis.set_xlabel(names[across])
        bar = figure.colorbar(shown, ax=axis, location="bottom", shrink=0.9)
        bar.ax.tick_params(labelsize=7, rotation=30)
    axes[0, 0].set_ylabel(names[1 - across])
    return figure  # type: ignore[no-any-return]


def draw_snapshots(grid: Reference, values: NDArray[np.float64], known: bool, space: str) -> Figure:
    """A film strip: the solution along x at times from first to last, the reference dashed.

    Args:
        grid: axes x and t.
        values: of the solution, shape ``(x, t)``.
        known: whether ``grid`` holds a reference.
        space: name of the coordinate that is not t.
    """
    figure, axes = new_figure(2.1 * _SNAPSHOTS, 2.5, 1, _SNAPSHOTS, sharey=True)
    for number, (axis, at) in enumerate(zip(axes, _moments(grid, _SNAPSHOTS), strict=True)):
        _draw_moment(axis, grid, values, known, at, label=number == 0)
        axis.set_xlabel(space)
    add_legend(figure)
    return figure  # type: ignore[no-any-return]


def _moments(grid: Reference, count: int) -> list[int]:
    moments: list[int] = np.linspace(0, len(grid.axes[1]) - 1, count).round().astype(int).tolist()
    return moments


def _draw_moment(
    axis: Any, grid: Reference, values: NDArray[np.float64], known: bool, at: int, label: bool = True
) -> None:
    x, t = grid.axes
    axis.plot(x, values[:, at], color=SERIES[0], linewidth=1.5, label="solution" if label else None)
    if known:
        style = {"color": SERIES[1], "linewidth": 1.0, "linestyle": "--"}
        axis.plot(x, grid.values[:, at], label="reference" if label else None, **style)
    axis.set_title(f"t = {t[at]:.2f}", fontsize=10)
    add_grid(axis)


def write_film(path: Path, grid: Reference, values: NDArray[np.float64], known: bool, space: str) -> None:
    """The same as an animated GIF.

    Args:
        path: of the file.
        grid: axes x and t.
        values: of the solution, shape ``(x, t)``.
        known: whether ``grid`` holds a reference.
        space: name of the coordinate that is not t.
    """
    low, high = float(values.min()), float(values.max())
    frames = []
    for at in _moments(grid, _FRAMES):
        figure, axes = new_figure(4, 2.8)
        _draw_moment(axes, grid, values, known, at)
        axes.set_ylim(low - 0.05 * (high - low) - 1e-9, high + 0.05 * (high - low) + 1e-9)
        axes.set_xlabel(space)
        add_legend(figure)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=90, facecolor="white")
        frames.append(PILImage.open(buffer).convert("P", palette=PILImage.Palette.ADAPTIVE))
    with replacing(path) as temporary:
        frames[0].save(
            temporary, format="GIF", save_all=True, append_images=frames[1:], duration=_FRAME_MS, loop=0
        )
