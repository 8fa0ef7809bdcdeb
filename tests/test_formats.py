"""Every kind of file: read, fitted for a few steps, written, read again and compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as PILImage

from kanfield.cli import main
from kanfield.errors import InputError
from kanfield.images import Image, read_image, write_image
from kanfield.metrics.image_quality import psnr
from kanfield.runs.run import load
from kanfield.training.evaluate_run import evaluate_run
from kanfield.training.fit import fit

pytestmark = pytest.mark.usefixtures("no_edge_figures")

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
SMALL = {"options": {"widths": [8], "grids": [8, 4]}, "batch_size": 64, "threads": 1}


def smooth(mode: str, dtype: str = "uint8") -> Image:
    """A smooth picture; floats lie between -0.5 and 3."""
    y, x, c = np.mgrid[:14, :17, : MODES[mode]]
    values = 0.5 + 0.4 * np.sin(x / 3 + c) * np.cos(y / 4)
    if dtype == "float32":
        return Image((values * 3.5 - 0.5).astype(np.float32), mode)
    return Image((values * np.iinfo(dtype).max).astype(dtype), mode)


CASES = [
    *((".png", mode, dtype) for mode in MODES for dtype in ("uint8", "uint16")),
    *((".tiff", mode, dtype) for mode in MODES for dtype in ("uint8", "uint16", "float32")),
    *((".exr", mode, "float32") for mode in MODES),
    *((".webp", mode, "uint8") for mode in ("RGB", "RGBA")),
    *((suffix, "RGB", "uint8") for suffix in (".jpg", ".bmp")),
]


@pytest.mark.parametrize(("suffix", "mode", "dtype"), CASES)
def test_a_file_of_every_kind_is_fitted_and_written(tmp_path, suffix, mode, dtype):
    write_image(tmp_path / f"a{suffix}", smooth(mode, dtype))
    image = read_image(tmp_path / f"a{suffix}")
    assert (image.mode, image.pixels.dtype) == (mode, dtype)
    run = fit(tmp_path / f"a{suffix}", out=tmp_path / "runs", steps=30, **SMALL)

    saved = read_image(run.path / f"reconstruction{image.suffix}")
    assert (saved.mode, saved.pixels.dtype, saved.pixels.shape) == (mode, dtype, image.pixels.shape)
    low, high = run.metrics["value_range"]
    assert (low, high) == image.value_range
    # The last bit may depend on the number of threads.
    drawn = run.render().pixels.astype(float)
    assert np.abs(saved.pixels - drawn).max() <= (1 if dtype != "float32" else 1e-5 * (high - low))
    with PILImage.open(run.path / "reconstruction.png") as view:
        assert view.size == (17, 14)

    fitted = run.image  # integers with alpha are fitted, and scored, times alpha
    error = np.square(fitted.to_unit(saved.pixels) - fitted.to_unit(fitted.pixels)).mean()
    assert run.psnr == pytest.approx(psnr(error), abs=0.05)  # of the rounded pixels, nearly
    wrong = run.metrics["wrong_pixels"]
    assert (wrong is None) if dtype == "float32" else (0 < wrong <= 14 * 17)
    assert run.metrics["lossless"] is False


@pytest.mark.parametrize(("suffix", "dtype"), [(".png", "uint16"), (".tiff", "float32")])
def test_a_run_of_deep_pixels_is_drawn_without_its_image(tmp_path, suffix, dtype):
    write_image(tmp_path / f"a{suffix}", smooth("RGB", dtype))
    run = fit(tmp_path / f"a{suffix}", out=tmp_path / "runs", steps=10, **SMALL)
    whole = run.render().pixels
    (tmp_path / f"a{suffix}").unlink()
    main(["render", str(run.path), "--out", str(tmp_path / "big.tiff"), "--scale", "2"])
    big = read_image(tmp_path / "big.tiff")
    assert big.pixels.dtype == dtype and big.pixels.shape == (28, 34, 3)
    assert np.array_equal(load(run.path).render().pixels, whole)


def test_a_colour_profile_survives(tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    PILImage.fromarray(smooth("RGB").pixels).save(tmp_path / "a.png", icc_profile=profile)
    run = fit(tmp_path / "a.png", out=tmp_path / "runs", steps=10, **SMALL)
    with PILImage.open(run.folder.reconstruction) as saved:
        assert saved.info["icc_profile"] == profile
    (tmp_path / "a.png").unlink()
    assert load(run.path).render().icc_profile == profile


def test_conversions_are_said_once(tmp_path, capsys):
    PILImage.fromarray(smooth("RGB").pixels).convert("CMYK").save(tmp_path / "a.jpg")
    words = ["--out", str(tmp_path / "runs"), "--steps", "10", "--widths", "4", "--grids", "4,4"]
    main(["fit", str(tmp_path / "a.jpg"), *words])
    assert capsys.readouterr().err.count("CMYK") == 1


def test_lossless_beyond_8_bit_says_what_to_expect(tmp_path, capsys):
    write_image(tmp_path / "a.png", smooth("L", "uint16"))
    words = ["--out", str(tmp_path / "runs"), "--steps", "10", "--json"]
    main(["fit", str(tmp_path / "a.png"), "--lossless", *words])
    said = capsys.readouterr()
    assert "1/131,070" in said.err
    assert json.loads(said.out)["target_reached"] is False


def test_lossless_is_refused_for_floats(tmp_path):
    with pytest.raises(InputError, match="--target-psnr"):
        fit(smooth("L", "float32"), out=tmp_path / "runs", lossless=True)
    assert not (tmp_path / "runs").exists()


def test_decibels_of_floats_are_told_with_their_range(tmp_path, capsys):
    write_image(tmp_path / "a.tiff", smooth("L", "float32"))
    words = ["--out", str(tmp_path / "runs"), "--steps", "10", "--target-psnr", "90", "--widths", "4"]
    main(["fit", str(tmp_path / "a.tiff"), *words, "--grids", "4,4"])
    said = capsys.readouterr().out
    assert "relative to the image's own range" in said and "the goal was not reached" in said


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_floats_resized_by_a_fit_can_be_measured_again(tmp_path, mode):
    run = fit(smooth(mode, "float32"), out=tmp_path, size=9, steps=10, **SMALL)
    assert evaluate_run(run.path)["psnr"] == pytest.approx(run.psnr, abs=1e-5)


def test_floats_count_in_their_own_range_whatever_a_program_says(tmp_path):
    picture = smooth("L", "float32")
    picture = Image(picture.pixels, "L", value_range=(-10, 10))
    run = fit(picture, out=tmp_path, steps=10, **SMALL)
    low, high = run.metrics["value_range"]
    assert (low, high) == (picture.pixels.min(), picture.pixels.max())
    assert evaluate_run(run.path)["psnr"] == pytest.approx(run.psnr, abs=1e-5)


@pytest.mark.parametrize("scale", [1e20, 1e35, 1e-35])
def test_floats_of_any_size_are_fitted(tmp_path, scale):
    run = fit(Image(smooth("L", "float32").pixels * np.float32(scale), "L"), out=tmp_path, steps=30, **SMALL)
    assert 5 < run.psnr < 100
