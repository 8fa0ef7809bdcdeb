"""Find every baseline's defaults: the rates of Adam and of Muon, and the options of its family.

python tools/tune.py tools/tune.csv                      # all families; no fit is run twice
python tools/tune.py tools/tune.csv --families siren --report

Every fit has the same steps, batch, warm-up and decay. A family is tuned one setting after another,
each from the best so far: on the first photograph Adam's rate, Muon's rate and, for some families, Adam's
beside it; then Adam against Muon, for the same families on all photographs, both judged by the pixels
trained on; then, on the first again, the family's options. Options trade the pixels trained on for those in
between, so a second fit hides half of a checkerboard, and a decibel there counts double: longer training
improves the former anyway. ``--report`` prints the winners.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
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
    "mlp": ([1e-3, 3e-3, 5e-3, 1e-2], [1e-2, 3e-2, 1e-1], {"activation": ["relu"]}),
    "finer": ([5e-4, 1e-3], [1e-3, 3e-3], {"first_bias": [0.0]}),
    "gauss": ([5e-3, 1e-3], [1e-3, 3e-3], {"scale": [10.0]}),
    "posenc": ([1e-3, 3e-3], [1e-2, 3e-2], {"levels": [10]}),
    "kan-fourier": ([1e-3, 3e-3], [1e-3, 3e-3], {"grids": [[64, 4, 4]]}),
    "kan-rbf": ([1e-3, 3e-3], [3e-3, 1e-2], {"grids": [[64, 8, 8, 8]]}),
    "wire": ([5e-3, 2e-3], [1e-3, 3e-3], {"scale": [10.0]}),
}

# Tuned on every photograph; the others on the first alone.
THOROUGH = ("hashgrid", "siren", "rff")


def fit(job: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """Fit once and return the row; a fit that diverges has no PSNR."""
    photo, pattern, settings = job
    try:
        return measure((photo, SIZE, pattern, full(settings)))
    except RunFailed:
        return dict(zip(KEYS, (photo, SIZE, pattern, json.dumps(full(settings))), strict=True))


def full(settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of a fit; none is left to the defaults, which this tool determines."""
    return dict(sorted({**settings, "steps": STEPS, "batch_size": BATCH}.items()))


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
        """Mean PSNR over photographs, on the hidden pixels where there are any.

        Args:
            settings: one for each score.
            photos: names of photographs.
            pattern: what is hidden, or ``"none"``.
        """
        jobs = [(photo, pattern, choice) for choice in settings for photo in photos]
        todo = [job for job in jobs if self._row(job) is None]
        if todo:
            assert self.pool is not None, f"{len(todo)} rows are missing in {self.path}: run without --report"
            for row in self.pool.imap(fit, todo):
                self._add(row)
        values = iter([self._value(job) for job in jobs])
        return [statistics.mean(next(values) for _ in photos) for _ in settings]

    def _row(self, job: tuple[str, str, dict[str, Any]]) -> dict[str, Any] | None:
        photo, pattern, settings = job
        key = [photo, str(SIZE), pattern, json.dumps(full(settings))]
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


def best(table: Table, choices: list[dict[str, Any]], photos: tuple[str, ...] = PHOTOS[:1]) -> dict[str, Any]:
    """The choice with the highest PSNR on the pixels trained on."""
    scores = table.scores(choices, photos)
    return choices[scores.index(max(scores))]


def best_between(table: Table, choices: list[dict[str, Any]]) -> dict[str, Any]:
    """The best choice on the first photograph where an unseen decibel counts twice."""
    seen = table.scores(choices, PHOTOS[:1])
    unseen = table.scores(choices, PHOTOS[:1], "checkerboard")
    scores = [a + 2 * b for a, b in zip(seen, unseen, strict=True)]
    return choices[scores.index(max(scores))]


def photos_of(family: str) -> tuple[str, ...]:
    """The photographs that a family's winner is measured on."""
    return PHOTOS if family in THOROUGH else PHOTOS[:1]


def tuned(table: Table, family: str) -> list[dict[str, Any]]:
    """The best settings with Adam, with Muon, and the better of the two with the best options."""
    adam, muon, options = SEARCH[family]
    published: dict[str, Any] = {"model": family, "options": {}}
    for name, values in options.items():
        published = _with(published, name, values[0])
    by_adam = best(table, [{**published, "optimizer": "adam", "lr": lr} for lr in adam])
    rate = by_adam["lr"]
    start = {**published, "optimizer": "muon", "adam_lr": rate}
    by_muon = best(table, [{**start, "lr": lr} for lr in muon])
    if family in THOROUGH:
        by_muon = best(table, [by_muon, *({**by_muon, "adam_lr": round(rate * f, 6)} for f in (3, 1 / 3))])
    winner = best(table, [by_adam, by_muon], photos_of(family))
    for name, (_, *others) in options.items():
        if others:
            winner = best_between(table, [winner, *(_with(winner, name, value) for value in others)])
    return [by_adam, by_muon, winner]


def _with(choice: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    if name == "grids":
        return {**choice, name: value}
    return {**choice, "options": {**choice["options"], name: value}}


def report(table: Table, families: list[str]) -> None:
    """Print what won in every family, and what the published options give, as Markdown."""
    heading = ["family", "optimiser", "rates", "options", *PHOTOS, "mean", "unseen half, mean"]
    print(f"| {' | '.join(heading)} |\n| {' | '.join('---' for _ in heading)} |")
    for family in families:
        choices = tuned(table, family)
        for number, choice in enumerate(choices):
            if choice in choices[:number]:
                continue  # no option beat the published ones
            photos = photos_of(family)
            each = [table.scores([choice], (photo,))[0] for photo in photos]
            rates = f"{choice['lr']:g}" + (f", Adam {choice['adam_lr']:g}" if "adam_lr" in choice else "")
            others = {
                **choice.get("options", {}),
                **({"grids": choice["grids"]} if "grids" in choice else {}),
            }
            options = ", ".join(f"{key} {value}" for key, value in others.items()) or "published"
            unseen = ""
            if choice == choices[-1] and any(len(values) > 1 for values in SEARCH[family][2].values()):
                unseen = f"{table.scores([choice], photos, 'checkerboard')[0]:.2f}"
            name = f"**{family}**" if choice == choices[-1] else family
            blank = [""] * (len(PHOTOS) - len(each))
            scores = [*(f"{v:.2f}" for v in each), *blank, f"{statistics.mean(each):.2f}"]
            cells = [name, choice["optimizer"], rates, options, *scores, unseen]
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Read the command line, run the fits that are missing, print the winners."""
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
