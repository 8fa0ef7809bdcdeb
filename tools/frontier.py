"""The frontiers of the fields: pixels seen against pixels unseen, and PSNR against parameters.

    kanfield compare PHOTOS --models kan siren rff hashgrid mlp --seconds 12 --held-out checkerboard --out DIR
    python tools/frontier.py training DIR assets/frontier_training.png
    python tools/frontier.py parameters assets/camera.png tools/frontier.csv assets/frontier_parameters.png

The first figure shows how every field of a comparison moved as its training went on. The second fits
each field at 0.1 to 4 parameters a pixel with equal steps and with equal seconds (frontier_fits.py), and
prints the tables too; fits that the table holds are not run again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from frontier_fits import BUDGETS, PARAMETERS, RIVALS, best, measure, report
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kanfield.comparison.charts import Curve, read_curve
from kanfield.config.presets import PRESETS
from kanfield.errors import InputError

# Okabe and Ito's palette, which colour-blind readers can tell apart; presets are those of the KAN.
COLOURS = {
    "kan": "#0072B2",
    "smooth": "#0072B2",
    "compact": "#F0E442",
    "lossless": "#56B4E9",
    "siren": "#D55E00",
    "finer": "#E69F00",
    "rff": "#009E73",
    "hashgrid": "#CC79A7",
    "mlp": "#7F7F7F",
}


def draw_training(folder: Path, file: Path) -> None:
    """Draw a panel for each photograph; a line is a fit from 15 dB on to its end, which is marked."""
    curves: dict[str, dict[str, Curve]] = {}
    for path in sorted(folder.glob("runs/*/seed-0/*/*/metrics.csv")):
        label, photo = path.parts[-5], path.parts[-3]
        if label in COLOURS:
            curves.setdefault(photo, {})[label] = read_curve(path)
    rows = -(-len(curves) // 3)
    figure = Figure(figsize=(11, 3.3 * rows + 0.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, min(3, len(curves)), squeeze=False)).ravel()
    for axes, (photo, lines) in zip(panels, curves.items(), strict=False):
        for label, colour in COLOURS.items():
            if label in lines:
                curve = lines[label]
                shown = curve.unseen > 15
                axes.plot(curve.seen[shown], curve.unseen[shown], color=colour, linewidth=1.6, label=label)
                axes.plot(curve.seen[-1], curve.unseen[-1], "o", color=colour, markersize=5)
        best = max(np.nanmax(curve.unseen) for curve in lines.values())
        axes.set(title=photo, xlim=(20, None), ylim=(best - 6, best + 0.5))
        _label(axes, "PSNR on the pixels seen, dB", "PSNR on unseen pixels, dB")
    for axes in panels[len(curves) :]:
        axes.set_axis_off()
    _save(figure, panels[0], file)


def draw_parameters(rows: list[dict[str, str]], file: Path) -> None:
    """Draw a row of two panels for each budget: PSNR on the pixels seen, and on those unseen."""
    figure = Figure(figsize=(11, 3.7 * len(BUDGETS) + 0.3), layout="constrained")
    panels = figure.subplots(len(BUDGETS), 2, squeeze=False)
    for pair, budget in zip(panels, BUDGETS, strict=True):
        mine = [row for row in rows if row["budget"] == budget]
        for axes, column, what in zip(pair, ("psnr", "held_out_psnr"), ("seen", "unseen"), strict=True):
            found = best(mine, column)
            for field in (*PRESETS, *RIVALS):
                x = [size for size in PARAMETERS if (field, size) in found]
                y = [found[field, size] for size in x]
                axes.plot(x, y, "o-", color=COLOURS[field], markersize=4, label=field)
            axes.set_xscale("log")
            axes.set_xticks(PARAMETERS, [f"{value:g}" for value in PARAMETERS])
            axes.minorticks_off()
            axes.set_title(budget)
            _label(axes, "parameters per pixel", f"PSNR on the pixels {what}, dB")
    _save(figure, panels[0, 0], file)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, axes: Axes, file: Path) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=7, loc="outside upper left")
    with matplotlib.rc_context({"font.size": 10}):
        figure.savefig(file, dpi=110)


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    training = kinds.add_parser("training", help="from a comparison's folder")
    training.add_argument("folder", type=Path)
    training.add_argument("file", type=Path)
    sizes = kinds.add_parser("parameters", help="fits of many sizes")
    sizes.add_argument("image")
    sizes.add_argument("table", type=Path)
    sizes.add_argument("file", type=Path)
    arguments = parser.parse_args()
    if arguments.kind == "training":
        draw_training(arguments.folder, arguments.file)
    else:
        try:
            rows = measure(arguments.image, arguments.table)
        except InputError as error:
            raise SystemExit(str(error)) from None
        draw_parameters(rows, arguments.file)
        print(report(rows))


if __name__ == "__main__":
    main()
