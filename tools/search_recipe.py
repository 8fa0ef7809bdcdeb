"""Search for a better recipe: named changes to a preset, each judged against it on the same photographs.

    python tools/search_recipe.py screen tools/recipe.csv           # every variant, photographs to choose by
    python tools/search_recipe.py judge tools/recipe.csv            # the chosen ones, on other photographs
    python tools/search_recipe.py screen tools/recipe.csv --report  # what each change brings, as Markdown
    python tools/search_recipe.py waves tools/recipe.csv            # initial waves, stretched or isotropic

A variant of the group ``between`` is scored on the unseen pixels (half of a checkerboard, or all three
patterns when it is judged), one of the group ``on`` on all pixels. Fits are of equal steps and run
interleaved: all variants of a photograph before the next one, two at a time, a thread each; seconds stand
beside them where the machine had nothing else to do. Rows that the table holds are not run again. SOAP and
Shampoo come from ``pip install pytorch-optimizer``.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import statistics
import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

from photographs import SIX, load
from recipe_variants import VARIANTS, settings_of, variants_of
from search_presets import PATTERNS, nested

import kanfield
from kanfield.errors import RunFailed
from kanfield.training.trainer import Trainer

KEYS = ("stage", "group", "variant", "photo", "size", "pattern")
COLUMNS = (*KEYS, "psnr", "held_out_psnr", "steps", "parameters", "seconds", "settings")
PHOTOS = {"screen": SIX[:3], "judge": SIX[3:], "waves": SIX}


def fit(job: tuple[str, ...]) -> dict[str, Any]:
    """Fit once and return the row; a fit that diverges has no PSNR."""
    import recipe_fields  # noqa: F401  registers them
    from recipe_changes import CHANGES

    _, group, variant, photo, size, pattern = job
    settings = settings_of(group, variant)
    row: dict[str, Any] = {**dict(zip(KEYS, job, strict=True)), "settings": json.dumps(settings)}
    change = settings.pop("change", None)
    held_out = None if pattern == "none" else pattern
    with (
        tempfile.TemporaryDirectory() as folder,
        CHANGES[change]() if change else contextlib.nullcontext(),
        patch.object(Trainer, "save", Trainer._save_best),  # other packages' optimisers do not resume
        contextlib.suppress(RunFailed),
    ):
        image = load(photo, int(size))
        metrics = kanfield.fit(image, out=folder, held_out=held_out, threads=1, **nested(settings)).metrics
        row |= {key: metrics[key] for key in ("psnr", "held_out_psnr", "steps", "parameters", "seconds")}
    return {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}


def jobs(stage: str, sizes: list[int]) -> list[tuple[str, ...]]:
    """Every fit of a stage, all variants of a photograph before the next."""
    found: list[tuple[str, ...]] = []
    for size in sizes:
        for photo in PHOTOS[stage]:
            for group in VARIANTS:
                names = variants_of(stage, group)
                patterns = ("none",) if group == "on" else PATTERNS if stage == "judge" else PATTERNS[:1]
                found += [(stage, group, v, photo, str(size), p) for v in names for p in patterns]
    return found


def report(rows: list[dict[str, Any]], stage: str) -> None:
    """Print the gain of each variant over the first, as a mean and on the photograph where it is least."""
    rows = [row for row in rows if row["stage"] == stage]
    for group in VARIANTS:
        column = "held_out_psnr" if group == "between" else "psnr"
        mine = {tuple(row[k] for k in KEYS[2:]): row for row in rows if row["group"] == group}
        first = variants_of(stage, group)[0]
        names = list(dict.fromkeys(key[0] for key in mine))
        what = "unseen pixels" if group == "between" else "all pixels"
        print(f"\n| {what} | fits | gain | least gain | dB on seen | parameters | seconds |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        lines = []
        for name in names:
            cells = {key[1:]: row for key, row in mine.items() if key[0] == name and row[column]}
            cells = {key: row for key, row in cells.items() if (first, *key) in mine}
            both = [(float(row[column]), float(mine[(first, *key)][column])) for key, row in cells.items()]
            if not both:
                continue  # diverged
            gains = [value - before for value, before in both]
            mean = {k: statistics.mean(float(r[k]) for r in cells.values()) for k in ("psnr", "parameters")}
            seconds = [float(r["seconds"]) for r in cells.values() if r["seconds"]]
            shown = f"{statistics.mean(seconds):.1f}" if seconds else ""
            text = f"| {name} | {len(gains)} | {statistics.mean(gains):+.2f} | {min(gains):+.2f} | "
            text += f"{mean['psnr']:.1f} | {mean['parameters']:,.0f} | {shown} |"
            lines.append((statistics.mean(gains), text))
        print("\n".join(text for _, text in sorted(lines, reverse=True)))


def main() -> None:
    """Read the command line, run the fits that are missing, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("stage", choices=PHOTOS)
    parser.add_argument("table", type=Path)
    parser.add_argument("--sizes", nargs="+", type=int, default=[256])
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.table.is_file():
        with open(arguments.table, newline="") as file:
            rows = list(csv.DictReader(file))
    known = {tuple(row[key] for key in KEYS) for row in rows}
    if arguments.report:
        report(rows, arguments.stage)
        return
    todo = [j for j in jobs(arguments.stage, arguments.sizes) if j not in known]
    with (
        open(arguments.table, "a", newline="") as file,
        get_context("spawn").Pool(arguments.processes) as pool,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        if not rows:
            writer.writeheader()
        for row in pool.imap(fit, todo):
            rows.append(row)
            writer.writerow(row)
            file.flush()
            print(*(row.get(key) for key in COLUMNS[:-1]), flush=True)
    report(rows, arguments.stage)


if __name__ == "__main__":
    main()
