"""The frontiers of the fields: pixels seen against pixels unseen, and PSNR against parameters.

    kanfield compare PHOTOS --models kan siren rff hashgrid mlp --seconds 12 --held-out checkerboard --out DIR
    python tools/frontier.py training DIR assets/frontier_training.png
    python tools/frontier.py parameters assets/camera.png tools/frontier.csv assets/frontier_parameters.png

The first figure shows how every field of a comparison moved as its training went on. The second fits
each field at 0.1 to 8 parameters a pixel with equal steps and batches, half of a checkerboard hidden; fits
that the table holds are not run again.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import kanfield
from kanfield.comparison.charts import Curve, read_curve
from kanfield.comparison.equal_parameters import match_parameters
from kanfield.config.presets import PRESETS
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.training.target import image_stats, make_target

# Okabe and Ito's palette, which colour-blind readers can tell apart; presets are those of the KAN.
COLOURS = {
    "kan": "#0072B2",
    "compact": "#F0E442",
    "lossless": "#56B4E9",
    "siren": "#D55E00",
    "rff": "#009E73",
    "hashgrid": "#CC79A7",
    "mlp": "#7F7F7F",
}
PARAMETERS = (0.1, 0.17, 0.25, 0.4, 0.5, 1.0, 2.0, 4.0, 8.0)  # per pixel
COLUMNS = (
    "image",
    "model",
    "parameters_per_pixel",
    "psnr",
    "held_out_psnr",
    "steps",
    "seconds",
    "parameters",
)
HELD_OUT, STEPS = "checkerboard", 1000


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


def measure(image: str, table: Path) -> list[dict[str, Any]]:
    """Fit every field at every size that is not in the table yet.

    Args:
        image: the file to fit.
        table: CSV file of all fits so far; new ones are appended.

    Returns:
        The rows of this image.
    """
    rows: list[dict[str, Any]] = []
    if table.is_file():
        with open(table, newline="") as lines:
            rows = list(csv.DictReader(lines))
    known = {(row["image"], row["model"], float(row["parameters_per_pixel"])) for row in rows}
    picture, name = kanfield.read_image(image), Path(image).stem
    with open(table, "a", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        if not rows:
            writer.writeheader()
        for wanted in PARAMETERS:
            for model in COLOURS:
                if (name, model, wanted) not in known:
                    row = {"image": name, "model": model, "parameters_per_pixel": wanted}
                    row |= _fit(picture, model, wanted)
                    writer.writerow(row)
                    lines.flush()
                    rows.append(row)
                    print(*row.values(), flush=True)
    return [row for row in rows if row["image"] == name]


def _fit(picture: kanfield.images.Image, model: str, wanted: float) -> dict[str, Any]:
    most = round(wanted * picture.height * picture.width)
    try:
        if model in PRESETS:
            settings = Settings(preset=model, steps=STEPS, held_out=HELD_OUT, parameters=most)
        else:
            settings = Settings(model=model, steps=STEPS, held_out=HELD_OUT)
            settings = resolve(settings, image_stats(make_target(settings, picture, torch.zeros(1))))
            settings = match_parameters(settings, picture.channels, most)
    except InputError:  # no field of this family is so small
        return {}
    with tempfile.TemporaryDirectory() as folder:
        metrics = kanfield.fit(picture, settings, out=folder).metrics
    return {key: round(float(metrics[key]), 3) for key in COLUMNS[3:]}


def draw_parameters(rows: list[dict[str, Any]], file: Path) -> None:
    """Draw two panels: PSNR on the pixels seen, and on those unseen."""
    figure = Figure(figsize=(11, 4), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, column, what in zip(panels, ("psnr", "held_out_psnr"), ("seen", "unseen"), strict=True):
        for model, colour in COLOURS.items():
            mine = [row for row in rows if row["model"] == model and row.get("psnr")]
            x = [float(row["parameters_per_pixel"]) for row in mine]
            axes.plot(x, [float(row[column]) for row in mine], "o-", color=colour, markersize=4, label=model)
        axes.set_xscale("log")
        axes.set_xticks(PARAMETERS, [f"{value:g}" for value in PARAMETERS])
        axes.minorticks_off()
        _label(axes, "parameters per pixel", f"PSNR on the pixels {what}, dB")
    _save(figure, panels[0], file)


def _label(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: Figure, axes: Axes, file: Path) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=6, loc="outside upper left")
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
        draw_parameters(measure(arguments.image, arguments.table), arguments.file)


if __name__ == "__main__":
    main()
