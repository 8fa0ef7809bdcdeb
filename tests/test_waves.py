"""The study of waves: targets, recovered amplitudes, and what it concludes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kanfield.studies.waves.settings import Waves
from kanfield.studies.waves.signal import FREQUENCIES, amplitudes_of, recovered, target
from kanfield.studies.waves.study import conclude, field_for, trials

TINY = Waves(models=("kan", "mlp"), amplitudes=("equal",), steps=30, repeats=1, mlp_width=8, mlp_depth=2)


def made_up(first_at, steps=(0, 100, 200), hertz=10):
    """The result of a trial in which each wave is recovered from a step of its own on."""
    rows = [[1.0 if step >= first_at[n] else 0.1 for n in range(hertz)] for step in steps]
    return {"steps": list(steps), "recovered": rows, "loss": 0.1, "parameters": 5}


def test_the_target_is_the_sum_of_ten_waves():
    amplitudes, phases = amplitudes_of("increasing"), torch.rand(10, dtype=torch.float64)
    y = target(amplitudes, phases)
    for n in (0, 57, 199):
        waves = [a * math.sin(2 * math.pi * (k * n / 200 + p)) for a, k, p in
                 zip(amplitudes.tolist(), FREQUENCIES, phases.tolist(), strict=True)]  # fmt: skip
        assert y[n, 0] == pytest.approx(sum(waves))


def test_recovered_amplitudes_agree_with_a_fit_of_sines():
    torch.manual_seed(3)
    amplitudes, prediction = amplitudes_of("increasing"), torch.randn(200, 1, dtype=torch.float64)
    times = torch.arange(200, dtype=torch.float64)[:, None] / 200
    angles = 2 * math.pi * times * torch.tensor(FREQUENCIES, dtype=torch.float64)
    design = torch.cat([angles.sin(), angles.cos()], 1)
    sine, cosine = torch.linalg.lstsq(design, prediction).solution[:, 0].chunk(2)
    wanted = (sine.square() + cosine.square()).sqrt() / amplitudes
    assert torch.allclose(recovered(prediction, amplitudes), wanted)


def test_shapes_are_the_paper_s():
    kan, mlp = field_for(Waves(), "kan"), field_for(Waves(), "mlp")
    assert [(layer.in_features, layer.out_features) for layer in kan.layers] == [
        (1, 10),
        (10, 10),
        (10, 10),
        (10, 1),
    ]
    assert all(layer.grid_size == 10 and layer.order == 3 for layer in kan.layers)
    assert len(mlp.linear_layers()) + 1 == 6 and mlp.last.in_features == 256
    assert all(p.dtype == torch.float64 for p in (*kan.parameters(), *mlp.parameters()))


def test_a_trial_repeats_itself_and_learns():
    first = trials(TINY)[0]
    one, two = first.compute(), first.compute()
    assert one == two
    assert one["curves"]["loss"][-1][1] < one["curves"]["loss"][0][1]
    assert len(one["steps"]) == len(one["recovered"]) and one["steps"][-1] == 30
    assert {len(row) for row in one["recovered"]} == {10}


def test_as_published_leaves_the_grids_where_they_are():
    published = Waves(**{**vars(TINY), "as_published": True})
    moved, still = trials(TINY)[0].compute(), trials(published)[0].compute()
    assert moved["recovered"] != still["recovered"]


def test_conclusions_follow_the_results():
    settings = Waves(steps=200, repeats=2, amplitudes=("equal",))
    soon, never = [100] * 10, [100] * 8 + [999, 999]
    results = {
        "kan-equal-00": made_up(soon),
        "kan-equal-01": made_up([100] * 9 + [200]),
        "mlp-equal-00": made_up(never),
        "mlp-equal-01": made_up(never),
    }
    found = conclude(settings, results)
    verdicts = {claim.text.split(",")[0]: claim.holds for claim in found.claims}
    assert verdicts["KAN"] is True and verdicts["ReLU MLP"] is True
    assert "all ten from step 200" in found.claims[0].measured
    assert "kan 10 of 10" in found.summary and "mlp 8 of 10" in found.summary
    saved = next(claim for claim in found.claims if claim.text.startswith("The authors' KAN"))
    assert "median step 150, 23.3 x sooner" in saved.measured

    results |= {"mlp-equal-00": made_up(soon), "mlp-equal-01": made_up(soon), "kan-equal-01": made_up(never)}
    verdicts = {claim.text.split(",")[0]: claim.holds for claim in conclude(settings, results).claims}
    assert verdicts["KAN"] is False and verdicts["ReLU MLP"] is False


def test_diverged_fits_are_named_and_left_out():
    results = {key: made_up([100] * 10) for key in ("kan-equal-00", "mlp-equal-00", "mlp-equal-01")}
    results["kan-equal-01"] = {"steps": [], "recovered": [], "loss": None, "parameters": 5}
    found = conclude(Waves(steps=200, repeats=2, amplitudes=("equal",)), results)
    assert any("diverged and are left out: 1 of kan" in note for note in found.notes)
    assert np.isfinite([float(cell.split()[0]) for cell in found.tables[0].cells[1][2:]]).all()

    nothing = conclude(Waves(), {"kan-equal-00": results["kan-equal-01"]})
    assert "Every fit diverged: 1 of kan (equal)" in nothing.summary and not nothing.pictures
