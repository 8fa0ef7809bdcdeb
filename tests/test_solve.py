"""``kanfield solve``: what it writes, how it goes on, what it refuses, and the README's own equation."""

from __future__ import annotations

import csv
import json
import re
import time
from pathlib import Path

import pytest
import torch
from PIL import Image as PILImage

from kanfield import full_batch
from kanfield.cli import main
from kanfield.errors import InputError, Interrupted
from kanfield.least_squares import Minimum
from kanfield.pde import plan
from kanfield.pde.plan import make_plan
from kanfield.pde.problems import references
from kanfield.pde.problems.catalogue import PROBLEMS
from kanfield.pde.problems.load import find_problem
from kanfield.pde.problems.references import find_reference
from kanfield.pde.run import run_solve
from kanfield.pde.settings import SolveSettings
from kanfield.pde.solve import Solver
from kanfield.studies.pde.study import _at_once

README = Path(plan.__file__).with_name("README.md")
SMALL = {"widths": [3], "grids": [10], "points": 250, "steps": 12}
HEAT = """
import torch
from kanfield.pde import Problem

def exact(x, t):
    return torch.exp(-t) * torch.sin(x)

problem = Problem(
    box={"x": (0, 3), "t": (0, 1)},
    residual=lambda u, x, t: u.dt - u.dxx,
    constraint=lambda x, t: (torch.exp(-t) * torch.sin(x) * (1 - x * (3 - x) * t), x * (3 - x) * t),
    exact=exact,
)
"""


