"""The KAN's presets: settings computed from the number of pixels that a fit may see, and of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ImageStats:
    """What a preset needs to know of an image.

    Attributes:
        longest: pixels of the longer side.
        pixels: of the whole image.
        seen: pixels that are trained on.
        channels: alpha included.
    """

    longest: int
    pixels: int
    seen: int
    channels: int

    @property
    def resolution(self) -> float:
        """Seen pixels along the longer side.

        >>> ImageStats(longest=256, pixels=65536, seen=16384, channels=1).resolution
        128.0
        """
        return self.longest * math.sqrt(self.seen / self.pixels)


@dataclass(frozen=True)
class _Rule:
    """Constants of a preset; what grows with the image is given for 256 x 256 seen pixels."""

    cap: float  # parameters per pixel
    layers: int  # hidden ones
    width: int  # units of a hidden layer, where the cap allows
    widest: int  # of any image
    num_directions: int
    first_grid: int
    hidden_grid: int  # of every layer but the first
    order: int
    init_frequency: float  # cycles over the longer side
    init_noise: float
    lr: float
    adam_lr: float
    steps: int
    steps_shrink: float  # power of the number of pixels that steps shrink with below 256 x 256
    steps_growth: float  # and grow with above
    most_steps: float
    channels_growth: float  # and of channels
    smoothness: float  # where pixels are hidden or missing


PRESETS = {
    # True between the pixels: coarse hidden grids, and a start from waves of modest frequency.
    "smooth": _Rule(
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
    # Every pixel exact: one wide layer between fine grids, piecewise linear.
    "lossless": _Rule(
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
    # Few parameters.
    "compact": _Rule(
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
}

# The settings that a preset decides.
PRESET_KEYS = (
    *("options", "steps", "batch_size", "optimizer", "lr", "adam_lr", "range_steps", "smoothness"),
)

OPTIMIZER, BATCH, RANGE_STEPS = "muon", 2048, 200
_REFERENCE = 256.0  # pixels a side for which the constants above are given
_WIDTH_GROWTH = 0.6  # power of the image's side that widths grow with
_FEWEST_STEPS = 400
_GRID_RANGE = 4, 1024


def preset_settings(preset: str, stats: ImageStats) -> dict[str, Any]:
    """Compute what a preset decides, by the names of :class:`kanfield.config.settings.Settings`.

    The field grows with the image until it meets the preset's cap on parameters per pixel; the first grid and
    the frequency of the initial waves grow with the resolution that the fit sees.

    Args:
        preset: ``"smooth"``, ``"lossless"`` or ``"compact"``.
        stats: of the image.

    >>> preset_settings("smooth", ImageStats(256, 65536, 65536, 1))["options"]["grids"]
    [64, 8, 8, 8]
    """
    rule = PRESETS[preset]
    growth = stats.resolution / _REFERENCE
    widths, grids = _field(rule, stats, growth)
    size = stats.pixels / _REFERENCE**2
    steps = rule.steps * size ** (rule.steps_growth if size > 1 else rule.steps_shrink)
    steps = min(steps * stats.channels**rule.channels_growth, rule.most_steps)
    steps *= stats.seen / stats.pixels  # hidden pixels or not, one that is seen is seen as often
    return {
        "options": {
            "widths": widths,
            "grids": grids,
            "order": rule.order,
            "init_noise": rule.init_noise,
            "init_frequency": round(rule.init_frequency * growth, 2),
            "num_directions": rule.num_directions,
        },
        "steps": max(_FEWEST_STEPS, math.ceil(steps)),
        "batch_size": min(BATCH, stats.seen),
        "optimizer": OPTIMIZER,
        "lr": rule.lr,
        "adam_lr": rule.adam_lr,
        "range_steps": RANGE_STEPS,
        # Without gaps there is nothing to bridge, and smoothing only costs sharpness.
        "smoothness": rule.smoothness if stats.seen < stats.pixels else 0.0,
    }


def _field(rule: _Rule, stats: ImageStats, growth: float) -> tuple[list[int], list[int]]:
    """The widest field under the cap; where none fits, ever coarser grids and the narrowest one."""
    side = math.sqrt(stats.pixels) / _REFERENCE
    widest = min(rule.widest, round(rule.width * side**_WIDTH_GROWTH))
    # Kernels work on sixteen outputs at a time; where there are few, every unit counts.
    candidates = [width for width in range(max(4, widest), 3, -1) if width % 16 == 0 or width < 48]
    first, hidden = round(rule.first_grid * growth), rule.hidden_grid
    while True:
        first = min(max(first, _GRID_RANGE[0]), _GRID_RANGE[1])
        grids = [first, *[hidden] * rule.layers]
        for width in candidates:
            units = [rule.num_directions, *[width] * rule.layers, stats.channels]
            if parameters(units, grids, rule.order) <= rule.cap * stats.pixels:
                return units[1:-1], grids
        if first == _GRID_RANGE[0] and hidden == 2:
            return units[1:-1], grids
        first, hidden = first // 2, max(2, hidden // 2)


def parameters(units: Sequence[int], grids: Sequence[int], order: int) -> int:
    """Count the parameters of a KAN, base weights included.

    Args:
        units: inputs of each layer, from the directions (or coordinates) of the first, and the channels.
        grids: cells of each layer.
        order: of the splines.

    >>> parameters([2, 64, 64, 64, 1], [48, 10, 10, 10], 2)
    113856
    """
    return sum(i * o * (g + order + 1) for i, o, g in zip(units[:-1], units[1:], grids, strict=True))
