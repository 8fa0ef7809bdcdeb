"""``--mask``: part of an image is missing, neither trained on nor scored, and predicted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from kanfield.cli import main
from kanfield.errors import InputError
from kanfield.images import Image, missing_pixels
from kanfield.runs.checkpoint import read_checkpoint
from kanfield.runs.run import load
from kanfield.training.evaluate_run import evaluate_run
from kanfield.training.fit import fit

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = {"options": {"widths": [8], "grids": [8, 4]}, "batch_size": 64, "threads": 1}


def _pixels() -> np.ndarray:
    y, x, c = np.mgrid[:16, :20, :3]
    return (128 + 100 * np.sin(x / 3 + c) * np.cos(y / 4)).astype(np.uint8)


@pytest.fixture
def hole(tmp_path):
    """A mask file with a white square in it."""
    mask = np.zeros((16, 20), dtype=np.uint8)
    mask[4:9, 6:14] = 255
    PILImage.fromarray(mask).save(tmp_path / "hole.png")
    return tmp_path / "hole.png"


def _weights(run):
    return read_checkpoint(run.folder.best).tensors


def test_what_lies_under_the_mask_does_not_matter(tmp_path, hole):
    other = _pixels()
    other[4:9, 6:14] = np.random.default_rng(0).integers(0, 256, (5, 8, 3))
    runs = [
        fit(Image(pixels, "RGB"), out=tmp_path / name, mask=str(hole), steps=40, **SMALL)
        for name, pixels in (("a", _pixels()), ("b", other))
    ]
    weights = [_weights(run) for run in runs]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    for key in ("psnr", "wrong_pixels", "held_out_psnr"):
        assert runs[0].metrics[key] == runs[1].metrics[key]
    assert runs[0].metrics["wrong_pixels"] <= 16 * 20 - 5 * 8
    assert runs[0].metrics["ssim"] is None and "--mask" in runs[0].metrics["lpips_reason"]


def test_the_hole_is_filled_in_smoothly(tmp_path, hole):
    run = fit(Image(_pixels(), "RGB"), out=tmp_path, mask=str(hole), steps=400, **SMALL)
    painted = run.render().pixels[4:9, 6:14].astype(int)
    blank = np.full_like(painted, _pixels().mean())
    truth = _pixels()[4:9, 6:14]
    assert np.abs(painted - truth).mean() < 0.5 * np.abs(blank - truth).mean()


def test_held_out_pixels_are_scored_and_missing_ones_are_not(tmp_path, hole):
    settings = {"mask": str(hole), "held_out": "checkerboard", "steps": 20}
    run = fit(Image(_pixels(), "RGB"), out=tmp_path, **settings, **SMALL)
    assert run.metrics["held_out_psnr"] is not None
    assert evaluate_run(run.path)["held_out_psnr"] == pytest.approx(run.metrics["held_out_psnr"], abs=1e-6)


def test_a_run_keeps_its_mask(tmp_path, hole):
    run = fit(Image(_pixels(), "RGB"), out=tmp_path, mask=str(hole), steps=20, **SMALL)
    hole.unlink()
    psnr, moved = run.psnr, run.path.rename(tmp_path / "moved")
    assert evaluate_run(moved)["psnr"] == pytest.approx(psnr, abs=1e-6)
    assert load(moved).settings.mask == str(moved / "mask.png")


def test_size_resizes_the_mask_with_the_image(tmp_path, hole, capsys):
    PILImage.fromarray(_pixels()).save(tmp_path / "a.png")
    words = ["--mask", str(hole), "--size", "10", "--steps", "5", "--widths", "4", "--grids", "4,4"]
    main(["fit", str(tmp_path / "a.png"), "--out", str(tmp_path / "runs"), *words])
    assert "missing and will be predicted" in capsys.readouterr().err
    with PILImage.open(tmp_path / "runs/a/kan-0001/mask.png") as mask:
        assert mask.size == (20, 16)  # as it was: it says which values may not bleed when those are resized


@pytest.mark.parametrize(
    ("mask", "telling"),
    [
        (np.zeros((16, 20), np.uint8), "marks none of the pixels"),
        (np.full((16, 20), 255, np.uint8), "marks all of the pixels"),
        (np.zeros((16, 21), np.uint8), "has 21 x 16 pixels, the image 20 x 16"),
    ],
)
def test_a_mask_that_makes_no_sense_is_refused(tmp_path, mask, telling):
    PILImage.fromarray(mask).save(tmp_path / "m.png")
    with pytest.raises(InputError, match=telling):
        fit(Image(_pixels(), "RGB"), out=tmp_path / "runs", mask=str(tmp_path / "m.png"), **SMALL)
    assert not (tmp_path / "runs").exists()


def test_a_mask_and_a_pattern_that_hide_everything_are_refused(tmp_path):
    board = np.indices((16, 20)).sum(0) % 2 == 0
    PILImage.fromarray(board.astype(np.uint8) * 255).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="together hide every pixel"):
        fit(Image(_pixels(), "RGB"), mask=str(tmp_path / "m.png"), held_out="checkerboard", **SMALL)


def test_alpha_of_a_mask_does_not_count():
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[0, 0, 1] = 200
    mask = Image(pixels, "RGBA")
    assert missing_pixels(mask, mask, "m.png").tolist() == [True, False, False, False]
