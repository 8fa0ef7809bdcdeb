"""Images of any size: looks at some of the pixels, pictures scaled down, memory that stays bounded."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.images import Image, coordinates
from kanfield.runs import rendering
from kanfield.training import evaluation, trainer
from kanfield.training.evaluation import evaluate
from kanfield.training.fit import fit
from kanfield.training.target import Target

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = {"options": {"widths": [8], "grids": [8, 4]}, "batch_size": 64, "threads": 1}


def _picture(height: int, width: int) -> Image:
    y, x, c = np.mgrid[:height, :width, :3]
    return Image((128 + 100 * np.sin(x / 3 + c) * np.cos(y / 4)).astype(np.uint8), "RGB")


@pytest.mark.parametrize(("height", "width"), [(1, 2), (2, 1), (1, 30), (30, 1), (3, 2), (2, 500)])
@pytest.mark.slow
def test_every_shape_is_fitted_and_scored(tmp_path, height, width):
    run = fit(_picture(height, width), out=tmp_path, steps=20, threads=1)
    assert run.render().pixels.shape == (height, width, 3)
    whole = evaluate(run.field, Target(run.image, torch.zeros(1)))
    assert run.psnr == pytest.approx(whole.psnr, abs=1e-4)


def test_a_large_image_is_judged_by_some_pixels_and_scored_on_all(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_PIXELS", 100)
    looked = []
    original = trainer.evaluate

    def evaluate_and_note(net, target, indices=None, kept=None):
        looked.append(None if indices is None else len(indices))
        return original(net, target, indices, kept)

    monkeypatch.setattr(trainer, "evaluate", evaluate_and_note)
    run = fit(_picture(40, 50), out=tmp_path, steps=60, **SMALL)
    assert set(looked) == {100}  # results.py scores the whole
    whole = evaluate(run.field, Target(run.image, torch.zeros(1)))
    assert run.psnr == pytest.approx(whole.psnr, abs=1e-4)


def test_a_target_reached_on_some_pixels_must_hold_on_all(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_PIXELS", 4)  # so few that they flatter
    run = fit(_picture(40, 50), out=tmp_path, steps=3000, target_psnr=22.0, **SMALL)
    assert run.metrics["target_reached"] is True
    assert run.psnr >= 22.0 and run.metrics["steps"] < 3000


def test_lossless_looks_at_every_pixel(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_PIXELS", 4)
    picture = Image(np.arange(64, dtype=np.uint8).reshape(8, 8, 1) // 4 * 4, "L")
    run = fit(picture, out=tmp_path, lossless=True, threads=1)
    assert run.metrics["lossless"] == (run.metrics["wrong_pixels"] == 0)
    assert np.array_equal(run.render().pixels, picture.pixels) == run.metrics["lossless"]


def test_pictures_for_tensorboard_are_scaled_down(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_PIXELS", 100)
    monkeypatch.setattr(rendering, "PREVIEW", 500)
    run = fit(_picture(40, 50), out=tmp_path, steps=20, **SMALL)
    events = EventAccumulator(str(run.path), size_guidance={"images": 0}).Reload()
    assert {(i.height, i.width) for i in events.Images("reconstruction")} == {(20, 25)}
    with PILImage.open(run.path / "reconstruction.png") as whole:
        assert whole.size == (50, 40)


@pytest.mark.slow
def test_memory_stays_bounded(tmp_path):
    """Peak memory of a fit of 3 megapixels, beyond that of one of 64 pixels, in a process of its own each."""
    code = (
        "import resource, sys, numpy as np; from kanfield import fit; from kanfield.images import Image;"
        "side = int(sys.argv[1]);"
        "pixels = np.random.default_rng(0).integers(0, 256, (side * 3 // 4, side, 3), dtype=np.uint8);"
        "fit(Image(pixels, 'RGB'), out=sys.argv[2], options={'widths': [4], 'grids': [8, 4]},"
        "steps=5, threads=1);"
        "print(1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for side in (12, 2000):
        words = [sys.executable, "-c", code, str(side), str(tmp_path)]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout))
    # 9 MB of pixels in a few copies, and what a tile takes.
    assert peaks[1] - peaks[0] < 350e6


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
@pytest.mark.parametrize(("height", "width"), [(30, 40), (37, 50), (7, 90)])
def test_training_sees_the_coordinates_that_rendering_uses(height, width, precision):
    like = torch.zeros(1, dtype={"fp32": torch.float32, "fp64": torch.float64}[precision])
    target = Target(_picture(height, width), like)
    everything = target.coordinates(torch.arange(height * width))
    assert torch.equal(everything, coordinates(height, width).to(like))


def test_a_few_known_pixels_are_what_is_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "EVALUATION_PIXELS", 50)
    picture = _picture(40, 50)
    mask = np.full((40, 50), 255, np.uint8)
    mask[3:5, 7:20] = 0
    PILImage.fromarray(mask).save(tmp_path / "m.png")
    run = fit(picture, out=tmp_path, steps=40, mask=str(tmp_path / "m.png"), held_out="0.3", **SMALL)
    with open(run.folder.rows, newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["psnr"]]
    assert float(rows[-1]["psnr"]) == pytest.approx(run.psnr, abs=0.1)  # all 18 of them were in the sample
    assert float(rows[-1]["held_out_psnr"]) == pytest.approx(run.metrics["held_out_psnr"], abs=0.1)
    assert run.metrics["wrong_pixels"] <= 26
    with PILImage.open(run.folder.error_map) as error:
        assert not np.asarray(error)[mask > 0].any()


def test_a_batch_larger_than_the_image_does_not_shorten_the_fit():
    scale = ImageStats(8, 8, seen=64, channels=3)
    steps = {size: resolve(Settings(batch_size=size), scale).steps for size in (64, 2048, 65536)}
    assert len(set(steps.values())) == 1
