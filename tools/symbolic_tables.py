"""Recovery of known formulae by ``kanfield symbolic``: toys, the Feynman rows of the KAN paper, SRSD.

``python tools/symbolic_tables.py toys --seeds 3``, ``feynman``, ``srsd-easy`` or ``srsd-easy-dummy``, with
``--noise 0.01`` for noise. A CSV has every trial, and a second call computes only those that are missing.
What counts as *exact* stands in ``symbolic_tasks.py``.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from symbolic_tasks import TABLES, Task, judge, tasks_of

from kanfield.symbolic.discover import discover

# The paper's RMSE of its pruned KANs (table 2, column "pruned").
PRUNED_RMSE = {
    **{"I.6.2": 2.86e-5, "I.6.2b": 4.45e-4, "I.9.18": 8.62e-3, "I.12.11": 1.39e-3, "I.13.12": 4.81e-3},
    **{"I.15.3x": 1.58e-3, "I.16.6": 1.19e-3, "I.18.4": 1.50e-4, "I.26.2": 7.90e-4, "I.27.6": 1.94e-4},
    **{"I.29.16": 3.99e-3, "I.30.3": 1.03e-3, "I.30.5": 3.49e-5, "I.37.4": 4.91e-6, "I.40.1": 5.01e-4},
    **{"I.44.4": 2.43e-5, "I.50.26": 5.82e-4, "II.2.42": 7.22e-4, "II.6.15a": 3.28e-3, "II.11.7": 8.52e-3},
    **{"II.11.27": 4.40e-5, "II.35.18": 1.58e-4, "II.36.38": 1.15e-3, "II.38.3": 8.78e-5},
    **{"III.9.52": 3.90e-3, "III.10.19": 1.18e-3, "III.17.37": 5.03e-4},
}
KEYS = ("task", "seed", "noise")
COLUMNS = (
    *KEYS,
    *("exact", "proof", "found", "test_rmse", "pruned_kan_rmse", "outside_1e-6"),
    *("attempts", "seconds", "cpu_seconds", "formula", "truth"),
)


def main() -> None:
    """Run the trials that the CSV lacks, and print the rates."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("tables", nargs="+", choices=TABLES)
    parser.add_argument("--only", nargs="*", default=[], help="names of tasks")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--noise", type=float, default=0.0, help="relative to the target's standard deviation"
    )
    parser.add_argument("--seconds", type=float, default=900.0, help="of a trial")
    parser.add_argument("--out", type=Path, default=Path("symbolic.csv"))
    given = parser.parse_args()
    known = read(given.out)
    rows = []
    for task in (task for table in given.tables for task in tasks_of(table)):
        for seed in range(given.seeds):
            if given.only and task.name not in given.only:
                continue
            key = (task.name, str(seed), f"{given.noise:g}")
            if key not in known:
                known[key] = trial(task, seed, given.noise, given.seconds)
                write(given.out, list(known.values()))
            rows.append(known[key])
    exact = sum(row["exact"] == "True" for row in rows)
    below = sum(
        float(row["test_rmse"]) < PRUNED_RMSE[row["task"]] for row in rows if row["task"] in PRUNED_RMSE
    )
    print(f"{exact} of {len(rows)} exact; test RMSE below the paper's pruned KAN in {below}")


def trial(task: Task, seed: int, noise: float, seconds: float) -> dict[str, str]:
    """One search, compared with the truth."""
    x, y, x_test, y_test = task.samples(seed, noise)
    began, cpu = time.monotonic(), time.process_time()
    found = discover(
        x, y, names=list(task.ranges), seconds=seconds, progress=lambda line: print("  ", line, flush=True)
    )
    took, used = time.monotonic() - began, time.process_time() - cpu
    row = dict.fromkeys(COLUMNS, "")
    row |= {"task": task.name, "seed": str(seed), "noise": f"{noise:g}", "truth": task.text}
    row |= {"found": str(found.found), "attempts": str(len(found.attempts)), "test_rmse": "inf"}
    row |= {"seconds": f"{took:.0f}", "cpu_seconds": f"{used:.1f}"}
    row["pruned_kan_rmse"] = str(PRUNED_RMSE.get(task.name, ""))
    bessel = task.name == "bessel"  # "no formula in the table" is right there
    row["exact"] = str(bessel and not found.found)
    if found.chosen is not None:
        error = found.chosen.network(x_test) - y_test
        row["test_rmse"] = f"{np.sqrt(np.mean(error**2)):.2e}"
        row["formula"] = str(found.chosen.expression)
        if not bessel:
            outside, row["proof"] = judge(found.chosen.expression, task)
            row["outside_1e-6"], row["exact"] = str(outside), str(outside and row["proof"] != "no")
    print(f"{task.name}, seed {seed}: exact {row['exact']}, {row['formula'][:90]}", flush=True)
    return row


def read(path: Path, keys: tuple[str, ...] = KEYS) -> dict[tuple[str, ...], dict[str, str]]:
    """Rows of a CSV by the columns that name them."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {tuple(row[key] for key in keys): row for row in csv.DictReader(file)}


def write(path: Path, rows: list[dict[str, str]]) -> None:
    """All rows, in the place of the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    temporary.replace(path)


if __name__ == "__main__":
    main()
