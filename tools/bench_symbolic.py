"""Recovery of known formulae by kanfield and pykan, beside each other on one machine.

    python tools/bench_symbolic.py toys feynman [--every 3] [--seeds N] [--seconds 60] [--environment DIR]

Each has one thread and its own environment (``bench_peers.py`` makes pykan's), and its processor seconds are
counted, since a shared machine's clock counts other people's work. kanfield searches once. pykan goes through
the steps of its introduction: fit under a penalty, prune, fit, refine, fit, snap every edge to its best
function, fit the constants. Its authors choose shape, penalty and functions by hand; here it tries all of
:data:`RECIPES`, one after the other with a new seed each time, until its seconds are over, and the formula
with the smallest error on samples that it has not seen is its answer. A formula of its own and the same with
simple numbers for its constants may both be *exact*, as ``symbolic_tasks.py`` defines it.

Its answer is judged twice: of what it had found after as many seconds as kanfield's search took, and of all.
A CSV has every trial, and a second call computes only those that are missing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource  # Unix only
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import sympy
from bench_peers import ROOT, UNDECLARED, prepare
from symbolic_tables import read, trial, write
from symbolic_tasks import Task, judge, tasks_of

from kanfield.symbolic.numbers import simple_number

CELLS, FINER = 3, 10  # as in pykan's introduction
TUTORIAL = ("x", "x^2", "x^3", "x^4", "exp", "log", "sqrt", "tanh", "sin", "abs")
# Hidden units (or sums and products), steps of every fit, penalty, and functions: None for all of pykan's.
RECIPES: tuple[tuple[Any, int, float, tuple[str, ...] | None], ...] = (
    (5, 20, 1e-2, TUTORIAL),
    ([2, 2], 20, 1e-2, TUTORIAL),
    (5, 50, 1e-3, TUTORIAL),
    ([2, 2], 50, 1e-3, None),
)
ROUNDED = 1e-4  # how far a constant may be from the simple number that it is taken for
LEFT_OUT = ("bessel",)  # the right answer is that there is no formula, and pykan always gives one
SIMPLIFIED = 150  # nodes of a tree that SymPy is asked about
KEYS = ("task", "seed")
FIELDS = (
    *KEYS,
    *("kanfield_exact", "kanfield_seconds", "pykan_exact_equal", "pykan_exact"),
    *("pykan_formulas", "pykan_first_seconds", "pykan_error", "pykan_formula", "seconds"),
)


def main() -> None:
    """Run the trials that the CSV lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tables", nargs="+", choices=["toys", "feynman"])
    parser.add_argument("--only", nargs="*", default=[], help="names of tasks")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th task of a table")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="of pykan, on the processor")
    parser.add_argument("--ours", type=Path, default=Path("symbolic.csv"), help="of symbolic_tables.py")
    parser.add_argument("--out", type=Path, default=Path("bench_symbolic.csv"))
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        name, seed = given.child
        run_pykan(next(task for task in tasks_of(given.tables[0]) if task.name == name), int(seed))
        return
    python = prepare(given.environment.resolve(), "pykan", *UNDECLARED)
    ours, rows = read(given.ours), read(given.out, KEYS)
    for table in given.tables:
        tasks = [task for task in tasks_of(table) if task.name not in LEFT_OUT][:: given.every]
        tasks = [task for task in tasks if not given.only or task.name in given.only]
        for task, seed in itertools.product(tasks, range(given.seeds)):
            known = (task.name, str(seed), "0")
            if known not in ours:
                ours[known] = trial(task, seed, 0.0, 10 * given.seconds)
                write(given.ours, list(ours.values()))
            if (task.name, str(seed)) not in rows:
                lines = pykans_lines(python, table, task, seed, given.seconds)
                rows[task.name, str(seed)] = compare(task, seed, ours[known], lines, given.seconds)
                write(given.out, list(rows.values()))
    show(list(rows.values()))


