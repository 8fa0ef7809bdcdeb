"""Full-batch training: L-BFGS goes on for as long as it is told, and Adam is torch's."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kanfield.full_batch import minimize


def rosenbrock(p):
    return (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2


def test_lbfgs_finds_a_curved_valley_s_end():
    p = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    minimize([p], lambda: rosenbrock(p), 60)
    assert torch.allclose(p, torch.ones_like(p), atol=1e-9)


def test_it_does_not_stop_early_where_torch_s_defaults_do():
    def run(step):
        torch.manual_seed(0)
        a = torch.randn(40, 12, dtype=torch.float64) * torch.logspace(0, -4, 12, dtype=torch.float64)
        x = torch.zeros(12, dtype=torch.float64, requires_grad=True)
        b = torch.randn(40, dtype=torch.float64)
        best = (a @ torch.linalg.lstsq(a, b[:, None]).solution[:, 0] - b).square().mean()

        def loss():
            return (a @ x - b).square().mean()

        step(x, loss)
        return float(loss().detach() - best)

    def by_torch(x, loss):
        optimizer = torch.optim.LBFGS([x], max_iter=400, line_search_fn="strong_wolfe")

        def closure():
            optimizer.zero_grad()
            value = loss()
            value.backward()
            return value

        optimizer.step(closure)

    ours = run(lambda x, loss: minimize([x], loss, 400))
    assert ours < 1e-12 < run(by_torch)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_watched_and_unwatched_steps_are_the_same(optimizer):
    def run(**watching):
        p = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
        minimize([p], lambda: rosenbrock(p), 20, optimizer=optimizer, lr=None, **watching)
        return p.detach()

    seen = []
    assert torch.equal(run(watch=seen.append), run())
    assert seen == list(range(21))
    seen.clear()
    assert torch.equal(run(watch=seen.append, every=8), run())
    assert seen == [0, 8, 16, 20]


def test_watching_every_step_of_lbfgs_costs_no_evaluation():
    def evaluations(**watching):
        p, count = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True), []
        minimize([p], lambda: count.append(0) or rosenbrock(p), 15, **watching)
        return len(count)

    assert evaluations(watch=lambda step: None) == evaluations()


def test_adam_is_torch_s():
    x, y = torch.randn(30, 3), torch.randn(30, 1)
    torch.manual_seed(1)
    ours = nn.Linear(3, 1)
    torch.manual_seed(1)
    theirs = nn.Linear(3, 1)
    minimize(ours.parameters(), lambda: (ours(x) - y).square().mean(), 25, optimizer="adam", lr=1e-2)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for _ in range(25):
        optimizer.zero_grad()
        (theirs(x) - y).square().mean().backward()
        optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)


def test_weights_stay_finite_where_the_loss_blows_up():
    p = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    minimize([p], lambda: torch.where(p < 1, p * float("nan"), p.sqrt()).sum(), 10)
    assert bool(torch.isfinite(p).all())


def test_an_unknown_optimiser_is_refused():
    with pytest.raises(ValueError, match="neither lbfgs nor adam"):
        minimize([torch.zeros(1, requires_grad=True)], lambda: torch.zeros(()), 1, optimizer="sgd")
