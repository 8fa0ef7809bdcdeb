"""The theorem on the conditioning of a spline layer, on the library's own basis."""

from __future__ import annotations

import pytest
import torch

from kanfield.splines import Grid, spline
from kanfield.studies.conditioning.settings import Conditioning
from kanfield.studies.conditioning.study import (
    conclude,
    ratio_bound,
    relu_hessian,
    spectrum,
    spline_hessian,
    trials,
)

ORDERS = [1, 2, 3]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_rank(order, dimension):
    for size in (5, 10, 40):
        assert len(spectrum(spline_hessian(size, order, dimension))) == dimension * (size + order - 1) + 1


@pytest.mark.parametrize("order", ORDERS)
def test_ratio_is_free_of_the_grid_and_linear_in_the_dimension(order):
    for dimension in (1, 3):
        ratios = [ratio(size, order, dimension) for size in (5, 10, 40)]
        assert max(ratios) / min(ratios) < 1.1
    per_dimension = [ratio(10, order, d) / d for d in (1, 2, 4, 8)]
    assert max(per_dimension) / min(per_dimension) < 1.1


def ratio(size, order, dimension):
    values = spectrum(spline_hessian(size, order, dimension))
    return float(values[0] / values[-1])


@pytest.mark.parametrize("order", ORDERS)
def test_ratio_has_the_bound_of_one_cell(order):
    for size in (1, 2, 5, 30):
        for dimension in (1, 2, 6):
            assert ratio(size, order, dimension) <= ratio_bound(order) * dimension
    assert ratio(1, order, 1) > ratio_bound(order) / 3  # not a bound that nothing could miss


def test_the_bound_of_order_one_is_the_hat_functions():
    # The Gram matrix of two hat functions on their cell is [[2, 1], [1, 2]] / 6: eigenvalues 1/2 and 1/6.
    assert ratio_bound(1) == pytest.approx(6)


def test_a_relu_layer_has_no_such_bound():
    ratios = [float((v := spectrum(relu_hessian(width, 1)))[0] / v[-1]) for width in (10, 40)]
    assert ratios[1] > 50 * ratios[0]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.slow
def test_the_hessian_is_that_of_the_operator_on_many_samples(order):
    torch.manual_seed(0)
    size, inputs = 4, 2
    x = 2 * torch.rand(40_000, inputs, dtype=torch.float64) - 1
    ends = torch.ones(inputs, dtype=torch.float64)
    coef = torch.zeros(inputs * (size + order), 1, dtype=torch.float64)

    def loss(coef):
        return spline(x, coef, Grid(-ends, ends, size), order).square().mean() / 2

    sampled = torch.func.hessian(loss)(coef)[:, 0, :, 0]
    exact = spline_hessian(size, order, inputs)
    assert (sampled - exact).abs().max() < 0.03 * exact.abs().max()


def test_the_relu_hessian_is_that_of_samples():
    points = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 50_000 - 1
    features = (points[:, None] - (2 * torch.arange(6, dtype=torch.float64) / 6 - 1)).relu()
    assert torch.allclose(relu_hessian(6, 1), features.T @ features / len(points), atol=1e-8)


def test_conclusions_follow_the_results():
    settings = Conditioning(grids=(5, 10), dimensions=(1, 2))
    results = {trial.key: trial.compute() for trial in trials(settings)}
    assert all(claim.holds for claim in conclude(settings, results).claims)
    row = results["order-2"]["rows"][-1]
    row["rank"], row["ratio"] = row["rank"] - 1, 1.01 * row["d"] * ratio_bound(2)
    wrong = [claim.text for claim in conclude(settings, results).claims if not claim.holds]
    assert len(wrong) == 3 and all(text.startswith("Order 2: ") for text in wrong)
