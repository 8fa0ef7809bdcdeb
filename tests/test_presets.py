"""Presets by rule: caps, growth, encodings, and images of every shape."""

from __future__ import annotations

import math

import pytest
import torch

from kanfield.config.image_stats import ImageStats
from kanfield.config.presets import PRESETS, preset_settings
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.encodings.reference import taps
from kanfield.errors import InputError
from kanfield.fields import build_field
from kanfield.fields.field import count_parameters
from kanfield.images.coordinates import coordinates

CAPS = {"smooth": 2.0, "lossless": 4.0, "compact": 0.5}  # along directions, per pixel
ENCODINGS = ("grid", "directions", "both", "none")


def square(side: int, channels: int = 3) -> ImageStats:
    return ImageStats(side, side, side * side, channels)


def finest(settings) -> tuple[int, int]:
    return tuple(settings["options"]["resolutions"][-1])


def count(settings, channels: int) -> int:
    with torch.device("meta"):
        return count_parameters(build_field("kan", 2, channels, settings["options"]))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [32, 48, 64, 100, 128, 256, 512, 1000, 3000, 12000])
def test_parameters_a_pixel_stay_under_the_cap(name, channels, side):
    settings = preset_settings(name, square(side, channels), "directions")
    assert count(settings, channels) <= CAPS[name] * side * side


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("encoding", ["grid", "both"])
@pytest.mark.parametrize(("width", "height"), [(128, 128), (256, 200), (768, 512), (512, 768), (4000, 3000)])
def test_parameters_on_grids_stay_under_the_cap(name, encoding, width, height):
    settings = preset_settings(name, ImageStats(width, height, width * height, 3), encoding)
    features = settings["options"]["features"]
    assert count(settings, 3) <= PRESETS[name].grid.cap * features / 2 * width * height


@pytest.mark.parametrize(("channels", "features"), [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (9, 8)])
def test_lossless_has_a_feature_for_every_value_of_a_pixel(channels, features):
    stats = square(256, channels)
    found = {name: preset_settings(name, stats, "grid")["options"]["features"] for name in PRESETS}
    assert found == {"smooth": 2, "lossless": features, "compact": 2}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("most", [4_000, 30_000, 205_128, 341_000])
def test_a_field_has_at_most_the_parameters_asked_for(encoding, most):
    stats = ImageStats(768, 512, 768 * 512, 3)
    parameters = count(preset_settings("compact", stats, encoding, most), 3)
    assert parameters <= most
    if encoding == "grid" and most > 4000:
        assert parameters > 0.99 * most  # nothing that was allowed is left


@pytest.mark.parametrize("name", PRESETS)
def test_settings_follow_the_pixels_that_are_seen(name):
    quarter = preset_settings(name, ImageStats(256, 256, seen=16384, channels=3), "directions")
    small = preset_settings(name, square(128), "directions")["options"]
    assert quarter["options"]["init_frequency"] == small["init_frequency"]
    whole = preset_settings(name, square(256), "directions")
    assert quarter["steps"] == pytest.approx(whole["steps"] / 4, rel=0.01)
    quarter["options"].pop("residual", None)
    assert count(quarter, 3) <= CAPS[name] * 65536


def test_grids_follow_the_pixels_that_are_seen():
    hidden = ImageStats(1024, 1024, seen=1 << 18, channels=3)
    whole, quarter = (preset_settings("smooth", stats, "grid") for stats in (square(1024), hidden))
    assert finest(preset_settings("compact", hidden, "grid", parameters=10**7)) == (512, 512)
    assert finest(quarter) == (362, 362)  # a cell for two: the rest would be made up
    exact = {p: preset_settings("lossless", hidden, "grid", parameters=p) for p in (None, 2 << 20)}
    assert finest(exact[None]) == (1023, 1023)  # exact wherever they lie
    # Hashed, hidden vertices would have what others are trained for.
    assert finest(exact[2 << 20]) == (512, 512)
    samples = [s["steps"] * s["batch_size"] for s in (quarter, whole)]
    assert samples[0] == pytest.approx(samples[1] / 4, rel=0.01)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("height", "width"), [(1, 2), (2, 2), (1, 7), (3, 3), (1, 5000), (9, 20_000), (8, 8)]
)
def test_every_shape_gets_a_field_that_runs(name, encoding, height, width):
    pixels = height * width
    settings = preset_settings(name, ImageStats(width, height, pixels, 1), encoding)
    field = build_field("kan", 2, 1, settings["options"])
    assert torch.isfinite(field(torch.rand(5, 2) * 2 - 1)).all()
    assert 1 <= settings["batch_size"] <= pixels
    if pixels >= 1000 and encoding == "directions":
        assert count(settings, 1) <= CAPS[name] * pixels