@pytest.fixture
def heat(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(references, "_SIDE", {1: 41, 2: 41, 3: 11})
    (tmp_path / "heat.py").write_text(HEAT)
    return "heat.py"


@pytest.mark.slow
def test_a_run_leaves_everything(heat, capsys):
    words = ["--widths", "3", "--grids", "10", "--points", "250", "--steps", "12", "--out", "a", "--json"]
    main(["solve", heat, *words, "--threads", "1"])
    printed = capsys.readouterr()
    metrics = json.loads(printed.out)
    assert metrics == json.loads(Path("a/metrics.json").read_text())
    assert metrics["relative_l2"] < 0.3 and metrics["relative_l2_squared"] == metrics["relative_l2"] ** 2
    assert metrics["parameters"] == 3 * 3 * 16 and metrics["optimizer"] == "lm" and metrics["steps"] == 12
    assert "relative L2" in printed.err and "report.html" in printed.err
    with open("a/metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["stretch"] for row in (rows[0], rows[-1])] == ["1", "5"]
    assert float(rows[-1]["l2"]) < float(rows[0]["l2"])
    figures = {path.name for path in Path("a/figures").glob("*.png")}
    assert figures == {"errors.png", "maps.png", "snapshots.png"}
    report = Path("a/report.html").read_text()
    assert report.count("<svg") == 3 and "kanfield solve" in report and "Stretches" in report
    with PILImage.open("a/film.gif") as film:
        assert film.n_frames > 5
    assert list(Path("a/tensorboard/solve").glob("events*"))
    assert Path("a/solve.yaml").read_text().count("heat.py") == 1


def solver(checkpoint="checkpoint", **changes):
    settings = SolveSettings("heat.py", **{**SMALL, **changes})
    problem = find_problem("heat.py")
    path = checkpoint and Path(checkpoint)
    return Solver(problem, settings, make_plan(problem, settings), find_reference(problem), path)


def test_a_run_that_was_stopped_goes_on_to_the_same_result(heat, monkeypatch):
    whole = solver("whole")
    whole.run()
    go = Solver._go

    def stop(self, number, stretch):
        if number == 1:
            raise KeyboardInterrupt
        go(self, number, stretch)

    with monkeypatch.context() as patch:
        patch.setattr(Solver, "_go", stop)
        with pytest.raises(KeyboardInterrupt):
            solver("part").run()
    again = solver("part")
    assert 0 < len(again.rows) < len(whole.rows)
    again.run()
    assert [row.l2 for row in again.rows] == [row.l2 for row in whole.rows]
    Path("part").write_bytes(b"half a fi")
    with pytest.raises(InputError, match="part does not fit its run"):
        solver("part")


def test_a_run_does_not_go_on_with_another_equation(heat, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Solver, "run", stop)
    with pytest.raises(Interrupted):
        run_solve(SolveSettings("heat.py", **SMALL), out=Path("part"))
    text = Path("part/solve.yaml").read_text()
    Path("heat.py").write_text(HEAT.replace("u.dt - u.dxx", "u.dt - 2 * u.dxx"))
    with pytest.raises(InputError, match=r"heat\.py has changed since the run in part began: put it back"):
        run_solve(None, resume=Path("part"))
    lines = [line for line in text.splitlines(True) if not line.startswith("sha256")]
    assert len(lines) < len(text.splitlines())
    Path("part/solve.yaml").write_text("".join(lines))  # as older runs have it
    with pytest.raises(Interrupted):
        run_solve(None, resume=Path("part"))


def test_a_kan_s_splines_are_quintic_or_as_told_and_those_of_older_runs_cubic(heat, monkeypatch):
    def order(run):
        return run.field.layers[0].order

    assert (order(solver()), order(solver(order=2))) == (5, 2)
    run_solve(SolveSettings("heat.py", **{**SMALL, "order": 3}), out=Path("old"))
    lines = Path("old/solve.yaml").read_text().splitlines(True)
    Path("old/solve.yaml").write_text("".join(line for line in lines if not line.startswith("order")))
    metrics, _ = run_solve(None, resume=Path("old"))
    assert metrics["parameters"] == 3 * 3 * 14


def test_ctrl_c_ends_in_one_line_and_a_folder_is_used_once(heat, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Solver, "run", stop)
    settings = SolveSettings("heat.py", **SMALL)
    with pytest.raises(Interrupted, match="kanfield solve --resume part"):
        run_solve(settings, out=Path("part"))
    with pytest.raises(InputError, match="holds a run: go on with kanfield solve --resume part"):
        run_solve(settings, out=Path("part"))
    with pytest.raises(Interrupted):
        run_solve(None, resume=Path("part"))


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "mlp", "widths": [6], "grids": None},
        {"model": "rff", "widths": [20], "grids": None, "points": 60},  # more parameters than points
        {"model": "siren", "widths": [6], "grids": None, "optimizer": "lbfgs", "steps": 20},
        {"optimizer": "adam", "steps": 20},
        {"seconds": 1e-6, "steps": 50},
    ],
)
def test_every_model_can_have_every_optimiser(heat, changes):
    run = solver(**changes)
    run.run()
    if "seconds" in changes:
        assert run.rows[-1].step < 50
    else:
        assert run.plan.optimizer == changes.get("optimizer", "lm")
        assert run.rows[-1].step == changes.get("steps", 12)
        first = [row.loss for row in run.rows if row.stretch == 1]  # the second has other points
        assert first[-1] < first[0]


def test_adam_alone_does_not_begin_with_least_squares(heat, monkeypatch):
    solved = []
    monkeypatch.setattr("kanfield.pde.solve.solve_outer_layer", solved.append)
    problem, settings = find_problem("heat.py"), SolveSettings("heat.py", **SMALL, optimizer="adam")
    made = make_plan(problem, settings)
    for each in (made, _at_once(made, settings)):
        Solver(problem, settings, each, None, None).run()
    assert len(solved) == 2  # of the first plan alone: fresh and refined


def test_the_clock_is_read_after_every_step(heat, monkeypatch):
    asked, advance = [], full_batch._Adam.advance
    monkeypatch.setattr(full_batch._Adam, "advance", lambda self, n: asked.append(n) or advance(self, n))
    run = solver(None, grids=[5], points=100, optimizer="adam", steps=48, seconds=1e6)
    run.run()
    assert asked == [1] * 48 and len(run.rows) < 30  # but scores are not computed so often


