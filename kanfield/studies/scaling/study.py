"""The scaling law: how the test error of KANs and MLPs falls with parameters (poster, Fig. 1 and eq. 3).

KANs of shapes that can represent five toy functions (:mod:`kanfield.studies.scaling.toy_functions`) are
fitted on finer and finer grids, each started from the one before. In theory the error falls as ``G^-4`` for
cubic splines in any dimension d, where methods that cover the whole space get ``N^(-4/d)``
(arXiv:2404.19756).
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from kanfield.fields.field import count_parameters
from kanfield.fields.kan import KAN
from kanfield.fields.mlp import MLP
from kanfield.full_batch import minimize
from kanfield.metrics.spectra import log_slope
from kanfield.process import seeded
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.studies.common.grid_stages import train_on_grid, train_with_moving_grids
from kanfield.studies.scaling.approximation import GRIDS, errors
from kanfield.studies.scaling.figures import Point, draw_approximation, draw_scaling
from kanfield.studies.scaling.settings import Scaling
from kanfield.studies.scaling.toy_functions import TOYS
from kanfield.studies.study import Result, Trial

_TEST_SEED = 1000  # of the test points
_MARGIN = 0.01  # of hidden grids past the data: coefficients beyond it would be trained on no sample
_FLAT = -0.5  # a slope above this is called a plateau
_ROUNDS = 4  # short trainings of the first grid, before each of which the hidden grids move


def trials(settings: Scaling) -> list[Trial]:
    """Eq. 3, then for every function and seed a KAN on all grids and the MLPs."""
    grids = GRIDS[:3] if settings.quick else GRIDS
    listed = [Trial("approximation", lambda: _approximation(grids))]
    for seed in range(settings.seeds):
        for name in settings.functions:
            listed.append(Trial(f"kan-{name}-{seed}", _KanFits(settings, name, seed)))
            for shape in settings.mlps:
                listed.append(Trial(f"mlp-{shape}-{name}-{seed}", _MlpFit(settings, name, shape, seed)))
    return listed


def _approximation(grids: tuple[int, ...]) -> Result:
    by_order = {order: [errors(size, order) for size in grids] for order in (1, 2, 3)}
    by_name = {
        f"order {order}, C^{m}": list(column)
        for order, rows in by_order.items()
        for m, column in enumerate(zip(*rows, strict=True))
    }
    return {"grids": list(grids), "errors": by_name}


@dataclass(frozen=True)
class _Data:
    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    @classmethod
    def of(cls, settings: Scaling, name: str, seed: int) -> _Data:
        toy = TOYS[name]
        return cls(*toy.samples(settings.samples, seed), *toy.samples(1000, _TEST_SEED + seed))

    def loss(self, field: nn.Module) -> Tensor:
        return nn.functional.mse_loss(field(self.x), self.y)

    @torch.no_grad()
    def point(self, field: nn.Module, size: int | None) -> dict[str, float | int | None]:
        """Errors of a field: root mean squares, and the root of the median square over the test points."""
        squares = (field(self.test_x) - self.test_y).square()
        values = {
            "train": float(self.loss(field).sqrt()),
            "test": float(squares.mean().sqrt()),
            "test_median": float(squares.median().sqrt()),
        }
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        return {"grid": size, "parameters": count_parameters(field), **finite}


@dataclass(frozen=True)
class _KanFits:
    settings: Scaling
    name: str
    seed: int

    def __call__(self) -> Result:
        settings, data = self.settings, _Data.of(self.settings, self.name, self.seed)
        with seeded(self.seed):
            fresh = [self._fresh() for _ in range(settings.starts)]
        field = min((self._start(field, data) for field in fresh), key=lambda f: data.loss(f).item())
        points = []
        for size in settings.grids:
            train_on_grid(field, size, data.x, lambda: data.loss(field), settings.steps, _MARGIN)
            points.append(data.point(field, size))
        curves = {"test RMSE": [(p["grid"], p["test"]) for p in points]}
        return {"points": points, "curves": curves}

    def _fresh(self) -> KAN:
        """A field on the coarsest grid."""
        inputs, *widths, outputs = TOYS[self.name].shape
        return KAN(inputs, outputs, widths, self.settings.grids[0], init_noise=0.3).double()

    def _start(self, field: KAN, data: _Data) -> KAN:
        """The field, trained for a few steps while its hidden grids follow the data."""
        steps = max(1, self.settings.steps // 10)
        train_with_moving_grids(field, data.x, lambda: data.loss(field), _ROUNDS, steps)
        for parameter in field.parameters():
            parameter.grad = None
        return field.eval()


@dataclass(frozen=True)
class _MlpFit:
    settings: Scaling
    name: str
    shape: str
    seed: int

    def __call__(self) -> Result:
        data = _Data.of(self.settings, self.name, self.seed)
        width, depth = (int(word) for word in self.shape.split("x"))
        with seeded(self.seed):
            field = MLP(TOYS[self.name].inputs, 1, [width] * depth, activation="tanh").double()
        minimize(field.parameters(), lambda: data.loss(field), self.settings.mlp_steps)
        return {"points": [data.point(field, None)]}


def conclude(settings: Scaling, results: dict[str, Result]) -> Findings:
    """Compare the slopes of medians over seeds with theory's."""
    kans = {name: _kan_points(settings, name, results) for name in settings.functions}
    mlps = {name: _mlp_points(settings, name, results) for name in settings.functions}
    slopes = {name: _slopes(name, points) for name, points in kans.items()}
    theory = results["approximation"]
    claims = [
        _law(settings, name, slopes[name]) for name in settings.functions if name in ("bessel", "exp-sin")
    ]
    claims += [_plateau(settings, name, kans[name], mlps[name]) for name in settings.functions]
    claims += _eq_3(settings, theory)
    medians = ", ".join(f"{TOYS[n].formula}: {s.median:.2f}" for n, s in slopes.items() if s)
    pictures = [
        Picture(
            "scaling",
            draw_scaling(kans, mlps),
            "Test error against parameters, medians over seeds (shaded: range of the RMSE over seeds); the "
            "median square is over the test points. Gray lines have theory's slopes: -4 for KANs, -4/d for "
            "methods that cover the whole space.",
        ),
        Picture(
            "approximation",
            draw_approximation(theory["grids"], theory["errors"]),
            "Largest error of a composition of two layers and of its derivatives; every edge is the best "
            "spline of its function. Theory: slopes of m - k - 1.",
        ),
    ]
    tables = [_table(settings, kans, slopes), _mlp_table(settings, mlps)]
    return Findings(
        f"Slopes of the KANs' median test error in G: {medians}.", claims, pictures, tables, _notes(settings)
    )


