"""Random fields have the covariance they should, and the study uses one metric for all models."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kanfield.studies.random_field.gaussian_field import GaussianField
from kanfield.studies.random_field.settings import RandomField
from kanfield.studies.random_field.study import Data, conclude, labels, trials

TINY = RandomField(
    dimensions=(2,),
    sigmas=(0.5,),
    samples=200,
    grids=(4, 8),
    depths=(2,),
    activations=("tanh",),
    steps=15,
    mlp_width=8,
    overfit_sigmas=(0.5,),
)


@pytest.mark.parametrize(("dimension", "sigma"), [(1, 0.5), (2, 0.5), (3, 1.0)])
@pytest.mark.slow
def test_the_covariance_is_the_kernel_as_far_as_modes_are_kept(dimension, sigma):
    torch.manual_seed(0)
    x = 2 * torch.rand(6, dimension, dtype=torch.float64) - 1
    draws = torch.cat([GaussianField(dimension, sigma, seed)(x) for seed in range(400)], 1)
    found = draws @ draws.T / draws.shape[1]
    wanted = torch.exp(-(x[:, None] - x).square().sum(2) / (2 * sigma**2))
    lost = 1 - GaussianField(dimension, sigma, 0).variance
    assert 0 <= lost < 0.4
    assert (found - wanted).abs().max() < 0.2 + 2 * lost


def test_all_modes_together_have_unit_variance(monkeypatch):
    monkeypatch.setattr("kanfield.studies.random_field.gaussian_field._KEPT", 1e-9)
    assert GaussianField(1, 0.05, 0).variance == pytest.approx(1, abs=1e-6)


def test_finer_fields_have_more_modes():
    counts = [len(GaussianField(2, sigma, 0).modes) for sigma in (1.0, 0.5, 0.25, 0.125)]
    assert counts == sorted(counts) and counts[-1] > 10 * counts[0]


def test_small_eigenvalues_alone_decide_which_modes_are_kept():
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(96))
    kernel = torch.exp(-(nodes[:, None] - nodes).square() / 2) * (weights[:, None] * weights).sqrt()
    values = torch.linalg.eigvalsh(kernel)
    assert int((values > 0.1 * values[-1]).sum()) == len(GaussianField(1, 1.0, 0).modes) == 2


def test_samples_are_split_and_of_unit_deviation():
    data = Data.draw(2, 0.5, 500)
    assert data.x.shape == (400, 2) and data.test_x.shape == (100, 2)
    assert data.y.std().item() == pytest.approx(1) and abs(data.y.mean().item()) < 1e-12
    assert not any((data.x == row).all(1).any() for row in data.test_x)
    again = Data.draw(2, 0.5, 500)
    assert torch.equal(again.y, data.y)


def test_errors_are_root_mean_squares_for_every_family():
    data = Data.draw(2, 0.5, 100)
    zero = torch.nn.Linear(2, 1).double()
    torch.nn.init.zeros_(zero.weight)
    torch.nn.init.zeros_(zero.bias)
    train, test = data.errors(zero)
    assert train == pytest.approx(math.sqrt(79 / 80), rel=1e-6)  # of the mean, which is zero
    assert test == pytest.approx(data.test_y.square().mean().sqrt().item())


def test_a_small_study():
    before = torch.get_rng_state()
    results = {trial.key: trial.compute() for trial in trials(TINY)}
    assert torch.equal(torch.get_rng_state(), before)
    assert set(results) == {f"d2-sigma0.5-x{n}-{name}" for n in (1, 10) for name in ("kan-2", "mlp-tanh")}
    kan = results["d2-sigma0.5-x1-kan-2"]
    assert kan["grids"] == [4, 8] and kan["train"][-1] < 0.2
    found = conclude(TINY, results)
    assert len(found.tables[0].cells) == 3 and len(found.pictures) == 2
    (first, *others) = found.claims
    assert first.holds is (kan["test"][-1] < results["d2-sigma0.5-x1-mlp-tanh"]["test"][-1])
    assert all("ten times the samples" in claim.text for claim in others) and len(others) == 2


def test_labels_and_other_families():
    settings = RandomField(models=("kan", "siren"), depths=(2, 4))
    assert labels(settings) == ["kan-2", "kan-4", "siren"]
    tiny = RandomField(**{**vars(TINY), "models": ("kan-rbf",), "steps": 2, "overfit_sigmas": ()})
    (trial,) = trials(tiny)
    assert trial.compute()["test"][0] is not None


def test_fits_that_fail_are_dashes():
    results = {trial.key: trial.compute() for trial in trials(RandomField(**{**vars(TINY), "steps": 1}))}
    results["d2-sigma0.5-x1-kan-2"]["test"] = [None, None]
    found = conclude(TINY, results)
    assert "– /" in found.tables[0].cells[1][3]
    assert not any("kan-2: ten times" in claim.text for claim in found.claims)
