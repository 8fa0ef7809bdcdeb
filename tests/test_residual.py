"""The grid that takes up what training leaves of the pixels seen."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

import kanfield
from kanfield import KAN
from kanfield.encodings import ResidualGrid
from kanfield.errors import InputError
from kanfield.images import Image
from kanfield.pde.jets import spline_layers
from kanfield.splines import use_backend
from kanfield.symbolic.convert import from_kan
from kanfield.training.optimizers import build_optimizers
from kanfield.training.trainer import Trainer

WIDTH, HEIGHT = 24, 18


def picture() -> Image:
    generator = np.random.default_rng(0)
    return Image(generator.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), "RGB")


def kan(**others: object) -> KAN:
    return KAN(2, 3, [6], 5, order=2, interpolation=2, residual=[9, 7], **others)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(("order", "cells", "channels"), [(2, (9, 7), 3), (3, (5, 12), 1), (2, (1, 1), 12)])
def test_it_is_ridge_regression(order, cells, channels, backend) -> None:
    torch.manual_seed(1)
    x, residual = (torch.rand(50, 2, dtype=torch.float64) * 2 - 1), torch.randn(50, channels).double()
    grid = ResidualGrid(cells, channels, order).double()
    rows = torch.zeros(50, len(grid.table) // channels, dtype=torch.float64)
    one = ResidualGrid(cells, 1, order).double()
    for vertex in range(rows.shape[1]):
        unit = torch.zeros_like(one.table)
        unit[vertex] = 1.0
        one.load_state_dict({"table": unit})
        rows[:, vertex] = one(x)[:, 0]
    expected = torch.linalg.solve(rows.T @ rows + 1e-2 * torch.eye(rows.shape[1]), rows.T @ residual)
    with use_backend(backend):
        grid.solve(x, residual)
    torch.testing.assert_close(grid(x), rows @ expected, rtol=0, atol=2e-3)
    torch.testing.assert_close(grid.table.reshape(channels, -1).T, expected, rtol=0, atol=1e-2)


def test_far_from_all_samples_it_is_zero() -> None:
    grid = ResidualGrid((20, 20), 1)
    grid.solve(torch.tensor([[-0.5, 0.0]]), torch.ones(1, 1))
    values = grid(torch.tensor([[-0.5, 0.0], [-0.45, 0.0], [0.5, 0.0]]))[:, 0].tolist()
    assert values[0] == pytest.approx(1, abs=0.05) and 0.5 < values[1] < values[0] and values[2] == 0


def test_what_diverged_is_left_alone() -> None:
    grid = ResidualGrid((4, 4), 1)
    grid.solve(torch.zeros(2, 2), torch.tensor([[1.0], [torch.nan]]))
    assert not grid.table.any()


def test_linear_splines_are_refused() -> None:
    with pytest.raises(ValueError, match="degree 2 or 3"):
        KAN(2, 1, [4], 5, interpolation=1, residual=[4, 4])
    with pytest.raises(ValueError, match="residual: grids are of the plane"):
        KAN(3, 1, [4], 5, interpolation=2, residual=[4, 4])


def test_a_field_gives_back_its_samples_and_stays_itself_until_then() -> None:
    torch.manual_seed(0)
    field, x = kan(), torch.rand(30, 2) * 2 - 1
    without = field.layers[1](field.layers[0](x))
    assert torch.equal(field(x), without) and field.has_residual and not KAN(2, 3).has_residual
    values = without.detach() + 0.1 * torch.randn(30, 3)
    field.fit_residual(x, values)
    assert float((field(x) - values).detach().square().mean()) < 0.1**2 / 30
    torch.testing.assert_close(field(x), without + field.residual(x))
    assert field(x.reshape(5, 6, 2)).shape == (5, 6, 3)
    solved = field.residual.table.clone()
    field.fit_residual(x, values)  # from the layers alone again
    assert torch.equal(field.residual.table, solved)
    other = kan()
    other.load_state_dict(field.state_dict())
    assert torch.equal(other(x), field(x))
    field.reset_parameters()
    assert not field.residual.table.any()


def test_it_is_not_trained() -> None:
    field, x = kan(), torch.rand(30, 2)
    for name in ("muon", "adam"):
        optimizers = build_optimizers(field, name, 1e-2, 1e-2)
        trained = {id(p) for each in optimizers for group in each.param_groups for p in group["params"]}
        assert id(field.residual.table) not in trained and id(field.layers[0].coef) in trained
    field(x).square().mean().backward()
    assert field.residual.table.grad is None and field.layers[0].coef.grad is not None


def test_what_reads_layers_alone_leaves_such_a_field_to_others() -> None:
    assert spline_layers(kan()) is None
    with pytest.raises(InputError, match="sees a residual's grid"):
        from_kan(KAN(2, 1, [4], 5, interpolation=2, residual=[4, 4]), ["x", "y"])


@pytest.mark.parametrize("encoding", ["directions", "grid"])
def test_a_fit_ends_with_it(tmp_path, encoding) -> None:
    run = kanfield.fit(picture(), out=tmp_path, held_out="0.3", encoding=encoding, steps=30)
    field = run.field
    assert field.encoding == encoding and field.residual.table.any()
    assert run.psnr > 30  # noise, in thirty steps
    with open(run.path / "metrics.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["psnr"]) == pytest.approx(run.psnr, abs=1e-3)
    assert run.metrics["parameters"] == sum(p.numel() for p in field.parameters())
    slopes = run.derivative("laplacian")
    assert np.isfinite(slopes).all()


def test_a_fit_that_reaches_its_target_early_ends_with_it_too(tmp_path) -> None:
    run = kanfield.fit(picture(), out=tmp_path, held_out="0.3", steps=40, target_psnr=1.0)
    assert run.metrics["steps"] < 40 and run.field.residual.table.any()
    assert run.psnr > 30 and run.metrics["target_reached"]


def test_a_time_that_runs_out_in_an_evaluation_counts_too(tmp_path, monkeypatch) -> None:
    log = Trainer._log

    def slow(self, loss, evaluates):
        log(self, loss, evaluates)
        self.progress.seconds += 1000

    monkeypatch.setattr(Trainer, "_log", slow)
    run = kanfield.fit(picture(), out=tmp_path, held_out="0.3", seconds=900)
    assert run.metrics["steps"] == 10 and run.field.residual.table.any()
    assert run.psnr > 30 and run.metrics["seconds"] >= 1000


def test_smoothing_by_hand_keeps_the_pixels_too(tmp_path) -> None:
    run = kanfield.fit(picture(), out=tmp_path, held_out="0.3", smoothness=0.0, steps=20)
    assert run.psnr > 30
