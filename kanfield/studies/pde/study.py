"""The poster's rows of differential equations, each solved in up to three ways.

``guess`` is the poster's optimiser, Adam, with everything else that it does not say guessed: all of the time
at once, Sobol points that stay, a rate of 1e-3. ``best`` is what ``kanfield solve`` does by itself. ``floor``
fits the reference solution with the same field. Every field has the problem's own features and constraints.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kanfield.pde.floor import fit_reference
from kanfield.pde.plan import Plan, Stretch, field_parameters, make_plan, usual_optimizer
from kanfield.pde.problem import Problem
from kanfield.pde.problems.catalogue import PROBLEMS
from kanfield.pde.problems.references import find_reference
from kanfield.pde.settings import SolveSettings
from kanfield.pde.solve import Solver
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.studies.pde.figures import draw_errors, draw_rows
from kanfield.studies.pde.rows import ROWS, PosterRow
from kanfield.studies.pde.settings import Pde
from kanfield.studies.study import Result, Trial

_ORDER = 3  # of KANs: pykan's, since the poster gives none


def trials(settings: Pde) -> list[Trial]:
    """A solution for every row and way; a floor for every shape."""
    found, shapes = [], set()
    for key in settings.rows:
        row = ROWS[key]
        for way in settings.ways:
            if way == "floor":
                shape = dataclasses.replace(row, times=1, error=0, seconds=0)
                if shape in shapes:
                    continue
                shapes.add(shape)
            found.append(Trial(f"{key}-{way}", _Solution(settings, row, way)))
    return found


@dataclass(frozen=True)
class _Solution:
    settings: Pde
    row: PosterRow
    way: str

    def __call__(self) -> Result:
        problem = PROBLEMS[self.row.problem]
        reference = find_reference(problem)
        assert reference is not None
        solve = self._solve_settings(problem)
        plan = make_plan(problem, solve)
        if self.way == "floor":
            l2, h1, rows = fit_reference(problem, solve, reference)
            seconds = rows[-1].seconds
        else:
            if self.way == "guess":
                problem, plan = dataclasses.replace(problem, windows=1), _at_once(plan, solve)
            solver = Solver(problem, solve, plan, reference, None)
            solver.run()
            (l2, h1), rows = reference.errors(solver.on_grid(reference)), solver.rows
            seconds = solver.seconds
        curves = {"error/L2": [(row.step, row.l2) for row in rows if row.l2 is not None]}
        return {
            "l2": l2,
            "h1": h1,
            "seconds": seconds,
            "steps": rows[-1].step,
            "optimizer": plan.optimizer,
            "parameters": plan.parameters,
            "points": plan.points,
            "at": [row.seconds for row in rows],
            "curves": {tag: values for tag, values in curves.items() if values},
        }

    def _solve_settings(self, problem: Problem) -> SolveSettings:
        row, settings = self.row, self.settings
        shape: dict[str, Any] = {"widths": list(row.widths), "grids": list(row.grids) or None}
        shape |= {"order": _ORDER if row.model == "kan" else None}
        solve = SolveSettings(row.problem, row.model, **shape)
        parameters = field_parameters(problem, solve)
        optimizer = "adam" if self.way == "guess" else usual_optimizer(row.model, parameters)
        steps = row.times * getattr(settings, f"{optimizer}_steps")
        points = settings.points and max(settings.points, parameters if row.model == "kan" else 0)
        return dataclasses.replace(solve, optimizer=optimizer, steps=steps, points=points)  # type: ignore[arg-type]


def _at_once(plan: Plan, solve: SolveSettings) -> Plan:
    """All of the time on the final grids, from the first step to the last, by the optimiser alone."""
    assert solve.steps is not None
    last = plan.stretches[-1].grids
    options = plan.options | ({"grids": list(last)} if last else {})
    stretches = [Stretch(last, 1.0, solve.steps)]
    return dataclasses.replace(plan, options=options, stretches=stretches, weighted=False, outer=False)


def conclude(settings: Pde, results: Mapping[str, Result]) -> Findings:
    """The poster's figure beside ours, for every row."""
    claims = []
    for key in settings.rows:
        if f"{key}-best" not in results:
            continue
        best, row = results[f"{key}-best"], ROWS[key]
        measured = f"{best['l2']:.1e} in {best['seconds']:,.0f} s, the poster's {row.error:.1e}"
        holds = None if settings.quick else best["l2"] <= row.error
        claims.append(Claim(f"{row.problem}, {row.shape}: at most the poster's error", measured, holds))
    reached = sum(bool(claim.holds) for claim in claims)
    summary = (
        f"{len(settings.rows)} of the poster's rows, double precision, relative L2 errors, not squared"
        + ("." if settings.quick else f"; at most the poster's error in {reached} of {len(claims)}.")
    )
    pictures = [
        Picture(
            "rows", draw_rows(settings, results), "Relative L2 errors; the poster does not give its settings."
        ),
        Picture("errors", draw_errors(settings, results), "Relative L2 errors against seconds of solving."),
    ]
    return Findings(summary, claims, pictures, [_table(settings, results)], _notes(settings))


def _notes(settings: Pde) -> list[str]:
    return [
        "The poster's settings are not published (equation, points, weights, steps, rate; whether its error "
        "is squared): its column is no like-for-like comparison. Ours are guessed as Adam, "
        f"{settings.adam_steps:,} steps of rate 1e-3, Sobol points that stay, "
        "all of the time at once, and tanh in MLPs.",
        "Allen-Cahn is the standard benchmark (D = 1e-4) with u = -1 at the ends; Darcy is PaddleScience's "
        "public case. Constraints are exact, and every family of fields sees cos(pi x) in Allen-Cahn.",
        "Best: Levenberg-Marquardt, for KANs above 3,000 parameters L-BFGS; windows of time and coarse grids "
        "first, residuals weighted by their growth. Floor: a fit of the reference with the same field and "
        "optimiser, which other settings can beat.",
        "The poster has nine rows of differential equations; the five others are fits of an image.",
    ]


def _table(settings: Pde, results: Mapping[str, Result]) -> Table:
    cells = [["problem", "field", "parameters", "poster", "way", "L2", "squared", "H1", "steps", "seconds"]]
    for key in settings.rows:
        row = ROWS[key]
        for way in settings.ways:
            if (found := results.get(f"{key}-{way}")) is None:
                continue
            poster = f"{row.error:.1e} in {row.seconds:,.0f} s"
            first = [row.problem, row.shape, f"{found['parameters']:,}", poster]
            errors = [f"{found['l2']:.1e}", f"{found['l2'] ** 2:.1e}", f"{found['h1']:.1e}"]
            name = f"{way} (settings guessed)" if way == "guess" else way
            steps = f"{found['steps']:,} {found['optimizer']}"
            cells.append([*first, name, *errors, steps, f"{found['seconds']:,.0f}"])
    return Table("The poster's rows and ours, relative L2 errors", cells)
