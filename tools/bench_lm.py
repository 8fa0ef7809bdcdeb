"""Time a step of Levenberg-Marquardt of ``kanfield solve`` against its floor.

    python tools/bench_lm.py [--repeats 5] [--threads 1]

A step computes the Jacobian J of N residuals in P parameters, the lower triangle of the product J^T J, its
Cholesky factorisation and the residuals at the new parameters. The floor is the triangle and the
factorisation, N P^2 + P^3 / 3 operations, at the rate of the whole product. All parts take turns, so that a
slow moment of a shared machine affects all; processor time is taken, since others may compute on it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from kanfield.least_squares import gram_matrix
from kanfield.pde.plan import build
from kanfield.pde.problems.catalogue import PROBLEMS
from kanfield.pde.sampling import inside_points
from kanfield.pde.settings import SolveSettings
from kanfield.pde.system import System

CASES = (
    ("allen-cahn", [5, 5], [5, 5, 5], 1500),
    ("poisson-2d", [10], [20, 20], 1500),
    ("allen-cahn", [6, 6], [20, 10, 10], 2400),
    ("darcy-waves", [50], [20, 20], 10800),
)


def seconds(run: Callable[[], object]) -> float:
    """Processor seconds of one call."""
    start = time.process_time()
    run()
    return time.process_time() - start


def measure(name: str, widths: list[int], grids: list[int], points: int, repeats: int) -> dict[str, Any]:
    """Medians of a step's parts, in processor seconds."""
    problem = PROBLEMS[name]
    settings = SolveSettings(name, widths=widths, grids=grids)
    field = build(problem, settings, {"widths": widths, "grids": grids, "init_noise": 0.3})
    inside = inside_points(problem, points, 0)
    field.fit_ranges(problem.see(inside), margin=0.2)  # type: ignore[call-arg]
    system = System(problem, field, inside)
    at = system.parameters
    matrix = system.jacobian(at)[1]
    gram = matrix.T @ matrix
    gram.diagonal().add_(1e-3 * float(gram.diagonal().max()))
    parts: dict[str, Callable[[], object]] = {
        "jacobian": lambda: system.jacobian(at),
        "product": lambda: gram_matrix(matrix.T),
        "factorisation": lambda: torch.linalg.cholesky_ex(gram),
        "residual": lambda: system.residual(at),
        "whole": lambda: matrix.T @ matrix,
    }
    times: dict[str, list[float]] = {part: [] for part in parts}
    for _ in range(repeats):
        for part, run in parts.items():
            run()  # not counted: it brings the part's own data back into the caches
            times[part].append(seconds(run))
    found = {part: statistics.median(values) for part, values in times.items()}
    count = len(at)
    rate = 2 * points * count**2 / found.pop("whole")
    floor = (points * count**2 + count**3 / 3) / rate
    return {"parameters": count, "rate": rate / 1e9, "floor": floor, "step": sum(found.values()), **found}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    names = ("jacobian", "product", "factorisation", "residual")
    print(f"| field | points | parameters | {' | '.join(names)} | step | floor | ratio | GFLOP/s |")
    print("| --- |" + " --- |" * (6 + len(names)))
    for name, widths, grids, points in CASES:
        found = measure(name, widths, grids, points, arguments.repeats)
        shape = f"`{name}`, [2, {', '.join(map(str, widths))}, 1]"
        cells = [f"{1e3 * found[part]:.0f}" for part in (*names, "step", "floor")]
        ratio = f"{found['step'] / found['floor']:.1f} x"
        print(
            f"| {shape} | {points:,} | {found['parameters']:,} | {' | '.join(cells)} | {ratio} | "
            f"{found['rate']:.1f} |"
        )


if __name__ == "__main__":
    main()