def test_seconds_count_the_steps_that_were_refused(heat, monkeypatch):
    def slow(residual, jacobian, start, watch, **_):
        watch(Minimum(start, 1.0, 1, 1, 1e-3))
        time.sleep(0.2)
        return Minimum(start, 1.0, 1, 9, 1e-3)

    monkeypatch.setattr("kanfield.pde.solve.levenberg_marquardt", slow)
    run = solver(None, grids=[5], steps=1)
    run.run()
    assert run.seconds > run.rows[-1].seconds + 0.19


def test_a_search_that_has_converged_tells_how_many_steps_it_took():
    for every in (1, 7, 50):
        x, seen = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True), []
        full_batch.minimize([x], lambda x=x: ((x - 1) ** 2).sum(), 50, watch=seen.append, every=every)
        assert x.tolist() == [1, 1]
        assert seen[0] == 0 and seen == sorted(set(seen)) and 1 <= seen[-1] < 10, every


def test_a_stretch_begins_with_the_damping_that_the_one_before_found_right(heat, monkeypatch):
    given = []

    def search(residual, jacobian, start, watch, damping, **_):
        given.append(damping)
        watch(Minimum(start, 1.0, 1, 1, damping / 8))
        return Minimum(start, 1.0, 1, 1, 1e9)  # after steps that were refused

    monkeypatch.setattr("kanfield.pde.solve.levenberg_marquardt", search)
    run = solver()
    run.run()
    assert len(given) == len(run.plan.stretches) and given == [1e-3 / 8**n for n in range(len(given))]
    assert solver()._damping == given[-1] / 8  # from the checkpoint


