"""Gaussian random fields in several dimensions: train and test error (arXiv:2410.01803, section 5.2).

The finer the random field, the more a bias to low frequencies costs on the training points; the test points
show whether what is learned there generalises. All errors are root mean squares of labels with unit standard
deviation; the published figure shows these for KANs and mean squares for MLPs on one axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from kanfield.fields.field import count_parameters
from kanfield.fields.kan import KAN
from kanfield.full_batch import minimize
from kanfield.process import seeded
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.studies.common.fields import paper_field
from kanfield.studies.common.grid_stages import train_on_grid, train_with_moving_grids
from kanfield.studies.random_field.figures import draw_errors, draw_grids
from kanfield.studies.random_field.gaussian_field import GaussianField
from kanfield.studies.random_field.settings import RandomField, trial_key
from kanfield.studies.study import Result, Trial

_TRAIN = 0.8  # of the samples
_ROUNDS = 3  # short trainings of the first grid, before each of which the hidden grids move

# Test errors that the authors saved, as RMSE (MLPs' as the root of their MSE), by dimension and sigma.
_SAVED = {
    (2, 0.125): {"kan-2": 1.2e-3, "kan-3": 1.1e-3, "mlp-tanh": 2.0e-2**0.5, "mlp-relu": 2.6e-3**0.5},
    (2, 1.0): {"kan-2": 3e-6, "kan-3": 3e-5, "mlp-tanh": 8e-8**0.5, "mlp-relu": 4.8e-7**0.5},
    (3, 0.25): {"kan-2": 0.147, "kan-3": 0.055, "mlp-tanh": 1.0e-2**0.5, "mlp-relu": 5.1e-3**0.5},
    (3, 0.125): {"kan-2": 0.95, "kan-3": 0.72, "mlp-tanh": 0.384**0.5, "mlp-relu": 0.108**0.5},
}


@dataclass(frozen=True)
class Data:
    """Points ``(N, d)`` and labels ``(N, 1)`` to train on and to test.

    Labels are standardised by the mean and standard deviation of those to train on.
    """

    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor

    @classmethod
    def draw(cls, dimension: int, sigma: float, samples: int) -> Data:
        """Uniform points and their values in one random field, four fifths to train on."""
        generator = torch.Generator().manual_seed(1)
        x = 2 * torch.rand(samples, dimension, dtype=torch.float64, generator=generator) - 1
        y = GaussianField(dimension, sigma, seed=0)(x)
        count = int(_TRAIN * samples)
        y = (y - y[:count].mean()) / y[:count].std()
        return cls(x[:count], y[:count], x[count:], y[count:])

    @torch.no_grad()
    def errors(self, field: nn.Module) -> tuple[float | None, float | None]:
        """Root mean square errors to train and to test; None where one is not finite."""
        pairs = ((self.x, self.y), (self.test_x, self.test_y))
        values = [float((field(x) - y).square().mean().sqrt()) for x, y in pairs]
        train, test = (value if math.isfinite(value) else None for value in values)
        return train, test


def labels(settings: RandomField) -> list[str]:
    """Names of what is fitted: KANs by depth, MLPs by activation, other families by name."""
    names: list[str] = []
    for model in settings.models:
        if model == "kan":
            names += [f"kan-{depth}" for depth in settings.depths]
        elif model == "mlp":
            names += [f"mlp-{activation}" for activation in settings.activations]
        else:
            names.append(model)
    return names


def trials(settings: RandomField) -> list[Trial]:
    """A fit of every model to every random field; then those with ten times the samples."""
    return [
        Trial(trial_key(*case, label), _Fit(settings, *case, label))
        for case in settings.cases()
        for label in labels(settings)
    ]


@dataclass(frozen=True)
class _Fit:
    settings: RandomField
    dimension: int
    sigma: float
    factor: int
    label: str

    def __call__(self) -> Result:
        settings = self.settings
        data = Data.draw(self.dimension, self.sigma, settings.samples * self.factor)
        with seeded(0):
            field = self._field()
        rows: list[tuple[int | None, float | None, float | None]] = []

        def loss() -> Tensor:
            return nn.functional.mse_loss(field(data.x), data.y)

        if isinstance(field, KAN):
            train_with_moving_grids(field, data.x, loss, _ROUNDS, max(1, settings.steps // 10))
            for size in settings.grids:
                train_on_grid(field, size, data.x, loss, settings.steps)
                rows.append((size, *data.errors(field)))
        else:
            minimize(field.parameters(), loss, settings.steps * len(settings.grids))
            rows.append((None, *data.errors(field)))
        grids, train, test = (list(column) for column in zip(*rows, strict=True))
        positions = [size or settings.steps * len(settings.grids) for size in grids]
        curves = {
            f"RMSE/{name}": list(zip(positions, values, strict=True))
            for name, values in (("train", train), ("test", test))
        }
        errors = {"grids": grids, "train": train, "test": test}
        return {**errors, "parameters": count_parameters(field), "curves": curves}

    def _field(self) -> nn.Module:
        family, _, word = self.label.partition("-")
        in_paper = (family == "kan" and word.isdigit()) or (family == "mlp" and word)
        return paper_field(
            family if in_paper else self.label,
            self.dimension,
            kan_widths=[10] * (int(word) - 1 if word.isdigit() else 0),
            grid=self.settings.grids[0],
            mlp_widths=[self.settings.mlp_width] * 5,
            activation=word,
        )


def conclude(settings: RandomField, results: dict[str, Result]) -> Findings:
    """Compare errors in one metric, and those with ten times the samples."""
    names, claims = labels(settings), []
    kans = [name for name in names if name.startswith("kan-")]
    mlps = [name for name in names if name.startswith("mlp-")]
    finest = min(settings.sigmas)
    if kans and mlps and 2 in settings.dimensions:
        kan, mlp = (_least(results, 2, finest, group, "test") for group in (kans, mlps))
        text = f"d = 2, sigma = {finest:g}: the best KAN's test error is below the best MLP's"
        claims.append(Claim(text, f"{kan:.1e} against {mlp:.1e}", None if settings.quick else kan < mlp))
    for sigma in settings.overfit_sigmas:
        d = max(settings.dimensions)
        if sigma not in settings.sigmas:
            continue
        for name in (name for name in names if name in kans or name in mlps):
            few, many = (results[trial_key(d, sigma, factor, name)] for factor in (1, 10))
            if None in (few["test"][-1], many["test"][-1]):
                continue
            gaps = [row["test"][-1] / row["train"][-1] for row in (few, many)]
            text = f"d = {d}, sigma = {sigma:g}, {name}: ten times the samples lower the test error"
            measured = (
                f"{few['test'][-1]:.2g} to {many['test'][-1]:.2g}; test over train error "
                f"{gaps[0]:.1f} to {gaps[1]:.1f}"
            )
            claims.append(
                Claim(text, measured, None if settings.quick else many["test"][-1] < few["test"][-1])
            )
    pictures = [
        Picture(
            "errors",
            draw_errors(settings, names, results),
            "Root-mean-square error against the field's length scale.",
        )
    ]
    if kans:
        caption = "KANs on one grid after another: they overfit where train and test error diverge."
        pictures.append(Picture("grids", draw_grids(settings, kans, results), caption))
    d = settings.dimensions[0]
    errors = ", ".join(f"{n} {_last(results, d, finest, n, 'test'):.1e}" for n in names)
    summary = (
        f"Test error on the finest field (d = {d}, sigma = {finest:g}; unit standard deviation): {errors}."
    )
    return Findings(summary, claims, pictures, _tables(settings, names, results), _notes(settings))


def _last(results: dict[str, Result], d: int, sigma: float, name: str, key: str) -> float:
    value = results[trial_key(d, sigma, 1, name)][key][-1]
    return math.nan if value is None else float(value)


def _least(results: dict[str, Result], d: int, sigma: float, names: list[str], key: str) -> float:
    values = [_last(results, d, sigma, name, key) for name in names]
    return min((value for value in values if not math.isnan(value)), default=math.inf)


def _tables(settings: RandomField, names: list[str], results: dict[str, Result]) -> list[Table]:
    cells = [["d", "sigma", "samples", *names]]
    for d, sigma, factor in settings.cases():
        line = [str(d), f"{sigma:g}", f"{settings.samples * factor:,}"]
        for name in names:
            row = results[trial_key(d, sigma, factor, name)]
            errors = " / ".join("–" if row[k][-1] is None else f"{row[k][-1]:.2g}" for k in ("test", "train"))
            saved = _SAVED.get((d, sigma), {}).get(name) if factor == 1 else None
            line.append(errors + (f" ({saved:.2g})" if saved is not None else ""))
        cells.append(line)
    return [Table("RMSE, test / train (in brackets, the authors' saved test error as RMSE)", cells)]


def _notes(settings: RandomField) -> list[str]:
    total = settings.steps * len(settings.grids)
    return [
        "One metric for all: root mean squares of labels whose standard deviation over the training points "
        "is one. The published figure draws the KANs' root mean squares and the MLPs' mean squares on one "
        "axis; in the table their mean squares are rooted.",
        f"Double precision, one random field and one seed per case; L-BFGS, {settings.steps} iterations on "
        f"each of the KAN's grids, with whitening, {total} for the others (the authors' steps, 100 per grid "
        "and 500, are calls of up to 20 iterations). The random fields leave out modes with less than a "
        "tenth of the largest eigenvalue, as the authors' do.",
    ]
