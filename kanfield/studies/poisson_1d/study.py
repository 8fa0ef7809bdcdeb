"""The Poisson equation in one dimension by Deep Ritz: which frequencies of the solution a field finds.

``-u'' = pi^2 (w sin(w pi x) + sin(pi x))`` on [-1, 1] with u = 0 at both ends is solved by
``u = sin(pi x) + sin(w pi x) / w``. The Ritz energy, the mean of ``u'^2 / 2 - f u``, is minimised with a
penalty on the ends (E and Yu, arXiv:1710.00211), as in arXiv:2410.01803, section 5.3. A field biased to low
frequencies finds the first sine and not the second.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kanfield.fields.kan import KAN
from kanfield.reports.figures import MARKERS, SERIES, add_grid, add_legend, new_figure
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.studies.common.full_batch import minimize
from kanfield.studies.common.paper_fields import paper_field
from kanfield.studies.poisson_1d.settings import Poisson1d
from kanfield.studies.study import Result, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENERGY_WEIGHT = 0.01  # beside a weight of 1 on the squares of the two ends
_RANGE_STEPS = (10, 15, 25)  # first steps of the first grid, ahead of each of which the hidden grids move
_LOOKS = 30  # at the errors, in a fit

# RMSE (not relative) of L2 and H1 in the authors' saved runs, by w: the KAN's and the tanh MLP's.
_SAVED = {
    2: (1.3e-5, 2.1e-4, 2.6e-3, 5.3e-3),
    4: (9.5e-6, 8.3e-4, 1.3e-3, 2.9e-2),
    8: (4.2e-5, 2.4e-3, 3.6e-3, 8.2e-2),
    16: (2.1e-5, 4.3e-2, 4.0e-3, 1.9),
    32: (2.6e-4, 2.2e-2, 1.9e-2, 2.2),
}


@dataclass(frozen=True)
class Problem:
    """The equation with a frequency w, at equispaced points with the weights of the trapezoidal rule.

    The mean over points with equal weights, which the authors take, counts the ends twice as much as the rule
    does; for these periodic integrands the rule is exact to rounding. For even w, u' is zero at the ends, so
    that the penalty there does not move the minimiser: u is the discrete one.

    >>> problem = Problem(4, 200)
    >>> x = problem.points()
    >>> problem.errors(problem.solution(x), problem.slope(x))
    (0.0, 0.0)
    """

    w: int
    count: int

    def points(self) -> Tensor:
        """Shape ``(N, 1)``, float64, both ends included."""
        return torch.linspace(-1, 1, self.count, dtype=torch.float64)[:, None]

    def weights(self) -> Tensor:
        """Of a mean over [-1, 1], shape ``(N, 1)``."""
        weights = torch.full((self.count, 1), 1 / (self.count - 1), dtype=torch.float64)
        weights[[0, -1]] /= 2
        return weights

    def solution(self, x: Tensor) -> Tensor:
        """The exact u."""
        return torch.sin(math.pi * x) + torch.sin(self.w * math.pi * x) / self.w

    def slope(self, x: Tensor) -> Tensor:
        """The exact u'."""
        return math.pi * (torch.cos(math.pi * x) + torch.cos(self.w * math.pi * x))

    def force(self, x: Tensor) -> Tensor:
        """The right-hand side f."""
        return math.pi**2 * (self.w * torch.sin(self.w * math.pi * x) + torch.sin(math.pi * x))

    def loss(self, u: Tensor, slope: Tensor) -> Tensor:
        """Ritz energy and penalty of values and slopes at the points."""
        energy = self.weights() * (slope.square() / 2 - self.force(self.points()) * u)
        return ENERGY_WEIGHT * energy.sum() + u[0, 0].square() + u[-1, 0].square()

    def errors(self, u: Tensor, slope: Tensor) -> tuple[float, float]:
        """Relative errors in L2 and in the H1 seminorm."""
        x, weights = self.points(), self.weights()
        pairs = ((u, self.solution(x)), (slope, self.slope(x)))
        l2, h1 = (
            float(((weights * (a - b).square()).sum() / (weights * b.square()).sum()).sqrt())
            for a, b in pairs
        )
        return l2, h1


