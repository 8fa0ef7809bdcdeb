"""Presets by rule: caps, growth, and images of every shape."""

from __future__ import annotations

import math

import pytest
import torch

from kanfield.config.presets import PRESETS, ImageStats, parameters, preset_settings
from kanfield.fields import build_field

CAPS = {"smooth": 2.0, "lossless": 4.0, "compact": 0.5}


def square(side: int, channels: int = 3) -> ImageStats:
    return ImageStats(side, side, side * side, channels)


def count(settings, channels: int) -> int:
    options = settings["options"]
    units = [options["num_directions"], *options["widths"], channels]
    return parameters(units, options["grids"], options["order"])


def test_the_count_of_parameters_is_that_of_the_field():
    settings = preset_settings("smooth", square(64))
    field = build_field("kan", 2, 3, settings["options"])
    assert count(settings, 3) == sum(p.numel() for p in field.parameters())


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [32, 48, 64, 100, 128, 256, 512, 1000, 3000, 12000])
def test_parameters_a_pixel_stay_under_the_cap(name, channels, side):
    settings = preset_settings(name, square(side, channels))
    assert count(settings, channels) <= CAPS[name] * side * side


@pytest.mark.parametrize("name", PRESETS)
def test_settings_follow_the_pixels_that_are_seen(name):
    quarter = preset_settings(name, ImageStats(256, 256, seen=16384, channels=3))
    small = preset_settings(name, square(128))["options"]
    assert quarter["options"]["init_frequency"] == small["init_frequency"]
    assert quarter["steps"] == pytest.approx(preset_settings(name, square(256))["steps"] / 4, rel=0.01)
    assert count(quarter, 3) <= CAPS[name] * 65536


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    ("height", "width"), [(1, 2), (2, 2), (1, 7), (3, 3), (1, 5000), (9, 20_000), (8, 8)]
)
def test_every_shape_gets_a_field_that_runs(name, height, width):
    pixels = height * width
    settings = preset_settings(name, ImageStats(width, height, pixels, 1))
    field = build_field("kan", 2, 1, settings["options"])
    assert torch.isfinite(field(torch.rand(5, 2) * 2 - 1)).all()
    assert 1 <= settings["batch_size"] <= pixels
    if pixels >= 1000:
        assert count(settings, 1) <= CAPS[name] * pixels


@pytest.mark.parametrize("name", PRESETS)
def test_settings_grow_with_the_image(name):
    rows = [preset_settings(name, square(side)) for side in (32, 64, 128, 256, 512, 1024, 2048)]
    for key in ("widths", "grids", "init_frequency", "steps"):
        values = [row["options"][key] if key in row["options"] else row[key] for row in rows]
        assert values == sorted(values), key
    assert rows[-1]["steps"] < 64**2 * rows[0]["steps"]  # a larger image is not seen as often
    assert all(math.isfinite(row["options"]["init_frequency"]) for row in rows)


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_is_smoothed_where_every_pixel_is_seen(name):
    assert preset_settings(name, square(64))["smoothness"] == 0


def test_smooth_bridges_gaps():
    hidden = preset_settings("smooth", ImageStats(64, 64, seen=4000, channels=1))
    assert hidden["smoothness"] > 0
