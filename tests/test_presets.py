"""Presets by rule: caps, growth, and images of every shape."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from kanfield.config.presets import PRESETS, ImageStats, parameters, preset_settings
from kanfield.fields import build_field
from kanfield.images import Image
from kanfield.runs.run import load
from kanfield.training.fit import fit

CAPS = {"smooth": 2.0, "lossless": 4.0, "compact": 0.5}
NAMES = ("widths", "grids", "order", "init_noise", "init_frequency", "num_directions")


def square(side: int, channels: int = 3) -> ImageStats:
    return ImageStats(side, side * side, side * side, channels)


def count(settings, channels: int) -> int:
    units = [settings["num_directions"], *settings["widths"], channels]
    return parameters(units, settings["grids"], settings["order"])


def test_the_count_of_parameters_is_that_of_the_field():
    settings = preset_settings("smooth", square(64))
    field = build_field("kan", 2, 3, {name: settings[name] for name in NAMES})
    assert count(settings, 3) == sum(p.numel() for p in field.parameters())


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [32, 48, 64, 100, 128, 256, 512, 1000, 3000, 12000])
def test_parameters_a_pixel_stay_under_the_cap(name, channels, side):
    settings = preset_settings(name, square(side, channels))
    assert count(settings, channels) <= CAPS[name] * side * side


@pytest.mark.parametrize("name", PRESETS)
def test_settings_follow_the_pixels_that_are_seen(name):
    quarter = preset_settings(name, ImageStats(longest=256, pixels=65536, seen=16384, channels=3))
    assert quarter["init_frequency"] == preset_settings(name, square(128))["init_frequency"]
    assert quarter["steps"] == pytest.approx(preset_settings(name, square(256))["steps"] / 4, rel=0.01)
    assert count(quarter, 3) <= CAPS[name] * 65536


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    ("height", "width"), [(1, 2), (2, 2), (1, 7), (3, 3), (1, 5000), (9, 20_000), (8, 8)]
)
def test_every_shape_gets_a_field_that_runs(name, height, width):
    pixels = height * width
    settings = preset_settings(name, ImageStats(max(height, width), pixels, pixels, 1))
    field = build_field("kan", 2, 1, {name: settings[name] for name in NAMES})
    assert torch.isfinite(field(torch.rand(5, 2) * 2 - 1)).all()
    assert 1 <= settings["batch_size"] <= pixels
    if pixels >= 1000:
        assert count(settings, 1) <= CAPS[name] * pixels


@pytest.mark.parametrize("name", PRESETS)
def test_settings_grow_with_the_image(name):
    rows = [preset_settings(name, square(side)) for side in (32, 64, 128, 256, 512, 1024, 2048)]
    for key in ("widths", "grids", "init_frequency", "steps"):
        values = [row[key] for row in rows]
        assert values == sorted(values), key
    assert rows[-1]["steps"] < 64**2 * rows[0]["steps"]  # a larger image is not seen as often
    assert all(math.isfinite(row["init_frequency"]) for row in rows)


@pytest.mark.parametrize("name", PRESETS)
def test_nothing_is_smoothed_where_every_pixel_is_seen(name):
    assert preset_settings(name, square(64))["smoothness"] == 0


def test_smooth_bridges_gaps():
    hidden = preset_settings("smooth", ImageStats(longest=64, pixels=4096, seen=4000, channels=1))
    assert hidden["smoothness"] > 0


def test_a_run_of_before_directions_loads(tmp_path):
    picture = Image(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), "L")
    run = fit(picture, out=tmp_path, options={"widths": [4], "grids": [8, 8]}, steps=20, num_directions=0)
    old = [line for line in run.folder.config.read_text().splitlines() if "num_directions" not in line]
    run.folder.config.write_text("\n".join(line for line in old if "smoothness" not in line) + "\n")
    again = load(run.path)
    assert again.field.layers[0].in_features == 2
    assert np.array_equal(again.render().pixels, run.render().pixels)
