"""The scaling law: whitening, toy functions, approximation errors, conclusions."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.special import jv

from kanfield import KAN
from kanfield.full_batch import minimize
from kanfield.metrics.spectra import log_slope
from kanfield.splines.refine import gram_matrix
from kanfield.studies.common.whitening import whitening
from kanfield.studies.scaling.approximation import chain, errors, inner, outer
from kanfield.studies.scaling.settings import Scaling
from kanfield.studies.scaling.study import conclude, trials
from kanfield.studies.scaling.toy_functions import TOYS

TINY = Scaling(
    functions=("exp-sin",),
    seeds=2,
    grids=(5, 10, 20, 40),
    steps=30,
    mlps=("4x1", "8x1"),
    mlp_steps=30,
    samples=200,
)


def test_whitening_keeps_the_function_and_makes_the_gram_matrix_the_identity():
    field = KAN(2, 1, [3], 6).double()
    x, before = (
        2 * torch.rand(20, 2, dtype=torch.float64) - 1,
        {n: p.clone() for n, p in field.named_parameters()},
    )
    y = field(x)
    with whitening(field):
        assert torch.allclose(field(x), y)
        layer = field.layers[1].parametrizations.coef
        coef = layer[0](torch.eye(9, dtype=torch.float64))
        assert torch.allclose(coef.T @ gram_matrix(6, 3) @ coef, torch.eye(9, dtype=torch.float64), atol=1e-9)
        assert not torch.allclose(layer.original, before["layers.1.coef"])
    assert {n for n, _ in field.named_parameters()} == set(before)
    assert all(torch.allclose(p, before[n]) for n, p in field.named_parameters())


def test_l_bfgs_with_whitening_gets_further_in_as_many_steps():
    x, y = TOYS["bessel"].samples(400, 0)
    reached = {}
    for whiten in (False, True):
        torch.manual_seed(0)
        field = KAN(1, 1, [], 60).double()

        def loss(field=field):
            return (field(x) - y).square().mean()

        if whiten:
            with whitening(field):
                minimize(field.parameters(), loss, 30)
        else:
            minimize(field.parameters(), loss, 30)
        reached[whiten] = loss().item()
    assert reached[True] < 0.3 * reached[False]


def test_toy_functions_are_those_of_the_paper():
    point = torch.tensor([[0.3, -0.4, 0.5, 0.6]], dtype=torch.float64)
    assert TOYS["exp-sin"].function(point[:, :2]).item() == pytest.approx(
        math.exp(math.sin(0.3 * math.pi) + 0.16)
    )
    inside = math.sin(math.pi * 0.25) + math.sin(math.pi * 0.61)
    assert TOYS["nested"].function(point).item() == pytest.approx(math.exp(inside / 2))
    assert TOYS["product"].function(point[:, :2]).item() == pytest.approx(-0.12)
    assert TOYS["bessel"].function(point[:, :1]).item() == pytest.approx(float(jv(0, 6.0)), abs=1e-7)
    many = torch.full((1, 100), 0.5, dtype=torch.float64)
    assert TOYS["exp-100"].function(many).item() == pytest.approx(math.exp(0.5))


def test_the_composition_s_derivatives_are_autograd_s():
    x = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    first = [inner(x, m) for m in range(3)]
    found = chain(first, [outer(first[0], m) for m in range(3)])
    (one,) = torch.autograd.grad(found[0], x, create_graph=True)
    (two,) = torch.autograd.grad(one, x)
    assert found[1].item() == pytest.approx(one.item()) and found[2].item() == pytest.approx(two.item())


@pytest.mark.parametrize("order", [1, 2, 3])
def test_eq_3(order):
    rows = [errors(size, order) for size in (20, 28, 40)]
    assert len(rows[0]) == min(3, order + 1)
    for m, column in enumerate(zip(*rows, strict=True)):
        assert log_slope([20.0, 28.0, 40.0], list(column))[0] == pytest.approx(m - order - 1, abs=0.15)


def test_slopes_have_an_uncertainty():
    value, error = log_slope([1.0, 2.0, 4.0, 8.0], [1.0, 0.5, 0.3, 0.125])
    assert value == pytest.approx(-0.97, abs=0.05) and 0 < error < 0.2


@pytest.mark.slow
def test_a_small_study_falls_and_concludes():
    before = torch.get_rng_state()
    results = {trial.key: trial.compute() for trial in trials(TINY)}
    assert torch.equal(torch.get_rng_state(), before)
    tests = [p["test"] for p in results["kan-exp-sin-0"]["points"]]
    assert tests[-1] < 0.5 * tests[0]
    found = conclude(TINY, results)
    law, plateau, *eq_3 = found.claims
    assert "slope" in law.measured
    assert plateau.holds is True
    assert all(claim.holds for claim in eq_3)
    for power, holds in ((4.1, True), (3.0, False)):
        for seed in range(2):
            for p in results[f"kan-exp-sin-{seed}"]["points"]:
                p["test_median"] = p["grid"] ** -power
        assert conclude(TINY, results).claims[0].holds is holds
