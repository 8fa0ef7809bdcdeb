"""The Poisson equation in one dimension by Deep Ritz: how well a field finds each frequency of its solution.

``-u'' = pi^2 (w sin(w pi x) + sin(pi x))`` on [-1, 1] with u = 0 at both ends is solved by
``u = sin(pi x) + sin(w pi x) / w``. The Ritz energy, the mean of ``u'^2 / 2 - f u``, is minimised with a
penalty on the ends (E and Yu, arXiv:1710.00211), as in arXiv:2410.01803, section 5.3. A field biased to low
frequencies finds the first sine and not the second (:mod:`kanfield.studies.poisson_1d.problem`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from kanfield.fields.field import count_parameters
from kanfield.fields.kan import KAN
from kanfield.full_batch import minimize
from kanfield.process import seeded
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.studies.common.fields import paper_field
from kanfield.studies.poisson_1d.figures import draw_errors, draw_final
from kanfield.studies.poisson_1d.problem import Problem, value_and_slope
from kanfield.studies.poisson_1d.settings import Poisson1d
from kanfield.studies.study import Result, Trial

_RANGE_STEPS = (10, 15, 25)  # the first parts of the first grid's steps; before each the hidden grids move
_EVALUATIONS = 30  # of the errors, in a fit

# RMSE (not relative) of the authors' saved runs by w: L2 of the KAN and of the tanh MLP, then H1 of both.
_SAVED = {
    2: (1.3e-5, 2.1e-4, 2.6e-3, 5.3e-3),
    4: (9.5e-6, 8.3e-4, 1.3e-3, 2.9e-2),
    8: (4.2e-5, 2.4e-3, 3.6e-3, 8.2e-2),
    16: (2.1e-5, 4.3e-2, 4.0e-3, 1.9),
    32: (2.6e-4, 2.2e-2, 1.9e-2, 2.2),
}


def field_for(model: str, first_grid: int) -> nn.Module:
    """A fresh field in double precision: kan and mlp in the paper's shapes, other families in their own."""
    mlp_widths = [256] * 5
    return paper_field(model, 1, kan_widths=[10], grid=first_grid, mlp_widths=mlp_widths, activation="tanh")


def trials(settings: Poisson1d) -> list[Trial]:
    """A fit for every frequency and model."""
    return [
        Trial(f"w{w}-{model}", _Fit(settings, w, model))
        for w in settings.frequencies
        for model in settings.models
    ]


