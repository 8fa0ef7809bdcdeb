"""Draw the README's picture from a run: image, reconstruction, error, and PSNR as training goes on.

kanfield fit assets/camera.png --out runs
python tools/make_readme_figure.py runs/camera/kan-0001 assets/fit.png
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import kanfield

BLUE, GRAY = "#0072B2", "#666666"
POSTER_DB = 45.76


def curve(axis: Axes, folder: Path) -> None:
    """Draw PSNR against seconds of training."""
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["psnr"]]
    axis.plot([float(r["seconds"]) for r in rows], [float(r["psnr"]) for r in rows], color=BLUE, marker=".")
    axis.axhline(POSTER_DB, color=GRAY, linewidth=0.8, linestyle="--")
    place: dict[str, Any] = {"transform": axis.get_yaxis_transform(), "fontsize": 7, "color": GRAY}
    axis.text(0.03, POSTER_DB + 0.3, f"the poster's KAN: {POSTER_DB} dB", va="bottom", **place)
    axis.set_xlabel("training time (s)", fontsize=8)
    axis.set_ylabel("PSNR (dB)", fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.3)


def draw(folder: Path) -> Figure:
    """Draw the four panels."""
    run = kanfield.load(folder)
    panels = {
        f"{run.image.width} x {run.image.height} image": run.image,
        f"field: {run.psnr:.2f} dB": kanfield.read_image(run.folder.reconstruction),
        "error, 10 x brighter": kanfield.read_image(run.folder.error_map),
    }
    figure, axes = plt.subplots(1, 4, figsize=(11, 3), layout="constrained")
    for axis, (title, image) in zip(axes, panels.items(), strict=False):
        axis.imshow(image.to_pil(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_axis_off()
    curve(axes[3], folder)
    axes[3].set_title(f"{run.metrics['parameters']:,} parameters", fontsize=9)
    return figure


def main() -> None:
    """Read the command line, write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    draw(arguments.run).savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
