"""A run of ``kanfield solve``: its folder, from the settings to the report."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from kanfield.errors import InputError, Interrupted
from kanfield.fields.field import count_parameters
from kanfield.files import replacing, write_json, write_text
from kanfield.names import command_line, folder_name
from kanfield.pde.checks import check_problem, check_reference, time_axis
from kanfield.pde.figures import draw_errors, draw_maps, draw_snapshots, write_film
from kanfield.pde.plan import Plan, make_plan
from kanfield.pde.problem import Problem, Reference
from kanfield.pde.problems.load import find_problem
from kanfield.pde.problems.references import find_reference, grid_of
from kanfield.pde.settings import FILE, SolveSettings, read_settings
from kanfield.pde.solve import Row, Solver
from kanfield.process import default_settings, limit_threads
from kanfield.reports.findings import Findings, Picture, Table
from kanfield.reports.tensorboard import write_curves
from kanfield.reports.write import check_out, make_folder, write_findings

_DRAWN = 201  # points along each axis of a picture


def run_solve(
    settings: SolveSettings | None,
    out: Path | None = None,
    resume: Path | None = None,
    threads: int | None = None,
    console: Console | None = None,
) -> tuple[dict[str, Any], Path]:
    """Solve a problem and write its folder.

    Args:
        settings: of a new run; None with ``resume``.
        out: folder of a new run, or None for a numbered one under ``solutions``.
        resume: folder of a run to go on with.
        threads: of the CPU.
        console: where progress is printed, or None.

    Returns:
        The content of ``metrics.json``, and the folder.

    Raises:
        InputError: a setting, the problem or the folder is impossible.
        Interrupted: Ctrl-C came; stretches that are done are kept.
    """
    if settings is None:
        assert resume is not None
        settings = read_settings(resume)
    else:
        settings.check()
        if out is not None and (out / FILE).exists():
            again = command_line("kanfield", "solve", "--resume", out)
            raise InputError(f"--out {out} holds a run: go on with {again}, or give another")
        check_out(out, "the run")
    if settings.sha256 is not None and _sha256(settings.problem) not in (None, settings.sha256):
        raise InputError(
            f"{settings.problem} has changed since the run in {resume} began: put it back, or start anew in "
            "another folder"
        )
    with default_settings(), limit_threads(threads):
        problem = find_problem(settings.problem)
        check_problem(problem)
        plan = make_plan(problem, settings)
        reference = find_reference(problem)
        if reference is not None:
            check_reference(problem, reference)
        folder = resume or _make(settings, problem, out)
        try:
            solver = Solver(
                *(problem, settings, plan, reference, folder / "checkpoint.safetensors"),
                log=lambda row: _print(console, plan, row),
            )
            solver.run()
        except KeyboardInterrupt:
            again = command_line("kanfield", "solve", "--resume", folder)
            raise Interrupted(
                f"Interrupted; stretches that are done are kept. Go on with: {again}", 130
            ) from None
        return _write(folder, problem, settings, plan, solver), folder


def _make(settings: SolveSettings, problem: Problem, out: Path | None) -> Path:
    name = Path(settings.problem).stem if settings.problem.endswith(".py") else problem.name
    folder = make_folder(out, Path("solutions"), folder_name(f"{name}-{settings.model}"))
    if settings.problem.endswith(".py"):  # --resume works from any folder
        path = str(Path(settings.problem).resolve())
        settings = dataclasses.replace(settings, problem=path, sha256=_sha256(path))
    write_text(folder / FILE, settings.to_yaml())
    return folder


def _sha256(problem: str) -> str | None:
    """The digest of a problem's file; None for a name, or where no file can be read."""
    try:
        return hashlib.sha256(Path(problem).read_bytes()).hexdigest() if problem.endswith(".py") else None
    except OSError:
        return None


def _print(console: Console | None, plan: Plan, row: Row) -> None:
    if console is None:
        return
    error = "" if row.l2 is None else f", relative L2 {row.l2:.2e}, H1 {row.h1:.2e}"
    console.print(
        Text(f"[{row.stretch}/{len(plan.stretches)}] step {row.step}: loss {row.loss:.2e}{error}"),
        soft_wrap=True,
    )


