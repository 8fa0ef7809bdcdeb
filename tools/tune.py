"""Find every baseline's defaults: rates of Adam and of Muon, and what its family has to set.

python tools/tune.py tools/tune.csv                      # all families; a row that is there is not run again
python tools/tune.py tools/tune.csv --families siren --report

Every fit has the same steps, batch, warm-up and decay. A family is tuned in turns, each from the best so far:
Adam's rate, Muon's rate, Adam's beside it, then its options one after another, on the first photograph; then
the best of either optimiser is fitted to all photographs. Rates and optimisers are judged by the pixels that
are trained on; options, which trade those for the ones between, by the sum of PSNR on the pixels and, in a
second fit, on the unseen half of a checkerboard. ``--report`` prints the winners as a table.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from search_presets import COLUMNS, KEYS, measure

from kanfield.errors import RunFailed

PHOTOS = ("camera", "astronaut", "coffee")
SIZE, STEPS, BATCH = 256, 600, 4096

# Rates of Adam, rates of Muon, and what else to try, the published value first.
SEARCH: dict[str, tuple[list[float], list[float], dict[str, list[Any]]]] = {
    "hashgrid": ([3e-3, 1e-2, 2e-2], [3e-3, 1e-2, 3e-2], {"per_level_scale": [1.5, 1.4, 1.3]}),
    "siren": ([1e-3, 5e-4, 2e-3], [1e-3, 3e-3, 1e-2], {"omega_0": [30.0, 60.0, 90.0]}),
    "rff": ([1e-3, 3e-3, 5e-4], [3e-3, 1e-2, 3e-2], {"sigma": [10.0, 15.0, 25.0]}),
    "mlp": ([1e-3, 3e-3, 5e-3], [3e-3, 1e-2, 3e-2], {"activation": ["relu", "gelu", "silu", "tanh"]}),
    "finer": (
        [5e-4, 1e-3, 2e-3],
        [1e-3, 3e-3, 1e-2],
        {"omega_0": [30.0, 15.0], "first_bias": [0.0, 1.0, 5.0]},
    ),
    "gauss": ([5e-3, 1e-3, 2e-3], [1e-3, 3e-3, 1e-2], {"scale": [30.0, 10.0, 5.0]}),
    "wire": ([5e-3, 1e-3, 2e-3], [1e-3, 3e-3, 1e-2], {"omega_0": [20.0, 30.0], "scale": [10.0, 30.0, 5.0]}),
    "posenc": ([1e-3, 3e-3, 5e-4], [3e-3, 1e-2, 3e-2], {"levels": [10, 8, 7]}),
    "kan-rbf": ([1e-3, 3e-3, 1e-2], [3e-3, 1e-2, 3e-2], {"grids": [[64, 8, 8, 8], [32, 8, 8, 8]]}),
    "kan-fourier": ([1e-3, 3e-3, 3e-4], [1e-3, 3e-3, 1e-2], {"grids": [[64, 4, 4], [32, 4, 4], [64, 2, 2]]}),
}


def fit(job: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """A row of the table; one that diverges has no PSNR."""
    photo, pattern, settings = job
    try:
        return measure((photo, SIZE, pattern, {**settings, "steps": STEPS, "batch_size": BATCH}))
    except RunFailed:
        full = json.dumps({**settings, "steps": STEPS, "batch_size": BATCH})
        return dict(zip(KEYS, (photo, SIZE, pattern, full), strict=True))


class Table:
    """The rows on disk, and fits for those that are missing."""

    def __init__(self, path: Path, pool: Pool | None) -> None:
        self.path, self.pool = path, pool
        self.rows: list[dict[str, Any]] = []
        if path.is_file():
            with open(path, newline="") as file:
                self.rows = list(csv.DictReader(file))

    def scores(
        self, settings: list[dict[str, Any]], photos: tuple[str, ...], pattern: str = "none"
    ) -> list[float]:
        """Mean over photographs of the PSNR that counts (on hidden pixels where there are any)."""
        jobs = [(photo, pattern, choice) for choice in settings for photo in photos]
        todo = [job for job in jobs if self._row(job) is None]
        if todo:
            assert self.pool is not None, f"{self.path} lacks {len(todo)} rows: run without --report"
            for row in self.pool.imap(fit, todo):
                self._add(row)
        values = iter([self._value(job) for job in jobs])
        return [statistics.mean(next(values) for _ in photos) for _ in settings]

    def _row(self, job: tuple[str, str, dict[str, Any]]) -> dict[str, Any] | None:
        photo, pattern, settings = job
        text = json.dumps({**settings, "steps": STEPS, "batch_size": BATCH})
        key = [photo, str(SIZE), pattern, text]
        return next((row for row in self.rows if [str(row[name]) for name in KEYS] == key), None)

    def _value(self, job: tuple[str, str, dict[str, Any]]) -> float:
        row = self._row(job)
        assert row is not None
        column = "psnr" if job[1] == "none" else "held_out_psnr"
        return float(row[column]) if row.get(column) not in (None, "") else 0.0

    def _add(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        fresh = not self.path.is_file()
        with open(self.path, "a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow(row)
        print(*(row.get(key) for key in (*KEYS, "psnr", "held_out_psnr", "seconds")), flush=True)


def best(table: Table, choices: list[dict[str, Any]], unseen: bool = False) -> dict[str, Any]:
    """The choice with the highest score on the first photograph; with ``unseen``, between the pixels too."""
    scores = table.scores(choices, PHOTOS[:1])
    if unseen:
        between = table.scores(choices, PHOTOS[:1], "checkerboard")
        scores = [a + b for a, b in zip(scores, between, strict=True)]
    return choices[scores.index(max(scores))]


def finalists(table: Table, family: str) -> Iterator[dict[str, Any]]:
    """The best settings with Adam, and those with Muon."""
    adam, muon, options = SEARCH[family]
    start = {"model": family, "optimizer": "adam"}
    by_adam = best(table, [{**start, "lr": lr} for lr in adam])
    slower = by_adam["lr"]
    start = {"model": family, "optimizer": "muon", "adam_lr": slower}
    by_muon = best(table, [{**start, "lr": lr} for lr in muon])
    by_muon = best(table, [by_muon, *({**by_muon, "adam_lr": slower * factor} for factor in (3, 1 / 3))])
    for choice in (by_adam, by_muon):
        for name, values in options.items():
            choice = best(table, [choice, *(_with(choice, name, value) for value in values[1:])], unseen=True)
        yield choice


def _with(choice: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    if name == "grids":
        return {**choice, name: value}
    return {**choice, "options": {**choice.get("options", {}), name: value}}


def report(table: Table, families: list[str]) -> None:
    """The finalists of every family, the winner marked, as Markdown."""
    print(f"| family | optimiser | rates | options | PSNR, {', '.join(PHOTOS)} | mean | unseen half, mean |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for family in families:
        choices = list(finalists(table, family))
        means = table.scores(choices, PHOTOS)
        for choice, mean in zip(choices, means, strict=True):
            each = [f"{table.scores([choice], (photo,))[0]:.1f}" for photo in PHOTOS]
            rates = f"{choice['lr']:g}" + (f" / {choice['adam_lr']:g}" if "adam_lr" in choice else "")
            others = {
                **choice.get("options", {}),
                **({"grids": choice["grids"]} if "grids" in choice else {}),
            }
            unseen = ""
            if mean == max(means):
                unseen = f"{table.scores([choice], PHOTOS, 'checkerboard')[0]:.1f}"
            bold = "**" if unseen else ""
            options = ", ".join(f"{key} {value}" for key, value in others.items()) or "published"
            print(
                f"| {family} | {bold}{choice['optimizer']}{bold} | {rates} | {options} | {', '.join(each)} | "
                f"{bold}{mean:.2f}{bold} | {unseen} |",
                flush=True,
            )


def main() -> None:
    """Read the command line, tune what the table lacks, print the winners."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--families", nargs="+", default=list(SEARCH), choices=list(SEARCH))
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.report:
        report(Table(arguments.table, None), arguments.families)
        return
    with get_context("spawn").Pool(arguments.processes) as pool:
        report(Table(arguments.table, pool), arguments.families)


if __name__ == "__main__":
    main()
