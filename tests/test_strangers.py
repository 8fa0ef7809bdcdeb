"""Fields of other packages: tied weights, dropout, batch norm, lazy layers, wrong shapes, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from kanfield import fit, load
from kanfield.errors import InputError
from kanfield.fields import Recipe, register
from kanfield.fields.registry import forget
from kanfield.images import Image
from kanfield.runs.rendering import evaluate_field
from kanfield.training.evaluate_run import evaluate_run

pytestmark = pytest.mark.usefixtures("no_edge_figures")


@pytest.fixture
def stranger():
    """Registers what builds a field of 2 inputs and 3 outputs as the family "stranger"."""

    def add(build):
        @register("stranger", "for a test", [Recipe("adam", 1e-2)])
        def stranger(in_features: int, out_features: int):
            return build()

    yield add
    forget("stranger")


@pytest.fixture
def image():
    y, x, c = np.mgrid[:16, :20, :3]
    return Image((128 + 100 * np.sin(x / 3 + c) * np.cos(y / 4)).astype(np.uint8), "RGB")


class Twice(nn.Module):
    """Two layers of one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 3)
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.last(torch.sin(self.b(torch.sin(self.a(self.first(x))))))


def noisy():
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, 3))


def lazy():
    return nn.Sequential(nn.LazyLinear(16), nn.ReLU(), nn.LazyBatchNorm1d(), nn.LazyLinear(3))


@pytest.mark.parametrize("build", [Twice, noisy, lazy])
def test_what_is_told_is_measured_again_and_drawn(tmp_path, stranger, image, build):
    stranger(build)
    run = fit(image, out=tmp_path, model="stranger", steps=40, batch_size=64, threads=1)
    again = [evaluate_run(run.path)["psnr"] for _ in range(2)]
    assert again == [pytest.approx(run.psnr, abs=1e-3)] * 2
    drawn = load(run.path).render().pixels.astype(float) - image.pixels
    assert -10 * np.log10(np.square(drawn / 255).mean()) == pytest.approx(run.psnr, abs=0.1)
    slopes = [load(run.path).derivative("gradient") for _ in range(2)]
    assert np.array_equal(*slopes)


def test_tied_weights_stay_tied(tmp_path, stranger, image):
    stranger(Twice)
    run = fit(image, out=tmp_path, model="stranger", steps=20, batch_size=64, threads=1)
    module = load(run.path).field.module
    assert module.a.weight is module.b.weight
    assert run.metrics["parameters"] == 2 * 8 + 8 + 8 * 8 + 8 + 8 + 8 * 3 + 3


def test_a_look_leaves_every_part_in_its_mode():
    field = noisy()
    field[2].eval()  # frozen
    before = [part.training for part in field.modules()]
    statistics = field[2].running_mean.clone()
    first, second = (evaluate_field(field, torch.rand(1, 2).expand(9, 2)) for _ in range(2))
    assert first.unique(dim=0).shape[0] == second.unique(dim=0).shape[0] == 1  # no dropout
    assert [part.training for part in field.modules()] == before
    assert torch.equal(field[2].running_mean, statistics)


class Failing(nn.Linear):
    def forward(self, x):
        raise KeyError("no such table")


class Odd(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.weight, self.answer = nn.Parameter(torch.ones(1)), answer

    def forward(self, x):
        return self.answer(x * self.weight)


@pytest.mark.parametrize(
    ("build", "phrase"),
    [
        (lambda: nn.Linear(2, 1), r"gives \(5, 1\) at coordinates of shape \(5, 2\), where \(5, 3\) belongs"),
        (lambda: nn.Linear(3, 3), r"forward fails at coordinates of shape \(5, 2\): RuntimeError: mat1 and"),
        (lambda: Failing(2, 3), r"forward fails .* KeyError: 'no such table'"),
        (lambda: Odd(lambda x: x.sum()), r"gives \(\) at"),
        (lambda: Odd(lambda x: [x]), "gives list at"),
        (lambda: nn.Identity(), "has no parameters to train"),
        (lambda: nn.Linear(2, 3).requires_grad_(False), "has no parameters to train"),
        (lambda: {}["layers"], "'layers'"),
        (lambda: torch.zeros(2) @ torch.zeros(3), "RuntimeError: "),
    ],
)
def test_a_field_that_cannot_be_fitted_is_refused_before_there_is_a_folder(
    tmp_path, stranger, image, build, phrase
):
    stranger(build)
    with pytest.raises(InputError, match=phrase) as caught:
        fit(image, out=tmp_path, model="stranger", steps=20)
    assert str(caught.value).startswith("--model stranger") and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
