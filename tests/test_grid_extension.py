"""Grid extension in a fit: the function is kept, the grids are what they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kanfield.images import Image
from kanfield.metrics import psnr
from kanfield.studies.common.generated import generated_image
from kanfield.studies.grid_extension.settings import GridExtension
from kanfield.studies.grid_extension.study import _ErrorLog, _Fit, conclude, trials
from kanfield.training.target import Target

TINY = GridExtension(size=24, steps=24, width=6, first_grid=4, hidden_grid=2)


@pytest.fixture(scope="module")
def results():
    return {trial.key: trial.compute() for trial in trials(TINY)}


@pytest.mark.parametrize(
    ("variant", "levels"),
    [
        ("coarse", [[4], [2], [2], [2]]),
        ("staged", [[4], [2], [2], [2]]),
        ("fixed", [[16], [8], [8], [8]]),
        ("nested", [[16, 8, 4], [8, 4, 2], [8, 4, 2], [8, 4, 2]]),
    ],
)
def test_grids(variant, levels):
    before = torch.get_rng_state()
    field = _Fit(TINY, generated_image(24), variant).field()
    assert torch.equal(torch.get_rng_state(), before)
    assert [layer.levels for layer in field.layers] == levels


def test_refinements_keep_psnr(results):
    found = results["staged"]["refinements"]
    assert [r["step"] for r in found] == [8, 16]
    assert all(r["after"] == pytest.approx(r["before"], abs=1e-4) for r in found)
    assert results["staged"]["parameters"] == results["fixed"]["parameters"] > results["coarse"]["parameters"]
    assert all(not results[name]["refinements"] for name in ("coarse", "fixed", "nested"))


def test_until_the_first_refinement_staged_is_coarse(results):
    before = [n for n, step in enumerate(results["coarse"]["steps"]) if step <= 8]
    assert len(before) > 3
    for n in before:
        assert results["staged"]["psnr"][n] == results["coarse"]["psnr"][n]
    assert results["staged"]["psnr"][-1] != results["coarse"]["psnr"][-1]


def test_a_flat_image_has_errors_too():
    flat = Image(np.full((24, 24, 1), 128, np.uint8), "L")
    assert np.isfinite(_Fit(TINY, flat, "coarse")()["psnr"]).all()


def test_psnr_is_that_of_fits():
    black = torch.nn.Linear(2, 1)
    torch.nn.init.zeros_(black.weight)
    torch.nn.init.constant_(black.bias, -1)
    log = _ErrorLog(Target(Image(np.zeros((24, 24, 1), np.uint8), "L"), torch.zeros(1)))
    log.add(black, 1, 0.0)
    assert log.result()["psnr"] == [psnr(0.0)]


def test_conclusions_follow_the_results(results):
    kept, helps = conclude(TINY, results).claims
    assert kept.holds is True
    staged, coarse = (results[name]["bands"] for name in ("staged", "coarse"))
    assert helps.holds is all(staged[band][-1] < coarse[band][-1] for band in coarse)
    broken = {
        **results,
        "staged": {**results["staged"], "refinements": [{"step": 8, "before": 20, "after": 19}]},
    }
    assert conclude(TINY, broken).claims[0].holds is False