def _points(by_seed: list[list[dict[str, float]]]) -> list[Point]:
    """Errors at every size, medians over seeds; sizes at which all fits failed are left out."""
    points = []
    for row in zip(*by_seed, strict=True):
        good = [p for p in row if p["test"] is not None]
        if good:
            tests = [p["test"] for p in good]
            middle = statistics.median(p["test_median"] for p in good)
            sizes = (int(row[0]["parameters"]), None if row[0]["grid"] is None else int(row[0]["grid"]))
            points.append(Point(*sizes, statistics.median(tests), middle, min(tests), max(tests)))
    return points


def _kan_points(settings: Scaling, name: str, results: dict[str, Result]) -> list[Point]:
    return _points([results[f"kan-{name}-{seed}"]["points"] for seed in range(settings.seeds)])


def _mlp_points(settings: Scaling, name: str, results: dict[str, Result]) -> dict[str, Point]:
    by_shape = {
        shape: _points([results[f"mlp-{shape}-{name}-{seed}"]["points"] for seed in range(settings.seeds)])
        for shape in settings.mlps
    }
    return {shape: points[0] for shape, points in by_shape.items() if points}


class _Slopes(NamedTuple):
    """Slopes over a function's decade: of the median in G with its standard error, of the RMSE, and in N."""

    median: float
    error: float
    rmse: float
    in_parameters: float


def _slopes(name: str, points: list[Point]) -> _Slopes | None:
    low, high = TOYS[name].decade
    inside = [p for p in points if p.grid is not None and low <= p.grid <= high]
    if len(inside) < 2:
        return None
    sizes = [float(p.grid or 0) for p in inside]
    medians = [p.median for p in inside]
    in_parameters = log_slope([float(p.parameters) for p in inside], medians)[0]
    return _Slopes(*log_slope(sizes, medians), log_slope(sizes, [p.rmse for p in inside])[0], in_parameters)


def _law(settings: Scaling, name: str, slopes: _Slopes | None) -> Claim:
    low, high = TOYS[name].decade
    text = f"{TOYS[name].formula}: the median error falls as G^-4, within 0.5, from G = {low} to {high}"
    if slopes is None:
        return Claim(text, "too few grids in this range", None)
    measured = f"slope {slopes.median:.2f} ± {slopes.error:.2f} of the median, {slopes.rmse:.2f} of the RMSE"
    return Claim(text, measured, None if settings.quick else abs(slopes.median + 4) <= 0.5)