def value_and_slope(field: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """A field's values and derivatives at points (N, 1), both with a graph."""
    x = x.detach().requires_grad_(True)
    u = field(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    return u, slope


def field_for(model: str, first_grid: int) -> nn.Module:
    """A fresh field in double precision: kan and mlp in the paper's shapes, others as they come."""
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
        torch.manual_seed(0)
        field, x = field_for(self.model, settings.grid), problem.points()
        rows: list[tuple[int, float, float, float]] = []
        total, done, began = 2 * settings.steps, 0, time.perf_counter()

        def loss() -> Tensor:
            return problem.loss(*value_and_slope(field, x))

        def watch(step: int) -> None:
            u, slope = (t.detach() for t in value_and_slope(field, x))
            rows.append((done + step, time.perf_counter() - began, *problem.errors(u, slope)))

        for steps in self._stretches(field):
            if isinstance(field, KAN):
                if done == settings.steps:
                    field.refine(2)
                field.fit_ranges(x)
            minimize(field.parameters(), loss, steps, watch=watch, every=max(1, total // _LOOKS))
            done += steps
        at, seconds, l2, h1 = (list(column) for column in zip(*rows, strict=True))
        return {
            "steps": at,
            "seconds": [round(s, 3) for s in seconds],
            "l2": l2,
            "h1": h1,
            "parameters": sum(p.numel() for p in field.parameters()),
            "curves": {
                "error/L2": list(zip(at, l2, strict=True)),
                "error/H1": list(zip(at, h1, strict=True)),
            },
        }

    def _stretches(self, field: nn.Module) -> Sequence[int]:
        """Steps of L-BFGS between which a KAN's grids move, and with it its memory starts afresh."""
        steps = self.settings.steps
        if not isinstance(field, KAN):
            return (2 * steps,)
        return (*_RANGE_STEPS, steps - sum(_RANGE_STEPS), steps)


def conclude(settings: Poisson1d, results: dict[str, Result]) -> Findings:
    """Errors against steps and frequency, beside those that the authors saved."""
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
    best = {m: max(results[f"w{w}-{m}"]["l2"][-1] for w in settings.frequencies) for m in settings.models}
    told = ", ".join(f"{model} {error:.1e}" for model, error in best.items())
    caption = "Relative errors as L-BFGS goes on; the KAN's grid is refined half-way."
    final = "Relative errors at the end against the frequency of the second sine."
    return Findings(
        f"Largest relative L2 error over all frequencies after {steps:,} steps of L-BFGS: {told}.",
        claims,
        [
            Picture("errors", _curves(settings, results), caption),
            Picture("final", _final(settings, results), final),
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
        "The KAN's hidden grids move to the data ahead of steps 0, 10, 25 and 50 and after the refinement; "
        "they lie still while L-BFGS remembers.",
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


def _curves(settings: Poisson1d, results: dict[str, Result]) -> Figure:
    count = len(settings.frequencies)
    figure, axes = new_figure(0.8 + 2.1 * count, 4.6, 2, count, squeeze=False, sharex=True, sharey="row")
    for column, w in enumerate(settings.frequencies):
        for number, model in enumerate(settings.models):
            row = results[f"w{w}-{model}"]
            for axis, key in zip(axes[:, column], ("l2", "h1"), strict=True):
                label = model if not column and key == "l2" else None
                axis.plot(row["steps"], row[key], color=SERIES[number], linewidth=1.5, label=label)
        axes[0, column].set_title(f"w = {w}", fontsize=10)
        axes[1, column].set_xlabel("steps of L-BFGS")
    for axis in axes.flat:
        axis.set_yscale("log")
        add_grid(axis)
    axes[0, 0].set_ylabel("relative L2 error")
    axes[1, 0].set_ylabel("relative H1 error")
    add_legend(figure)
    return figure  # type: ignore[no-any-return]


def _final(settings: Poisson1d, results: dict[str, Result]) -> Figure:
    figure, axes = new_figure(7.4, 3.2, 1, 2)
    for axis, key, name in zip(axes, ("l2", "h1"), ("L2", "H1"), strict=True):
        for number, model in enumerate(settings.models):
            errors = [results[f"w{w}-{model}"][key][-1] for w in settings.frequencies]
            label = model if key == "l2" else None
            style = {"color": SERIES[number], "marker": MARKERS[number], "label": label}
            axis.plot(settings.frequencies, errors, **style)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xlabel("frequency w")
        axis.set_ylabel(f"relative {name} error")
        add_grid(axis)
    add_legend(figure)
    return figure  # type: ignore[no-any-return]