@pytest.mark.parametrize("name", PRESETS)
def test_settings_grow_with_the_image(name):
    rows = [preset_settings(name, square(s), "directions") for s in (32, 64, 128, 256, 512, 1024, 2048)]
    for key in ("widths", "grids", "init_frequency", "steps"):
        values = [row["options"][key] if key in row["options"] else row[key] for row in rows]
        assert values == sorted(values), key
    assert rows[-1]["steps"] < 64**2 * rows[0]["steps"]  # a larger image is not seen as often
    assert all(math.isfinite(row["options"]["init_frequency"]) for row in rows)


@pytest.mark.parametrize("name", PRESETS)
def test_grids_grow_with_the_image(name):
    sides = (256, 512, 1024, 2048, 4096)
    rows = [preset_settings(name, square(side), "grid") for side in sides]
    counts = [count(row, 3) for row in rows]
    samples = [row["steps"] * row["batch_size"] for row in rows]
    finest = [row["options"]["resolutions"][-1][0] for row in rows]
    assert counts == sorted(counts) and samples == sorted(samples) and finest == sorted(finest)
    assert [row["batch_size"] for row in rows] == sorted(row["batch_size"] for row in rows)


def test_large_images_get_grids_and_small_ones_directions():
    assert all(preset_settings(name, square(512))["encoding"] == "grid" for name in PRESETS)
    assert all(preset_settings(name, square(15))["encoding"] == "directions" for name in PRESETS)
    for side, smooth, compact in ((16, "directions", "directions"), (64, "grid", "directions")):
        middle = {name: preset_settings(name, square(side))["encoding"] for name in PRESETS}
        assert middle == {"smooth": smooth, "lossless": "grid", "compact": compact}