def _plateau(settings: Scaling, name: str, kan: list[Point], mlp: dict[str, Point]) -> Claim:
    text = f"{TOYS[name].formula}: MLPs plateau, ten times or more above the KAN's best"
    if not kan or len(mlp) < 2:
        return Claim(text, "too few models", None)
    best_kan, best_mlp = min(p.rmse for p in kan), min(p.rmse for p in mlp.values())
    power = log_slope([float(p.parameters) for p in mlp.values()], [p.rmse for p in mlp.values()])[0]
    measured = (
        f"best RMSE {best_mlp:.1e}, KAN's {best_kan:.1e}: {best_mlp / best_kan:,.0f} x; slope {power:.1f} in "
        "parameters over all MLPs"
    )
    holds = best_mlp >= 10 * best_kan and power > _FLAT
    return Claim(text, measured, None if settings.quick else holds)


def _eq_3(settings: Scaling, theory: Result) -> list[Claim]:
    claims = []
    for order in (1, 2, 3):
        rows = {m: theory["errors"].get(f"order {order}, C^{m}") for m in range(3)}
        slopes = {m: log_slope([float(g) for g in theory["grids"]], e)[0] for m, e in rows.items() if e}
        holds = all(abs(slope + order + 1 - m) <= 0.15 for m, slope in slopes.items())
        measured = ", ".join(f"{slope:.2f} in C^{m}" for m, slope in slopes.items())
        text = f"Splines of order {order}: errors in C^m fall with slope m - {order + 1}, within 0.15"
        claims.append(Claim(text, measured, None if settings.quick else holds))
    return claims


def _table(
    settings: Scaling,
    kans: dict[str, list[Point]],
    slopes: dict[str, _Slopes | None],
) -> Table:
    slope_names = ("slope of the median in G", "of the RMSE", "of the median in N")
    cells = [["function", "KAN", *(f"G = {g}" for g in settings.grids), *slope_names]]
    for name, points in kans.items():
        shape, slope = str(list(TOYS[name].shape)), slopes[name]
        numbers = () if slope is None else (slope.median, slope.rmse, slope.in_parameters)
        ends = [f"{number:.2f}" for number in numbers] or ["–"] * 3
        by_grid = {p.grid: f"{p.rmse:.1e} / {p.median:.1e}" for p in points}
        cells.append([TOYS[name].formula, shape, *(by_grid.get(g, "–") for g in settings.grids), *ends])
    return Table("KANs: test RMSE / root of the median square, medians over seeds", cells)


def _mlp_table(settings: Scaling, mlps: dict[str, dict[str, Point]]) -> Table:
    cells = [["function", *settings.mlps]]
    for name, points in mlps.items():
        errors_by_shape = [
            f"{points[s].rmse:.1e} ({points[s].parameters:,})" if s in points else "–" for s in settings.mlps
        ]
        cells.append([TOYS[name].formula, *errors_by_shape])
    return Table("Tanh MLPs, width x hidden layers: test RMSE (parameters), medians over seeds", cells)


def _notes(settings: Scaling) -> list[str]:
    return [
        f"{settings.samples} training and 1000 test points, uniform; double precision; "
        f"{settings.seeds} seed{'s' if settings.seeds > 1 else ''}; {settings.steps} iterations of L-BFGS on "
        f"every grid, {settings.mlp_steps} for an MLP. The paper gives 200 steps per grid and 1800 in all; "
        "its MLPs' shapes and activation are not published.",
        "Three things were needed to reach the law: whitening (without it L-BFGS stalls at about 1e-5 on "
        "exp(sin(pi x) + y^2)), hidden grids that follow the data up to a margin of 1 % before each "
        "extension, and fits that start from the coarser grid's function.",
        "The mean and the median of the squared errors over the test points differ: the mean is dominated by "
        "the few points at the ends of the hidden ranges, where there is hardly any training point. The law "
        "shows in the median, as in the paper, which gives G^-3 for the mean and G^-4 for the median on the "
        f"second function. Of {settings.starts} starts on the coarsest grid, the one with the least training "
        "error is trained further: some end in a poor minimum.",
        "Slopes are measured over the decade of G from where the grid resolves the function: G = 50 to 500 "
        "for J0(20 x), at least eight cells per wavelength, 5 to 50 for the others. Beyond a few hundred "
        "cells there are more coefficients than samples, and the RMSE no longer falls. x y is itself a cubic "
        "spline of cubic splines, so its error has no slope in G and is due to training alone.",
    ]
