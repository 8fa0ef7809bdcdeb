"""The KAN's presets: settings computed from the size of the image, and of what a fit may see of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kanfield.config.direction_presets import DirectionRule, direction_settings
from kanfield.config.grid_presets import GridRule, grid_settings, grid_sides
from kanfield.config.image_stats import ImageStats
from kanfield.config.settings import Encoding


@dataclass(frozen=True)
class Preset:
    """What a preset does with each encoding.

    Attributes:
        grid_from: pixels of an image from which it takes grids; below, directions.
        grid: its rule on grids.
        directions: its rule along directions.
        gaps_grid_from: ``grid_from`` where pixels are hidden or missing; None for the same.
    """

    grid_from: int
    grid: GridRule
    directions: DirectionRule
    gaps_grid_from: int | None = None


PRESETS = {
    # True between the pixels: smooth interpolation, or a start from slow waves; across gaps, a pull.
    "smooth": Preset(
        grid_from=1 << 12,
        gaps_grid_from=1 << 17,
        grid=GridRule(
            4.0, cap_growth=0.3, interpolation=2, samples=2.6e7, smoothness=1.5e-3, fewest_steps=1000
        ),
        directions=DirectionRule(
            cap=2.0,
            layers=3,
            width=64,
            widest=96,
            num_directions=8,
            first_grid=64,
            hidden_grid=8,
            order=2,
            init_frequency=4.5,
            init_noise=0.05,
            lr=1e-2,
            adam_lr=5e-3,
            steps=2400,
            steps_shrink=0.1,
            steps_growth=0.5,
            most_steps=6000,
            channels_growth=0,
            smoothness=1.5e-3,
        ),
    ),
    # Every pixel exact: a vertex of the finest level for each.
    "lossless": Preset(
        grid_from=1 << 8,
        grid=GridRule(
            4.0,
            cap_growth=1.0,
            interpolation=1,
            samples=6e7,
            channels_growth=0.5,
            exact=True,
            fewest_steps=2000,
        ),
        directions=DirectionRule(
            cap=4.0,
            layers=1,
            width=160,
            widest=256,
            num_directions=6,
            first_grid=200,
            hidden_grid=200,
            order=1,
            init_frequency=8.0,
            init_noise=0.01,
            lr=3e-3,
            adam_lr=3e-3,
            steps=2000,
            steps_shrink=0.75,
            steps_growth=0.75,
            most_steps=math.inf,
            channels_growth=1.5,
            smoothness=0.0,
        ),
    ),
    # Few parameters.
    "compact": Preset(
        grid_from=1 << 14,
        grid=GridRule(0.5, cap_growth=0.6, interpolation=1, samples=6e7),
        directions=DirectionRule(
            cap=0.5,
            layers=3,
            width=32,
            widest=96,
            num_directions=4,
            first_grid=32,
            hidden_grid=10,
            order=2,
            init_frequency=6.0,
            init_noise=0.05,
            lr=1e-2,
            adam_lr=1e-2,
            steps=1984,
            steps_shrink=0.1,
            steps_growth=0.1,
            most_steps=6000,
            channels_growth=0,
            smoothness=0.0,
        ),
    ),
}

_RESIDUAL_SHARE = 2 / 3  # of the parameters that are asked for, at most
_RESIDUAL_PULL = 3e-3  # at least, since it costs no sharpness then

# The settings that a preset decides.
PRESET_KEYS = (
    *(
        "encoding",
        "options",
        "steps",
        "batch_size",
        "optimizer",
        "lr",
        "adam_lr",
        "range_steps",
        "smoothness",
    ),
)


def preset_settings(
    preset: str,
    stats: ImageStats,
    encoding: Encoding | None = None,
    parameters: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compute what a preset decides, by the names of :class:`kanfield.config.settings.Settings`.

    Args:
        preset: ``"smooth"``, ``"lossless"`` or ``"compact"``.
        stats: of the image.
        encoding: of the coordinates; None for the preset's choice.
        parameters: at most so many; None for the preset's cap.
        options: of the field that are decided already; None for none.

    >>> preset_settings("smooth", ImageStats(256, 256, 65536, 1), "directions")["options"]["grids"]
    [64, 8, 8, 8]
    """
    rule = PRESETS[preset]
    if encoding is None:
        gaps_from = rule.grid_from if rule.gaps_grid_from is None else rule.gaps_grid_from
        grid_from = rule.grid_from if stats.seen == stats.pixels else gaps_from
        encoding = "grid" if stats.pixels >= grid_from else "directions"
    given = dict(options or {})
    chosen = {key: v for key, v in given.items() if key in ("interpolation", "features")}
    rule = dataclasses.replace(rule, grid=dataclasses.replace(rule.grid, **chosen))
    residual = {} if "residual" in given else _residual(rule.grid, stats, parameters)
    if residual and parameters is not None:
        parameters -= _residual_parameters(residual, stats)
    if encoding in ("grid", "both"):
        beside = rule.directions if encoding == "both" else None
        settings = grid_settings(rule.grid, stats, parameters, beside)
    else:
        settings = direction_settings(rule.directions, stats, parameters, turned=encoding == "directions")
    if residual:
        settings["options"] |= residual
        settings["smoothness"] = max(settings["smoothness"], _RESIDUAL_PULL)
    return {"encoding": encoding, **settings}


def _residual(rule: GridRule, stats: ImageStats, parameters: int | None) -> dict[str, Any]:
    """Options of a grid for what a pull leaves of the pixels seen: a B-spline for each pixel.

    Empty where nothing pulls, or where it would take too much of the parameters that are asked for.
    """
    if stats.seen == stats.pixels or not rule.smoothness or rule.interpolation < 2:
        return {}
    sides = grid_sides(rule.interpolation, stats)
    options = {
        "residual": list(sides),
        "interpolation": rule.interpolation,
        "extent": [side / stats.longest for side in sides],
    }
    fits = parameters is None or _residual_parameters(options, stats) <= _RESIDUAL_SHARE * parameters
    return options if fits else {}


def _residual_parameters(options: Mapping[str, Any], stats: ImageStats) -> int:
    """A coefficient for each channel at every vertex."""
    vertices: int = math.prod(side + options["interpolation"] for side in options["residual"])
    return stats.channels * vertices


def encoding_of(options: dict[str, Any]) -> Encoding | None:
    """The encoding that options of a KAN ask for; None where they leave it open.

    >>> encoding_of({"num_directions": 8})
    'directions'
    """
    if options.get("resolutions"):
        return "both" if options.get("num_directions") else "grid"
    if "num_directions" in options:
        return "directions" if options["num_directions"] else "none"
    return None