def test_across_gaps_smooth_takes_directions_for_longer():
    for side, encoding in ((200, "directions"), (512, "grid")):
        hidden = ImageStats(side, side, seen=side * side // 2, channels=3)
        assert preset_settings("smooth", hidden)["encoding"] == encoding
        assert preset_settings("lossless", hidden)["encoding"] == "grid"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_smooth_keeps_the_pixels_that_surround_gaps(encoding):
    hidden = ImageStats(90, 60, seen=2700, channels=3)
    chosen = {name: preset_settings(name, hidden, encoding) for name in PRESETS}
    assert [name for name in PRESETS if "residual" in chosen[name]["options"]] == ["smooth"]
    options = chosen["smooth"]["options"]
    assert options["residual"] == [90, 60] and options["extent"] == [1.0, pytest.approx(2 / 3)]
    assert "residual" not in preset_settings("smooth", ImageStats(90, 60, 5400, 3), encoding)["options"]
    own, added = count({"options": {**options, "residual": []}}, 3), 3 * 92 * 62
    assert count(chosen["smooth"], 3) == own + added


@pytest.mark.parametrize("encoding", ["grid", "directions"])
def test_a_residual_takes_two_thirds_of_the_parameters_at_most(encoding):
    hidden = ImageStats(100, 100, seen=5000, channels=3)
    enough = 3 * 102**2 * 3 // 2
    few, many = (preset_settings("smooth", hidden, encoding, p) for p in (enough - 1, enough))
    assert "residual" not in few["options"] and many["options"]["residual"] == [100, 100]
    assert count(few, 3) < enough and 0.9 * enough < count(many, 3) <= enough
    assert "residual" in preset_settings("smooth", hidden, encoding)["options"]


def test_a_residual_that_is_left_out_leaves_its_parameters_to_the_rest():
    hidden, most = ImageStats(300, 300, seen=45_000, channels=3), 420_000
    without = preset_settings("smooth", hidden, "grid", most, {"residual": []})
    assert "residual" not in without["options"]
    beside = count(preset_settings("smooth", hidden, "grid", most), 3) - 3 * 302**2
    assert 140_000 < beside < 150_000 < count(without, 3)


def test_bilinear_grids_take_no_residual():
    hidden = ImageStats(300, 300, seen=45_000, channels=1)
    assert "residual" not in resolve(Settings(encoding="grid", options={"interpolation": 1}), hidden).options
    cubic = resolve(Settings(encoding="grid", options={"interpolation": 3}), hidden).options
    assert cubic["residual"] == [299, 299]


def test_cells_of_grids_are_squares_inside_the_image():
    settings = preset_settings("smooth", ImageStats(900, 300, 270_000, 3), "grid")["options"]
    assert settings["extent"] == [1.0, pytest.approx(1 / 3)]
    for across, down in settings["resolutions"][3:]:
        assert across / down == pytest.approx(3, rel=0.1)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(("width", "height"), [(640, 480), (333, 500)])
def test_every_pixel_has_a_spline_that_is_largest_there(name, width, height):
    stats = ImageStats(width, height, width * height, 3)
    settings = preset_settings(name, stats, "grid", parameters=stats.pixels * 4)
    order, extent = settings["options"]["interpolation"], settings["options"]["extent"]
    across, down = finest(settings)
    x = coordinates(height, width).double() / torch.tensor(extent, dtype=torch.float64)
    _, weights = taps(x, torch.tensor([across, down, 1 << 30, 0, across + order]), order)
    largest = {1: 1.0, 2: 0.75**2}[order]
    assert torch.allclose(weights.amax((1, 2)), torch.tensor(largest, dtype=x.dtype), atol=1e-4)


@pytest.mark.parametrize(("order", "side", "reach"), [(1, 199, 199 / 200), (2, 200, 1.0)])
def test_a_given_interpolation_moves_the_grids(order, side, reach):
    chosen = resolve(Settings(encoding="grid", options={"interpolation": order}), square(200)).options
    assert chosen["resolutions"][-1] == [side, side] and chosen["extent"] == [reach, reach]


def test_given_features_count_as_parameters():
    settings = Settings(encoding="grid", parameters=60_000, options={"features": 8})
    assert count({"options": resolve(settings, square(256)).options}, 3) <= 60_000


def test_a_masks_border_leaves_the_pixels_their_places():
    nearly = ImageStats(200, 200, seen=37_000, channels=3)
    assert finest(preset_settings("smooth", nearly, "grid")) == (200, 200)


def test_the_grids_of_another_image_are_refused():
    wide = resolve(Settings(encoding="grid"), ImageStats(300, 200, 60_000, 3))
    resolve(wide, ImageStats(300, 200, 60_000, 3))
    with pytest.raises(InputError, match=r"extent 1, 0.6667 is short of this image"):
        resolve(wide, ImageStats(200, 300, 60_000, 3))


def test_few_parameters_take_a_coarser_finest_level():
    sides = [
        finest(preset_settings("compact", square(512), "grid", parameters=p))[0]
        for p in (10**4, 10**5, 10**6)
    ]
    assert sides == sorted(sides) and sides[0] < 150 and sides[-1] == 511


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_is_smoothed_where_every_pixel_is_seen(name):
    for encoding in ENCODINGS:
        assert preset_settings(name, square(64), encoding)["smoothness"] == 0


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_smooth_bridges_gaps(encoding):
    hidden = preset_settings("smooth", ImageStats(64, 64, seen=4000, channels=1), encoding)
    assert hidden["smoothness"] == 3e-3
    without = preset_settings("smooth", ImageStats(64, 64, 4000, 1), encoding, options={"residual": []})
    assert without["smoothness"] == pytest.approx(1.5e-3)


def test_wide_gaps_on_grids_take_a_stronger_pull():
    pulls = []
    for share in (0.9, 0.5, 0.25, 0.01):
        stats = ImageStats(512, 512, seen=round(512 * 512 * share), channels=3)
        pulls.append(preset_settings("smooth", stats)["smoothness"])
    assert pulls == pytest.approx([3e-3, 3e-3, 3e-3 * 2**0.5, 1e-2], rel=1e-3)
