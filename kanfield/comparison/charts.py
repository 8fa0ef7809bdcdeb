"""Charts for reports: SVG whose colours are the page's, so that one drawing serves light and dark."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError
from kanfield.reports.figures import SERIES, add_grid, literal, new_figure, to_svg

_POINTS = 200


@dataclass(frozen=True)
class Curve:
    """The PSNR of one fit over its training: arrays of one length, empty if it was never evaluated.

    Attributes:
        seconds: training time.
        steps: training steps.
        seen: PSNR in dB on the pixels trained on.
        unseen: PSNR in dB on the pixels held out; NaN where there are none.
    """

    seconds: NDArray[np.float64]
    steps: NDArray[np.float64]
    seen: NDArray[np.float64]
    unseen: NDArray[np.float64]


def read_curve(path: Path) -> Curve:
    """The evaluations that a run's ``metrics.csv`` holds.

    Raises:
        InputError: the file is damaged or gone.
    """
    keys = ("seconds", "step", "psnr", "held_out_psnr")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["psnr"]]
        columns = np.array([[float(row[key] or "nan") for key in keys] for row in rows]).reshape(-1, 4).T
        if not (np.isfinite(columns[:2]).all() and (np.abs(columns[2]) < np.inf).all()):
            raise ValueError("not a number")
    except (OSError, ValueError, TypeError, LookupError, csv.Error):
        raise InputError(
            f"{path} is damaged or gone: remove {path.parent}, and kanfield compare --resume fits it again"
        ) from None
    return Curve(*columns)


def psnr_chart(curves: Mapping[str, Sequence[Curve]], against: str) -> str:
    """PSNR of several models over their training: the mean over seeds, with the range over them.

    Args:
        curves: for every model, in the order of the colours, one for each seed.
        against: ``"seconds"`` or ``"steps"``.

    Returns:
        The chart as SVG.
    """
    figure, axes = new_figure(5.4, 3.6)
    for number, (label, of_model) in enumerate(curves.items()):
        seeds = [curve for curve in of_model if curve.steps.size]
        if not seeds:  # every fit failed or was never evaluated; the colours of the others stay
            continue
        colour = SERIES[number % len(SERIES)]
        for kind, style in (("seen", "-"), ("unseen", "--")):
            x, low, mean, high = _over_seeds(seeds, against, kind)
            if np.isfinite(mean).any():
                name = literal(label) if kind == "seen" else None
                axes.plot(x, mean, style, color=colour, linewidth=1.6, label=name)
                axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set_xlabel("training time, s" if against == "seconds" else "steps")
    axes.set_ylabel("PSNR, dB")
    axes.margins(x=0.01)
    add_grid(axes)
    figure.legend(frameon=False, fontsize=9, ncols=5, loc="outside upper left")
    return to_svg(figure)


def _over_seeds(
    seeds: Sequence[Curve], against: str, kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Positions up to which all seeds were trained, and the lowest, mean and highest value there."""
    positions = [getattr(curve, against) for curve in seeds]
    values = [getattr(curve, kind) for curve in seeds]
    start, end = max(p[0] for p in positions), min(p[-1] for p in positions)
    x = np.geomspace(max(start, 1e-3), max(end, 2e-3), _POINTS)
    stack = np.stack([np.interp(x, p, v) for p, v in zip(positions, values, strict=True)])
    return x, stack.min(0), stack.mean(0), stack.max(0)