def test_refinement_and_windows_are_planned():
    problem = PROBLEMS["allen-cahn"]
    made = make_plan(problem, SolveSettings("allen-cahn", widths=[5, 5], grids=[20, 10, 10], steps=100))
    spans = [(stretch.grids, round(stretch.until, 3)) for stretch in made.stretches]
    coarse = (10, 5, 5)
    assert spans == [*[(coarse, n / 8) for n in range(1, 9)], *[((20, 10, 10), 1.0)] * 4]
    assert sum(stretch.steps for stretch in made.stretches[:8]) == 50
    assert sum(stretch.steps for stretch in made.stretches[8:]) == 50
    assert made.parameters == 2 * 5 * 26 + 5 * 5 * 16 + 5 * 16


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        ("", ["which problem?", "--list"]),
        ("allen-kahn", ["unknown problem 'allen-kahn'", "did you mean allen-cahn?"]),
        ("nowhere.py", ["nowhere.py", "no file"]),
        ("poisson-2d --optimizer sgd", ["--optimizer sgd", "lm, lbfgs, adam"]),
        ("poisson-2d --steps 0", ["--steps 0", "above zero"]),
        ("poisson-2d --model kam", ["--model kam", "did you mean kan?"]),
        ("poisson-2d --model siren --grids 5", ["siren", "grids"]),
        ("poisson-2d --model kan-rbf", ["kan-rbf", "LayerNorm"]),
        ("poisson-2d --points 300000000", ["--points 300,000,000", "268,435,456 at most"]),
        ("poisson-2d --points 100", ["--points 100", "parameters", "--grids"]),
        ("poisson-2d --model mlp --widths 90,90 --optimizer lm --points 6001", ["--optimizer lm", "lbfgs"]),
        ("poisson-2d --widths 0", ["--widths", "above zero"]),
        ("poisson-2d --order 6", ["order 6", "(1, 2, 3, 4, 5)"]),
        ("poisson-2d --order 1", ["--order 1", "no second derivatives", "2 to 5"]),
        ("poisson-2d --order 0", ["--order 0", "2 to 5"]),
        ("poisson-2d --model mlp --order 3", ["mlp", "order is not an option"]),
        ("--resume .", ["no run of kanfield solve", "solve.yaml"]),
        ("poisson-2d --resume .", ["--resume", "leave out"]),
        ("empty.py", ["empty.py", "'problem'"]),
        ("broken.py", ["broken.py, line 2", "ZeroDivisionError"]),
        ("leaves.py", ["leaves.py, line 2", "SystemExit"]),
        ("flat.py", ["does not depend on u"]),
        ("crossed.py", ["where x = 0 meets t = 0", "make them agree"]),
        ("wrong.py", ["the reference does not match"]),
        ("four.py", ["4 coordinates", "up to three"]),
    ],
)
def test_mistakes_end_in_one_line(words, phrases, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    head = "import torch\nfrom kanfield.pde import *\n"
    files = {
        "empty.py": "",
        "broken.py": "a = 1\nb = a / 0\n",
        "leaves.py": "import sys\nsys.exit(3)\n",
        "flat.py": head + "problem = Problem(box={'x': (0, 1)}, residual=lambda u, x: x)\n",
        "crossed.py": head
        + "c = [Condition(lambda u, x, t: u, on={'x': 0}), Condition(lambda u, x, t: u - 1, on='start')]\n"
        + "problem = Problem({'x': (0, 1), 't': (0, 1)}, lambda u, x, t: u.dt - u.dxx, c)\n",
        "wrong.py": head
        + "problem = Problem({'x': (0, 1)}, lambda u, x: u.dxx, constraint=lambda x: (x, x * (1 - x)),\n"
        + "                  exact=lambda x: 1 - x)\n",
        "four.py": head
        + "problem = Problem(dict.fromkeys('wxyz', (0, 1)), lambda u, *p: u.dxx, exact=lambda w, *p: w)\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(SystemExit) as end:
        main(["solve", *words.split()])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1 and "Traceback" not in said
    assert all(phrase in said for phrase in phrases), said
    assert not (tmp_path / "solutions").exists()


def test_the_problems_are_listed(capsys):
    main(["solve", "--list"])
    said = capsys.readouterr().out
    assert all(f"{name} " in said for name in PROBLEMS)
    table = README.read_text(encoding="utf-8").split("## The problems")[1].split("## Measured")[0]
    assert re.findall(r"^\| `([\w-]+)`", table, re.MULTILINE) == list(PROBLEMS)


def test_the_readme_s_own_equation_is_solved(tmp_path, monkeypatch):
    code = README.read_text(encoding="utf-8").split("## Your own equation")[1]
    code = code.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line]) <= 10
    (tmp_path / "my_pde.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    settings = SolveSettings("my_pde.py", widths=[4], grids=[5], points=300, steps=60)
    problem = find_problem("my_pde.py")
    run = Solver(problem, settings, make_plan(problem, settings), None, tmp_path / "checkpoint")
    run.run()
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    n = torch.arange(1.0, 60.0, dtype=torch.float64)
    sines = torch.sin(torch.pi * x[:, None] * n)
    # Sine series: the start is the first one, sin(3 x) has these coefficients, and each decays by itself.
    force = 2 * torch.sin(torch.tensor(3.0)) * (-1.0) ** n * torch.pi * n / (9 - (torch.pi * n) ** 2)
    rate = 0.1 * (torch.pi * n) ** 2
    for t in (0.0, 0.5, 1.0):
        decay = torch.exp(-rate * t)
        exact = sines @ ((n == 1) * decay + force * (1 - decay) / rate)
        found = run.values(torch.stack([x, torch.full_like(x, t)], 1))
        torch.testing.assert_close(found, exact, atol=0.05, rtol=0)


def test_a_search_that_accepts_no_step_leaves_a_row(heat, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "kanfield.pde.solve.levenberg_marquardt",
        lambda residual, jacobian, start, **_: Minimum(start, 1.0, 0, 1, 1e-3),
    )
    problem, settings = find_problem(heat), SolveSettings(heat, **SMALL)
    run = Solver(problem, settings, make_plan(problem, settings), find_reference(problem), None)
    run.run()
    assert run.rows[-1].step == 0 and run.rows[-1].l2 is not None


def test_limits_are_what_the_help_says():
    from kanfield.cli.solve import Solve

    said = " ".join(
        (Solve.__module__, Path(plan.__file__).parent.parent.joinpath("cli/solve.py").read_text())
    )
    assert f"above {plan.LM_DEFAULT:,} parameters" in said
    assert all(str(steps) in said for steps in plan._STEPS.values())
