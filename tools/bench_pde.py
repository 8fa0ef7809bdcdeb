"""Solve Allen-Cahn and Poisson with kanfield and with DeepXDE, in equal times, and print both errors.

    python tools/bench_pde.py [--seconds 300] [--steps 400] [--json FILE] [--environment build/peers-pde]

DeepXDE (torch backend, double precision) is installed into an environment of its own, which borrows this
interpreter's torch and kanfield. Its fields are tanh networks of three hidden layers, as in its own examples,
trained by Adam and then by L-BFGS; they get the features and exact constraints of kanfield's problems and as
many points. Both run at the same time, on one thread each, so that a slow moment of a shared machine affects
both; errors are those of the same reference on the same grid.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_peers import ROOT, prepare

POINTS, ADAM_SHARE, ADAM_RATE, CHUNK = 2000, 0.3, 1e-3, 20
WIDTHS = (20, 40)  # of DeepXDE's networks: that of its example of Allen-Cahn, and twice that
OURS = {"allen-cahn": ("--widths", "5,5", "--grids", "5"), "poisson-2d": ("--widths", "10", "--grids", "20")}


def solve_ours(problem: str, seconds: float, steps: int, folder: Path) -> subprocess.Popen[str]:
    """Start ``kanfield solve``, which prints its metrics as JSON."""
    words = [problem, *OURS[problem], "--points", str(POINTS), "--seconds", str(seconds)]
    words += ["--steps", str(steps), "--threads", "1", "--json", "--quiet", "--out", str(folder)]
    command = [sys.executable, "-m", "kanfield", "solve", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def solve_theirs(python: Path, problem: str, seconds: float, width: int) -> subprocess.Popen[str]:
    """Start this file in the environment, which prints what DeepXDE reached as its last line."""
    command = [str(python), __file__, "--child", problem, str(seconds), str(width)]
    environment = {**os.environ, "DDE_BACKEND": "pytorch", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def child(name: str, seconds: float, width: int) -> dict[str, Any]:
    """Solve a problem with DeepXDE.

    Args:
        name: of the problem.
        seconds: of Adam and L-BFGS together.
        width: of the three hidden layers.
    """
    import deepxde as dde
    import torch
    from deepxde.optimizers.config import LBFGS_options

    from kanfield.pde.problems.catalogue import PROBLEMS
    from kanfield.pde.problems.references import find_reference

    torch.set_num_threads(1)
    dde.config.set_default_float("float64")
    dde.config.set_random_seed(0)
    problem = PROBLEMS[name]

    def residual(x: Any, u: Any) -> Any:
        names = list(problem.box)
        values = u[:, 0] + 0  # a tensor of its own, for the derivatives that become its attributes
        for i, letter in enumerate(names):
            setattr(values, f"d{letter}", dde.grad.jacobian(u, x, i=0, j=i)[:, 0])
            setattr(values, f"d{letter}{letter}", dde.grad.hessian(u, x, i=i, j=i)[:, 0])
        return problem.residual(values, *x.T)[:, None]

    def constrain(x: Any, y: Any) -> Any:
        lift, mask = problem.hold(x).unbind(1)
        return (lift + mask * y[:, 0])[:, None]

    lower, upper = (bound.numpy() for bound in (problem.lower, problem.upper))
    box = dde.geometry.Rectangle(lower, upper)
    data = dde.data.PDE(box, residual, [], num_domain=POINTS, train_distribution="Sobol")
    net = dde.nn.FNN([problem.num_features, width, width, width, 1], "tanh", "Glorot normal")
    net.apply_feature_transform(problem.see)
    net.apply_output_transform(constrain)
    model = dde.Model(data, net)
    began = time.perf_counter()
    model.compile("adam", lr=ADAM_RATE)
    _, state = model.train(10**9, callbacks=[dde.callbacks.Timer(ADAM_SHARE * seconds / 60)], verbose=0)
    left = seconds - (time.perf_counter() - began)
    dde.optimizers.set_LBFGS_options(ftol=0, gtol=0, maxiter=10**6)
    LBFGS_options |= {"iter_per_step": CHUNK, "fun_per_step": 2 * CHUNK}  # the clock is read after each
    model.compile("L-BFGS")
    _, state = model.train(callbacks=[dde.callbacks.Timer(left / 60)], verbose=0)
    spent = time.perf_counter() - began
    reference = find_reference(problem)
    assert reference is not None
    values = model.predict(reference.points().numpy()).reshape(reference.values.shape)
    return {
        "relative_l2": reference.errors(values)[0],
        "steps": int(state.step),
        "seconds": spent,
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def compare(python: Path, seconds: float, steps: int) -> dict[str, Any]:
    """Print all figures as they come, and return them by problem and contestant."""
    figures: dict[str, Any] = {}
    print("| problem | contestant | parameters | steps | seconds | relative L2 |\n| --- |" + " --- |" * 5)
    for problem in OURS:
        print(f"{problem} ...", file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            running = {"kanfield": solve_ours(problem, seconds, steps, Path(folder) / "ours")}
            for width in WIDTHS:
                running[f"DeepXDE, 3 x {width}"] = solve_theirs(python, problem, seconds, width)
            try:
                printed = {name: process.communicate()[0] for name, process in running.items()}
            finally:  # a session of its own gives each the same share of the machine, and no Ctrl-C
                for process in running.values():
                    process.kill()
            failed = [name for name, process in running.items() if process.returncode]
            if failed:
                raise SystemExit(f"{problem}: {', '.join(failed)} failed: see above")
        figures[problem] = {
            name: json.loads(text if name == "kanfield" else text.splitlines()[-1])
            for name, text in printed.items()
        }
        show(problem, figures[problem])  # at once: the next one may take an hour
    return figures


def show(problem: str, contestants: dict[str, Any]) -> None:
    """Print a problem's rows of the table."""
    for name, found in contestants.items():
        print(
            f"| `{problem}` | {name} | {found['parameters']:,} | {found['steps']:,} | "
            f"{found['seconds']:,.0f} | {found['relative_l2']:.1e} |",
            flush=True,
        )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="that each contestant gets")
    parser.add_argument("--steps", type=int, default=400, help="of Levenberg-Marquardt, at most")
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "peers-pde")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, seconds, width = arguments.child
        print(json.dumps(child(name, float(seconds), int(width))))
        return
    python = prepare(arguments.environment.resolve(), "deepxde")
    figures = compare(python, arguments.seconds, arguments.steps)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


if __name__ == "__main__":
    main()