def _write(
    folder: Path, problem: Problem, settings: SolveSettings, plan: Plan, solver: Solver
) -> dict[str, Any]:
    """All files of a finished run; the report comes last."""
    last, l2, h1 = solver.rows[-1], None, None
    if solver.reference is not None:
        l2, h1 = solver.reference.errors(solver.on_grid(solver.reference))
    metrics: dict[str, Any] = {
        "problem": problem.name if not settings.problem.endswith(".py") else settings.problem,
        "model": settings.model,
        "optimizer": plan.optimizer,
        "parameters": count_parameters(solver.field),
        "points": plan.points,
        "steps": last.step,
        "seconds": solver.seconds,
        "loss": last.loss,
        "residual_rms": solver.held_out_residual(),
        "relative_l2": l2,
        "relative_l2_squared": None if l2 is None else l2**2,
        "relative_h1": h1,
        "solved_until": last.until,
        "run": str(folder),
    }
    with (
        replacing(folder / "metrics.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(dataclasses.asdict(row) for row in solver.rows)
    curves = {
        f"error/{key}": [(row.step, getattr(row, key)) for row in solver.rows] for key in ("l2", "h1", "loss")
    }
    write_curves(folder, "solve", curves)
    write_json(folder / "metrics.json", metrics)
    write_findings(
        folder,
        _findings(folder, problem, plan, solver, metrics),
        title=f"{problem.name}: {problem.summary}" if problem.summary else problem.name,
        command=_command(settings),
        content=metrics | {"seconds": {"all stretches": solver.seconds}},
        settings=settings.to_yaml(),
        quick=settings.quick,
    )
    return metrics


def summary(metrics: dict[str, Any]) -> str:
    """What a run reached, in one sentence."""
    what = (
        f"{metrics['model']} of {metrics['parameters']:,} parameters, {metrics['steps']:,} steps of "
        f"{metrics['optimizer']}: residual {metrics['residual_rms']:.2e} (root mean square)"
    )
    if metrics["relative_l2"] is None:
        return f"{what}; there is no reference to compare with."
    return (
        f"{what}, relative L2 error {metrics['relative_l2']:.2e} "
        f"(squared {metrics['relative_l2_squared']:.1e}), H1 {metrics['relative_h1']:.2e}."
    )


def _findings(
    folder: Path, problem: Problem, plan: Plan, solver: Solver, metrics: dict[str, Any]
) -> Findings:
    pictures = [Picture("errors", draw_errors(solver.rows), "Errors and loss; a dotted line ends a stretch.")]
    names = list(problem.box)
    if len(names) == 2:
        pictures += _maps(folder, problem, solver, names)
    cells = [["stretch", "grids", "share of time", "steps", "loss", "L2", "H1"]]
    for number, stretch in enumerate(plan.stretches, 1):
        rows = [row for row in solver.rows if row.stretch == number]
        if rows:
            errors = ["" if e is None else f"{e:.2e}" for e in (rows[-1].l2, rows[-1].h1)]
            grids = ", ".join(map(str, stretch.grids))
            cells.append(
                [
                    str(number),
                    grids,
                    f"{stretch.until:.2g}",
                    str(rows[-1].step),
                    f"{rows[-1].loss:.2e}",
                    *errors,
                ]
            )
    notes = [
        f"Double precision. The equation holds at {plan.points:,} Sobol points, drawn anew for every "
        "stretch, from the second on with more where the residual is large; where it is of first order in "
        "time, residuals count by the disturbance that they cause until the end. Errors are relative, not "
        "squared, over the time solved so far; H1 is the seminorm, by differences on the reference's grid.",
    ]
    return Findings(summary(metrics), [], pictures, [Table("Stretches", cells)], notes)


def _maps(folder: Path, problem: Problem, solver: Solver, names: list[str]) -> list[Picture]:
    known = solver.reference is not None
    grid = (solver.reference if solver.reference is not None else grid_of(problem)).thinned(_DRAWN)
    values = solver.on_grid(grid)
    residual: NDArray[np.float64] = solver.residual(grid.points()).reshape(values.shape).numpy()
    caption = "Colours of error and residual end where 99 % of their values lie."
    pictures = [Picture("maps", draw_maps(names, grid, values, residual, known), caption)]
    if (axis := time_axis(problem)) is not None:
        if axis == 0:  # figures have the time last
            grid, values = Reference(grid.axes[::-1], grid.values.T), values.T
        space = names[1 - axis]
        strip = draw_snapshots(grid, values, known, space)
        pictures.append(Picture("snapshots", strip, "The solution at five times; film.gif shows more."))
        write_film(folder / "film.gif", grid, values, known, space)
    return pictures


def _command(settings: SolveSettings) -> str:
    words = ["kanfield", "solve", settings.problem]
    for field in fields(SolveSettings)[1:]:
        if field.name == "sha256":  # no option
            continue
        value = getattr(settings, field.name)
        if value != field.default:
            words.append(f"--{field.name}")
            if isinstance(value, list):
                words.append(",".join(map(str, value)))
            elif not isinstance(value, bool):
                words.append(f"{value:g}" if isinstance(value, float) else str(value))
    return command_line(*words)
