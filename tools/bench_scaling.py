"""How the cost of a training step grows: with the image, the grids, the width, the threads.

    python tools/bench_scaling.py [--json FILE] [--quick]

Each point is a process of its own: a synthetic image, a field, the trainer's own steps (sampling included,
no evaluation of the image), timed after a warm-up; memory is the peak of the process over what it had before
the image. Slopes are least-squares fits of log cost against log size. Needs Linux or macOS.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.images import Image
from kanfield.runs.folder import RunFolder
from kanfield.runs.run import make_field
from kanfield.training.target import image_stats, make_target
from kanfield.training.trainer import Trainer

BASE: dict[str, Any] = {"megapixels": 1.0, "grid": 9, "width": 64, "threads": 2}
AXES: dict[str, list[Any]] = {
    "megapixels": [0.01, 0.1, 1.0, 10.0, 100.0],
    "grid": [5, 10, 30, 100, 300, 1000],
    "width": [16, 32, 64, 128, 256],
    "threads": [1, 2],
}
UNITS = {
    "megapixels": "image, megapixels",
    "grid": "cells of hidden grids",
    "width": "units of a hidden layer",
}

_MEGABYTE = 1024**2 if sys.platform == "darwin" else 1024  # in the units of ru_maxrss


def point(settings: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds per step, nanoseconds per pixel of it, and memory in MB."""
    torch.set_num_threads(settings["threads"])
    side = max(2, round(1000 * math.sqrt(settings["megapixels"])))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    row = (127 * (1 + np.sin(np.arange(side) / 37))).astype(np.uint8)
    image = Image(np.add.outer(row // 2, row // 2)[..., None], "L")
    options = {"widths": [settings["width"]] * 3, "grids": [56, *[settings["grid"]] * 3]}
    wanted = Settings(encoding="directions", options=options, range_steps=0, batch_size=2048)
    wanted = resolve(wanted, image_stats(make_target(wanted, image, torch.zeros(1))))
    field = make_field(wanted, 1)
    with tempfile.TemporaryDirectory() as folder:
        target = make_target(wanted, image, next(field.parameters()))
        trainer = Trainer(field, target, wanted, RunFolder.create(Path(folder), Path("a"), "kan"))
        times = []
        for step in range(settings["steps"]):
            start = time.perf_counter()
            trainer._step()
            trainer.progress.step += 1
            if step >= settings["steps"] // 3:
                times.append(time.perf_counter() - start)
    taken = statistics.fmean(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        **{key: settings[key] for key in BASE},
        "milliseconds_per_step": 1e3 * taken,
        "nanoseconds_per_pixel": 1e9 * taken / trainer.sampler.batch_size,
        "megabytes": (peak - before) / _MEGABYTE,
        "parameters": sum(p.numel() for p in field.parameters()),
    }


def slope(rows: list[dict[str, Any]], axis: str, column: str) -> float:
    """The power of ``axis`` that ``column`` grows with."""
    x = np.log([row[axis] for row in rows])
    y = np.log([max(row[column], 1e-9) for row in rows])
    return float(np.polyfit(x, y, 1)[0])


def main() -> None:
    """Measure every axis, print tables and slopes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--quick", action="store_true", help="a few steps of small sizes")
    arguments = parser.parse_args()
    result: dict[str, Any] = {}
    for axis, values in AXES.items():
        if arguments.quick:
            values = values[:2]
        points = [{**BASE, axis: value, "steps": 15 if arguments.quick else 120} for value in values]
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            rows = list(pool.imap(point, points))
        slopes = {column: slope(rows, axis, column) for column in ("nanoseconds_per_pixel", "megabytes")}
        result[axis] = {"rows": rows, "slopes": slopes}
        print(f"\n| {UNITS.get(axis, axis)} | ms per step | ns per pixel | MB | parameters |")
        print("| --- | --- | --- | --- | --- |")
        for row in rows:
            times = f"{row['milliseconds_per_step']:.2f} | {row['nanoseconds_per_pixel']:.0f}"
            print(f"| {row[axis]:,} | {times} | {row['megabytes']:.0f} | {row['parameters']:,} |")
        print(f"\nslopes: time {slopes['nanoseconds_per_pixel']:+.2f}, memory {slopes['megabytes']:+.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
