"""Pixels of every kind: bands, missing values, ranges of their own, light on a logarithm, transparency."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image as PILImage

from kanfield.cli import main
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image, read_image
from kanfield.runs.input_image import input_image, with_defaults
from kanfield.runs.run import load
from kanfield.training.evaluate_run import evaluate_run
from kanfield.training.fit import fit

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = {"options": {"widths": [8], "grids": [8, 4]}, "batch_size": 64, "threads": 1, "steps": 20}
WORDS = [
    "--widths",
    "8",
    "--grids",
    "8,4",
    "--batch-size",
    "64",
    "--threads",
    "1",
    "--steps",
    "20",
    "--quiet",
]


def waves(channels: int, low: float = 0, high: float = 1) -> np.ndarray:
    """Smooth channels that differ, shape (16, 20, channels), from about ``low`` to ``high``."""
    y, x, c = np.mgrid[:16, :20, :channels]
    return low + (high - low) * (0.5 + 0.5 * np.sin(x / 3 + c) * np.cos(y / 4))


@pytest.fixture
def hole() -> np.ndarray:
    hole = np.zeros((16, 20), bool)
    hole[4:9, 6:14] = True
    return hole


# --- missing pixels ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf, -9999, -3.4028235e38])
def test_what_lies_in_a_hole_has_no_part_in_a_fit(tmp_path, hole, value) -> None:
    height = waves(1, 0.2, 0.3).astype(np.float32)
    height[hole] = value
    tifffile.imwrite(tmp_path / "dem.tif", height[..., 0])
    PILImage.fromarray(hole.astype(np.uint8) * 255).save(tmp_path / "hole.png")
    how = {"mask": str(tmp_path / "hole.png")} if not np.isfinite(value) else {"nodata": value}
    run = fit(tmp_path / "dem.tif", out=tmp_path / "runs", **how, **SMALL)
    low, high = run.metrics["value_range"]
    assert low == height[~hole].min() and high == height[~hole].max()
    drawn = tifffile.imread(run.path / "reconstruction.tiff")
    error = (drawn[~hole] - height[~hole, 0]) / (high - low)
    assert run.psnr == pytest.approx(-10 * np.log10(np.square(error, dtype=np.float64).mean()), abs=0.01)
    assert np.isfinite(drawn).all() and run.metrics["missing_pixels"] == 40
    assert not np.asarray(PILImage.open(run.folder.error_map))[hole].any()
    assert run.metrics["ssim"] is None and "without a value" in run.metrics["lpips_reason"]
    assert evaluate_run(run.path)["psnr"] == pytest.approx(run.psnr, abs=1e-4)


def test_a_mask_keeps_its_values_out_of_the_range_and_of_smaller_pixels(tmp_path, hole) -> None:
    height = waves(1).astype(np.float32)
    height[hole] = -9999
    PILImage.fromarray(hole.astype(np.uint8) * 255).save(tmp_path / "hole.png")
    settings = Settings(mask=str(tmp_path / "hole.png"), size=10)
    image = input_image(Image(height, "L"), settings)
    assert image.missing is not None and image.missing.any()
    assert image.value_range[0] > -0.1 and image.pixels[~image.missing].min() > -0.1


def test_nan_without_a_mask_is_missing_and_said_to_be(tmp_path, hole, capsys) -> None:
    depth = waves(1).astype(np.float32)
    depth[hole] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", depth[..., 0])
    words = [word for word in WORDS if word != "--quiet"]
    main(["fit", str(tmp_path / "a.tif"), "--out", str(tmp_path / "runs"), *words])
    said = capsys.readouterr().err
    assert "40 pixels are NaN or infinite and count as missing" in said
    assert "40 pixels are missing and will be predicted" in said


def test_an_image_from_a_program_keeps_what_is_missing(tmp_path, hole) -> None:
    pixels = (waves(3) * 255).astype(np.uint8)
    run = fit(Image(pixels, "RGB", missing=hole), out=tmp_path, **SMALL)
    assert run.image.missing is not None and np.array_equal(run.image.missing, hole)
    assert evaluate_run(run.path)["psnr"] == pytest.approx(run.psnr, abs=1e-4)


def test_nodata_counts_in_any_band_and_is_told_where_there_is_none(tmp_path) -> None:
    pixels = np.full((2, 3, 2), 5, np.uint8)
    pixels[0, 0, 0] = pixels[1, 2, 1] = 255
    image = input_image(Image(pixels, "bands"), Settings(nodata=255))
    assert image.missing is not None and np.argwhere(image.missing).tolist() == [[0, 0], [1, 2]]
    image = input_image(Image(pixels, "bands"), Settings(nodata=-9999))
    assert image.missing is None and image.notes == ("No pixel has the value -9999 of --nodata.",)
    with pytest.raises(InputError, match="has no known pixel"):
        input_image(Image(pixels[:1, 1:], "bands"), Settings(nodata=5))


def test_an_image_with_holes_has_no_spectrum(tmp_path, hole) -> None:
    with pytest.raises(InputError, match="--spectrum: an image with parts missing"):
        fit(Image(waves(1).astype(np.float32), "L", missing=hole), out=tmp_path, spectrum=True, **SMALL)
    assert not list(tmp_path.iterdir())


# --- bands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [2, 5, 13])
def test_any_number_of_bands(tmp_path, channels: int, dtype: str) -> None:
    top = 1 if dtype == "float32" else np.iinfo(dtype).max
    image = Image((waves(channels) * top).astype(dtype), "bands")
    run = fit(image, out=tmp_path, held_out="checkerboard", timelapse=True, **SMALL)
    assert list(run.metrics["band_psnr"]) == [str(n + 1) for n in range(channels)]
    mean = np.mean([10 ** (-each / 10) for each in run.metrics["band_psnr"].values()])
    assert -10 * np.log10(mean) == pytest.approx(run.psnr, abs=1e-6)
    assert tifffile.imread(run.path / "reconstruction.tiff").shape == (16, 20, channels)
    assert np.asarray(PILImage.open(run.folder.reconstruction)).shape == (16, 20, 3)
    assert run.metrics["ssim"] is not None and run.metrics["held_out_psnr"] is not None
    assert run.render(scale=2).pixels.shape == (32, 40, channels)
    assert run.derivative("laplacian").shape == (16, 20)
    assert evaluate_run(run.path)["band_psnr"] == pytest.approx(run.metrics["band_psnr"], abs=1e-4)


def test_bands_are_chosen_by_number_and_by_name(tmp_path, capsys) -> None:
    pixels = (waves(6) * 255).astype(np.uint8)
    tifffile.imwrite(tmp_path / "six.tif", pixels[..., :3], photometric="rgb")
    out = ["--out", str(tmp_path / "runs")]
    main(["fit", str(tmp_path / "six.tif"), "--bands", "3,green", "--json", *out, *WORDS])
    metrics = json.loads(capsys.readouterr().out)
    assert list(metrics["band_psnr"]) == ["blue", "green"]
    run = load(metrics["run"])
    assert np.array_equal(run.image.pixels, pixels[..., [2, 1]]) and run.blank_image.band_names == (
        "blue",
        "green",
    )
    main(["render", str(run.path), "--out", str(tmp_path / "a.png"), "--quiet"])
    assert PILImage.open(tmp_path / "a.png").mode == "RGB"
    assert input_image(Image(pixels, "bands"), Settings(bands=["4", "3", "2"])).mode == "RGB"


@pytest.mark.parametrize(
    ("bands", "telling"),
    [
        (["7"], "there is no band '7': give numbers from 1 to 6"),
        (["0"], "there is no band '0'"),
        (["nir"], "there is no band 'nir'"),
        (["2", "2"], "give each band once"),
        ([], "--bands names none"),
    ],
)
def test_bands_that_are_not_there(tmp_path, bands: list[str], telling: str) -> None:
    with pytest.raises(InputError, match=telling):
        fit(Image(np.zeros((4, 4, 6), np.uint8), "bands"), out=tmp_path / "runs", bands=bands)
    assert not (tmp_path / "runs").exists()


def test_a_comparison_of_bands(tmp_path) -> None:
    pixels = (waves(4, 50, 300)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "four.tif", pixels[..., 0])
    words = ["--models", "mlp", "--steps", "5", "--bands", "1", "--quiet", "--threads", "1"]
    main(["compare", str(tmp_path / "four.tif"), "--out", str(tmp_path / "c"), *words])
    assert (
        "--bands 1" in (tmp_path / "c/report.html").read_text()
        and "20 x 16 pixels, L" in (tmp_path / "c/report.html").read_text()
    )


# --- ranges --------------------------------------------------------------------------------------


def test_16_bits_of_which_few_are_used_count_against_those(tmp_path) -> None:
    cells = waves(1, 10, 215).round().astype(np.uint16)
    image = Image(cells, "L")
    settings, fitted = with_defaults(Settings(), input_image(image, Settings()))
    assert settings.value_range == list(fitted.value_range) == [cells.min(), cells.max()]
    assert fitted.notes[0].startswith(f"Values {cells.min()} to {cells.max()} of 0 to 65,535: decibels count")
    asked = Settings(value_range=[0, 65535])
    settings, whole = with_defaults(asked, input_image(image, asked))
    assert whole.value_range == (0, 65535) and "a flat gray would have" in whole.notes[0]
    run = fit(image, out=tmp_path, **SMALL)
    assert run.metrics["value_range"] == [cells.min(), cells.max()]
    assert np.array_equal(run.image.pixels, cells) and run.image.value_range == fitted.value_range
    view = np.asarray(PILImage.open(run.folder.reconstruction))
    assert view.max() - view.min() > 100
    assert tifffile.imread(run.path / "reconstruction.tiff").dtype == np.uint16


def test_values_outside_of_a_given_range_are_its_ends() -> None:
    image = input_image(Image(np.array([[[1], [20], [99]]], np.uint8), "L"), Settings(value_range=[10, 50]))
    assert image.pixels.ravel().tolist() == [10, 20, 50] and image.value_range == (10, 50)
    assert image.notes == ("2 pixels have values outside of 10 to 50, which count as its ends.",)


def test_ends_between_integers_are_those_inside() -> None:
    image = input_image(
        Image(np.array([[[1], [20], [99]]], np.uint8), "L"), Settings(value_range=[10.5, 50.5])
    )
    assert image.pixels.ravel().tolist() == [11, 20, 50]


def test_what_a_run_keeps_of_a_declared_depth_makes_the_same_image_again() -> None:
    deep = Image(np.array([[[0], [20], [5000]]], np.uint16), "L", value_range=(0, 4095))
    settings, fitted = with_defaults(Settings(), input_image(deep, Settings()))
    assert np.array_equal(input_image(deep, settings).pixels, fitted.pixels)


@pytest.mark.parametrize("given", ["5,5", "9,1", "0,inf"])
def test_ranges_that_are_none(given: str, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        main(["fit", str(tmp_path / "a.png"), "--value-range", given])
    assert end.value.code == 2 and "--value-range" in capsys.readouterr().err


# --- light ---------------------------------------------------------------------------------------


def test_a_few_lamps_are_warned_of_and_a_logarithm_sees_the_rest(tmp_path) -> None:
    light = waves(1).astype(np.float32)
    light[3, 3] = 5000
    tifffile.imwrite(tmp_path / "a.tif", light[..., 0])
    image = input_image(tmp_path / "a.tif", Settings())
    assert "would have" in with_defaults(Settings(), image)[1].notes[-1]
    run = fit(tmp_path / "a.tif", out=tmp_path / "runs", tonemap="log", **SMALL)
    assert run.metrics["tonemap"] == "log" and run.metrics["value_range"] == [light.min(), 5000]
    drawn = tifffile.imread(run.path / "reconstruction.tiff")
    scale = run.blank_image.log_scale
    assert scale is not None
    truth, got = np.log1p(light[..., 0] / scale), np.log1p(drawn / scale)
    assert run.psnr == pytest.approx(
        -10 * np.log10(np.square((truth - got) / np.ptp(truth)).mean()), abs=0.02
    )
    assert np.allclose(run.render().pixels[..., 0], drawn, rtol=1e-4, atol=1e-5)
    assert evaluate_run(run.path)["psnr"] == pytest.approx(run.psnr, abs=1e-4)


# --- transparency --------------------------------------------------------------------------------


def test_no_fringe_where_transparent_pixels_hide_another_colour(tmp_path) -> None:
    pixels = np.zeros((24, 24, 4), np.uint8)
    pixels[..., 1] = 255  # green, which nobody sees
    pixels[6:18, 6:18] = (200, 30, 30, 255)
    PILImage.fromarray(pixels).save(tmp_path / "a.png")
    run = fit(tmp_path / "a.png", out=tmp_path / "runs", **(SMALL | {"steps": 200}))
    assert run.metrics["alpha"] == "premultiplied"
    shown = run.render(scale=3).pixels.astype(float)
    seen = shown[..., 3] > 40
    assert shown[seen][:, 1].mean() < 60
    assert evaluate_run(run.path)["psnr"] == pytest.approx(run.psnr, abs=1e-4)


def test_lossless_fits_colours_as_they_are(tmp_path) -> None:
    pixels = np.full((4, 4, 4), 7, np.uint8)
    settings, image = with_defaults(Settings(lossless=True), Image(pixels, "RGBA"))
    assert settings.alpha == "straight" and not image.premultiplied and "--lossless" in image.notes[0]
    with pytest.raises(InputError, match="alpha: premultiplied contradicts --lossless"):
        fit(Image(pixels, "RGBA"), out=tmp_path, lossless=True, alpha="premultiplied")


def test_runs_that_do_not_say_were_fitted_straight(tmp_path) -> None:
    PILImage.fromarray(np.full((4, 4, 4), 7, np.uint8)).save(tmp_path / "a.png")
    assert not input_image(tmp_path / "a.png", Settings()).premultiplied
    assert read_image(tmp_path / "a.png").has_alpha


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_of_noise_are_exact(tmp_path, channels) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (18, 20, channels), dtype=np.uint8)
    run = fit(Image(pixels, "RGB" if channels == 3 else "L"), out=tmp_path, lossless=True, threads=1)
    assert run.metrics["lossless"] and np.array_equal(run.render().pixels, pixels)