def pykans_lines(python: Path, table: str, task: Task, seed: int, seconds: float) -> list[dict[str, Any]]:
    """What pykan found in some seconds of the processor, which end its process."""
    whole = int(np.ceil(seconds))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (whole, whole + 1))

    with tempfile.TemporaryDirectory() as folder:  # pykan writes files to where it runs
        done = subprocess.run(
            [str(python), str(Path(__file__).resolve()), table, "--child", task.name, str(seed)],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
            preexec_fn=limit,
            check=False,
            capture_output=True,
            text=True,
        )
    if done.returncode >= 0:  # it never ends by itself
        raise RuntimeError(f"pykan's process ended with {done.returncode}: {done.stderr[-500:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def run_pykan(task: Task, seed: int) -> None:
    """Print a line of JSON for every formula that pykan finds, until the process is ended."""
    import torch
    from kan import KAN

    torch.set_default_dtype(torch.float64)
    Path("model").mkdir(exist_ok=True)  # prune() writes a line of history there, auto_save or not
    x, y, *_ = task.samples(seed)
    cut = len(y) * 7 // 10
    parts = [torch.from_numpy(part) for part in (x[:cut], y[:cut, None], x[cut:], y[cut:, None])]
    data = dict(zip(("train_input", "train_label", "test_input", "test_label"), parts, strict=True))
    began = time.process_time()  # importing torch and pykan is not counted
    for round_number, (hidden, steps, penalty, functions) in enumerate(itertools.cycle(RECIPES)):
        start = 1000 * seed + round_number
        torch.manual_seed(start)
        line: dict[str, Any] = {"recipe": f"{hidden}, {steps} steps, {penalty:g}"}
        try:
            model = KAN(width=[x.shape[1], hidden, 1], grid=CELLS, k=3, seed=start, auto_save=False)
            model.fit(data, opt="LBFGS", steps=steps, lamb=penalty)
            model = model.prune()
            model.fit(data, opt="LBFGS", steps=steps)
            model = model.refine(FINER)
            model.fit(data, opt="LBFGS", steps=steps)
            model.auto_symbolic(lib=None if functions is None else list(functions), verbose=0)
            model.fit(data, opt="LBFGS", steps=steps)
            error = float(torch.sqrt(torch.mean((model(data["test_input"]) - data["test_label"]) ** 2)))
            line |= {"formula": str(model.symbolic_formula(var=list(task.ranges))[0][0]), "error": error}
        except Exception as failure:  # whatever pykan raises is its result
            line["failure"] = f"{type(failure).__name__}: {failure}"[:200]
        print(json.dumps({**line, "seconds": time.process_time() - began}), flush=True)


def compare(
    task: Task, seed: int, ours: dict[str, str], lines: list[dict[str, Any]], seconds: float
) -> dict[str, str]:
    """A row of the table: kanfield's trial and pykan's best formula after equal and after all seconds."""
    row = dict.fromkeys(FIELDS, "")
    row |= {"task": task.name, "seed": str(seed), "seconds": f"{seconds:g}"}
    row |= {"kanfield_exact": ours["exact"], "kanfield_seconds": ours["cpu_seconds"]}
    formulas = [line for line in lines if "formula" in line and np.isfinite(line["error"])]
    best = min(formulas, key=lambda line: line["error"], default=None)
    early = [line for line in formulas if line["seconds"] <= float(ours["cpu_seconds"])]
    row["pykan_formulas"] = f"{len(formulas)} of {len(lines)}"
    row["pykan_first_seconds"] = f"{formulas[0]['seconds']:.1f}" if formulas else ""
    row["pykan_exact"] = str(best is not None and is_exact(best["formula"], task))
    row["pykan_exact_equal"] = str(
        bool(early) and is_exact(min(early, key=lambda line: line["error"])["formula"], task)
    )
    if best is not None:
        row |= {"pykan_error": f"{best['error']:.1e}", "pykan_formula": best["formula"]}
    print(row["task"], "kanfield", row["kanfield_exact"], "pykan", row["pykan_exact"], flush=True)
    return row


def is_exact(text: str, task: Task) -> bool:
    """Whether a formula, or the same with simple numbers for its constants, is exact."""
    formula = task.parse(text)
    if formula.has(sympy.nan, sympy.zoo) or sum(1 for _ in sympy.preorder_traversal(formula)) > SIMPLIFIED:
        return False
    simple = {
        number: simple_number(float(number), ROUNDED * max(1.0, abs(float(number))))
        for number in formula.atoms(sympy.Float)
    }
    rounded = formula.xreplace({old: new for old, new in simple.items() if new is not None})
    return any(outside and proven != "no" for outside, proven in (judge(f, task) for f in (formula, rounded)))


def show(rows: list[dict[str, str]]) -> None:
    """Print the table in Markdown."""
    shown = {"True": "yes", "False": "no"}
    print("| task | seeds | kanfield exact | seconds | pykan, equal seconds | pykan | its best error |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, group in itertools.groupby(rows, key=lambda row: row["task"]):
        some = list(group)

        def of(column: str, some: list[dict[str, str]] = some) -> str:
            if len(some) == 1:
                return shown[some[0][column]]
            return f"{sum(row[column] == 'True' for row in some)} of {len(some)}"

        taken = np.median([float(row["kanfield_seconds"]) for row in some])
        error = min((row["pykan_error"] for row in some if row["pykan_error"]), key=float, default="-")
        exact = [of(each) for each in ("kanfield_exact", "pykan_exact_equal", "pykan_exact")]
        print(f"| {name} | {len(some)} | {exact[0]} | {taken:.1f} | {exact[1]} | {exact[2]} | {error} |")
    counts = [sum(row[each] == "True" for row in rows) for each in FIELDS if "exact" in each]
    print(f"\nexact of {len(rows)}: kanfield {counts[0]}, pykan {counts[2]}, in equal seconds {counts[1]}")


if __name__ == "__main__":
    main()
