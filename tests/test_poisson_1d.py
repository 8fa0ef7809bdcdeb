"""Deep Ritz for the Poisson equation: the problem, its errors, and what the study concludes."""

from __future__ import annotations

import math

import pytest
import torch

from kanfield import KAN
from kanfield.studies.poisson_1d.problem import Problem, value_and_slope
from kanfield.studies.poisson_1d.settings import Poisson1d
from kanfield.studies.poisson_1d.study import conclude, field_for, trials


def test_the_solution_solves_the_equation():
    problem = Problem(8, 50)
    x = problem.points().requires_grad_(True)
    u = problem.solution(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    assert torch.allclose(slope, problem.slope(x))
    assert torch.allclose(-second, problem.force(x.detach()), atol=1e-9)
    assert u[[0, -1]].abs().max() < 1e-12


@pytest.mark.parametrize("w", [2, 16, 32])
def test_the_solution_is_where_the_discrete_loss_is_least(w):
    problem = Problem(w, 500)
    x = problem.points()
    least = problem.loss(problem.solution(x), problem.slope(x))
    for n in (1, 3, 7):  # any way off is up, also one that lifts the ends
        k = n * math.pi
        bump, slope = torch.cos(k * x), -k * torch.sin(k * x)
        up = [
            float(problem.loss(problem.solution(x) + s * bump, problem.slope(x) + s * slope) - least)
            for s in (-1e-3, 1e-3)
        ]
        assert min(up) > 0 and up[0] == pytest.approx(up[1], rel=1e-3)


def test_errors_are_relative():
    problem = Problem(4, 2000)
    x = problem.points()
    l2, h1 = problem.errors(1.01 * problem.solution(x), 1.1 * problem.slope(x))
    assert (l2, h1) == (pytest.approx(0.01), pytest.approx(0.1))


def test_a_field_s_slope_is_its_derivative_and_trains():
    field = KAN(1, 1, [4], 6).double()
    x = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)[:, None]
    u, slope = value_and_slope(field, x)
    step = 1e-6
    assert torch.allclose(slope, (field(x + step) - field(x - step)) / (2 * step), atol=1e-6)
    slope.square().sum().backward()
    assert all(p.grad is not None for p in field.parameters())
    assert math.isfinite(u.sum().item())


def test_shapes_are_the_paper_s():
    kan, mlp = field_for("kan", 20), field_for("mlp", 20)
    assert [(layer.in_features, layer.out_features, layer.grid_size) for layer in kan.layers] == [
        (1, 10, 20),
        (10, 1, 20),
    ]
    assert len(mlp.linear_layers()) + 1 == 6 and mlp.activation == "tanh"


@pytest.mark.slow
def test_a_small_study():
    settings = Poisson1d(frequencies=(2,), steps=60, points=100, models=("kan",), grid=5)
    (trial,) = trials(settings)
    before = torch.get_rng_state()
    result = trial.compute()
    assert torch.equal(torch.get_rng_state(), before)
    assert result["steps"][0] == 0 and result["steps"][-1] == 120
    assert result["l2"][-1] < 0.1 * result["l2"][0]
    cells = conclude(settings, {trial.key: result}).tables[0].cells
    assert cells[1][:2] == ["2", "kan"]
    norm = math.sqrt(1 / 2 + 1 / 8)  # of sin(pi x) + sin(2 pi x) / 2, in the mean
    theirs = float(cells[1][3].split("(")[1].rstrip(")"))
    assert theirs == pytest.approx(1.3e-5 / norm, rel=0.05)


def test_conclusions_follow_the_results():
    settings = Poisson1d(frequencies=(16,))

    def made_up(error):
        return {"steps": [0, 600], "seconds": [0, 9], "l2": [1, error], "h1": [1, error], "parameters": 3}

    for kan, holds in ((1e-4, True), (5e-2, False)):
        found = conclude(settings, {"w16-kan": made_up(kan), "w16-mlp": made_up(1e-1)})
        assert found.claims[0].holds is holds