@dataclass(frozen=True)
class _Fit:
    settings: Poisson1d
    w: int
    model: str

    def __call__(self) -> Result:
        settings, problem = self.settings, Problem(self.w, self.settings.points)
        with seeded(0):
            field = field_for(self.model, settings.grid)
        x = problem.points()
        rows: list[tuple[int, float, float, float]] = []
        total, done, began = 2 * settings.steps, 0, time.perf_counter()

        def loss() -> Tensor:
            return problem.loss(*value_and_slope(field, x))

        def watch(step: int) -> None:
            u, slope = (t.detach() for t in value_and_slope(field, x))
            rows.append((done + step, time.perf_counter() - began, *problem.errors(u, slope)))

        for steps in self._parts(field):
            if isinstance(field, KAN):
                if done == settings.steps:
                    field.refine(2)
                field.fit_ranges(x)
            minimize(field.parameters(), loss, steps, watch=watch, every=max(1, total // _EVALUATIONS))
            done += steps
        at, seconds, l2, h1 = (list(column) for column in zip(*rows, strict=True))
        return {
            "steps": at,
            "seconds": [round(s, 3) for s in seconds],
            "l2": l2,
            "h1": h1,
            "parameters": count_parameters(field),
            "curves": {
                "error/L2": list(zip(at, l2, strict=True)),
                "error/H1": list(zip(at, h1, strict=True)),
            },
        }

    def _parts(self, field: nn.Module) -> Sequence[int]:
        """Steps of L-BFGS, in parts between which a KAN's grids move and L-BFGS loses its history."""
        steps = self.settings.steps
        if not isinstance(field, KAN):
            return (2 * steps,)
        return (*_RANGE_STEPS, steps - sum(_RANGE_STEPS), steps)


def conclude(settings: Poisson1d, results: dict[str, Result]) -> Findings:
    """Show errors against steps and frequency, beside those of the authors' saved runs."""
    judged = None if settings.quick else True
    claims = []
    if {"kan", "mlp"} <= set(settings.models):
        for w in settings.frequencies:
            kan, mlp = (results[f"w{w}-{model}"] for model in ("kan", "mlp"))
            ratio = mlp["l2"][-1] / kan["l2"][-1]
            measured = (
                f"KAN {kan['l2'][-1]:.1e} in {kan['seconds'][-1]:.0f} s, MLP {mlp['l2'][-1]:.1e} in "
                f"{mlp['seconds'][-1]:.0f} s: {ratio:,.{0 if ratio >= 10 else 1}f} x"
            )
            text = f"w = {w}: the KAN's L2 error is at least 10 x below the tanh MLP's"
            claims.append(Claim(text, measured, judged and ratio >= 10))
    steps = 2 * settings.steps
    worst = {m: max(results[f"w{w}-{m}"]["l2"][-1] for w in settings.frequencies) for m in settings.models}
    errors = ", ".join(f"{model} {error:.1e}" for model, error in worst.items())
    caption = "Relative errors against iterations of L-BFGS; the KAN's grid is refined half-way."
    final = "Relative errors at the end against the frequency of the second sine."
    return Findings(
        f"Largest relative L2 error over all frequencies after {steps:,} steps of L-BFGS: {errors}.",
        claims,
        [
            Picture("errors", draw_errors(settings, results), caption),
            Picture("final", draw_final(settings, results), final),
        ],
        [_table(settings, results)],
        _notes(settings),
    )


def _notes(settings: Poisson1d) -> list[str]:
    return [
        f"KAN [1, 10, 1], cubic, {settings.grid} cells and, exactly refined, {2 * settings.grid}; MLP of "
        "five hidden layers of 256 tanh units; double precision, one seed. A step is one iteration of "
        "L-BFGS, the same number for all; the authors' 200 steps are calls of up to 20 iterations each.",
        "The integral is taken by the trapezoidal rule, which is exact for u; the authors' plain mean over "
        "the points moves the minimiser away from u. Their saved errors are root mean squares: the table "
        "has ours relative to u, and in brackets theirs divided by the norm of u.",
        "The KAN's hidden grids move to the data before steps 0, 10, 25 and 50 and after the refinement, and "
        "L-BFGS starts without history there.",
    ]


def _table(settings: Poisson1d, results: dict[str, Result]) -> Table:
    cells = [["w", "model", "parameters", "L2", "H1", "seconds"]]
    for w in settings.frequencies:
        for model in settings.models:
            row, theirs = results[f"w{w}-{model}"], ("", "")
            if w in _SAVED and model in ("kan", "mlp"):
                number, problem = ("kan", "mlp").index(model), Problem(w, settings.points)
                norms = (problem.solution(problem.points()), problem.slope(problem.points()))
                sizes = [float(norm.square().mean().sqrt()) for norm in norms]
                pairs = zip((_SAVED[w][number], _SAVED[w][2 + number]), sizes, strict=True)
                theirs = tuple(f" ({error / size:.1e})" for error, size in pairs)  # type: ignore[assignment]
            errors = [f"{row[key][-1]:.1e}{their}" for key, their in zip(("l2", "h1"), theirs, strict=True)]
            cells.append([str(w), model, f"{row['parameters']:,}", *errors, f"{row['seconds'][-1]:.0f}"])
    return Table("Relative errors at the end (in brackets, the authors' saved runs)", cells)
