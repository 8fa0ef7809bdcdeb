"""The KAN's presets: settings worked out from the number of pixels that a fit may see, and of channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """What a preset looks at.

    Attributes:
        longest: the longer side in pixels. pixels: of the whole image. seen: those trained on.
        channels: alpha included.
    """

    longest: int
    pixels: int
    seen: int
    channels: int

    @property
    def resolution(self) -> float:
        """Seen pixels along the longer side.

        >>> Scale(longest=256, pixels=65536, seen=16384, channels=1).resolution
        128.0
        """
        return self.longest * math.sqrt(self.seen / self.pixels)


@dataclass(frozen=True)
class _Rule:
    """Constants of a preset; what grows with the image is given for 256 pixels along its longer side."""

    cap: float  # parameters a pixel
    layers: int  # hidden ones
    width: int  # units of a hidden layer, at most
    first_grid: int
    hidden_grid: int
    frequency: float  # cycles over the longer side
    lr: float
    adam_lr: float
    epochs: float
    range_steps: int


PRESETS = {
    # True between the pixels: a modest first grid, and a start from waves of modest frequency.
    "smooth": _Rule(2.0, 3, 64, 48, 10, 5.0, 5e-3, 5e-3, 48, 200),
    # Every 8-bit pixel exact: fine hidden grids.
    "lossless": _Rule(4.0, 2, 64, 200, 40, 15.0, 3e-3, 3e-3, 140, 1000),
    # What a field is worth as a representation.
    "compact": _Rule(0.5, 2, 48, 48, 8, 10.0, 1e-2, 1e-2, 48, 200),
}

# The settings that a preset decides.
DECIDED = (
    *("widths", "grids", "order", "noise", "frequency"),
    *("steps", "batch_size", "optimizer", "lr", "adam_lr", "range_steps"),
)

ORDER, NOISE, OPTIMIZER, BATCH = 2, 0.05, "muon", 2048
_REFERENCE = 256.0  # pixels along the longer side for which the constants above are given
_SAMPLES_GROWTH = 0.6  # samples drawn in training grow with this power of the number of pixels
_FEWEST_STEPS = 400
_GRID_RANGE = 4, 1024


def preset_settings(preset: str, scale: Scale) -> dict[str, Any]:
    """What a preset sets, by the names of :class:`kanfield.training.config.Settings`.

    The field grows with the image until it meets the preset's cap on parameters a pixel; the first grid and
    the frequency of the initial waves grow with the resolution that the fit sees.

    >>> preset_settings("smooth", Scale(256, 65536, 65536, 1))["grids"]
    [48, 10, 10, 10]
    """
    rule = PRESETS[preset]
    growth = scale.resolution / _REFERENCE
    widths, grids = _field(rule, scale, growth)
    seen = scale.seen / _REFERENCE**2
    batch = min(BATCH, scale.seen)
    steps = math.ceil(rule.epochs * _REFERENCE**2 * seen**_SAMPLES_GROWTH / batch)
    return {
        "widths": widths,
        "grids": grids,
        "order": ORDER,
        "noise": NOISE,
        "frequency": round(rule.frequency * growth, 2),
        "steps": max(_FEWEST_STEPS, steps),
        "batch_size": batch,
        "optimizer": OPTIMIZER,
        "lr": rule.lr,
        "adam_lr": rule.adam_lr,
        "range_steps": rule.range_steps,
    }


def _field(rule: _Rule, scale: Scale, growth: float) -> tuple[list[int], list[int]]:
    """The widest field under the cap; where none fits, ever coarser grids and the narrowest one."""
    first, hidden = round(rule.first_grid * growth), rule.hidden_grid
    while True:
        first = min(max(first, _GRID_RANGE[0]), _GRID_RANGE[1])
        grids = [first, *[hidden] * rule.layers]
        for width in range(rule.width, 3, -4):
            widths = [width] * rule.layers
            if parameters([2, *widths, scale.channels], grids, ORDER) <= rule.cap * scale.seen:
                return widths, grids
        if first == _GRID_RANGE[0] and hidden == 2:
            return widths, grids
        first, hidden = first // 2, max(2, hidden // 2)


def parameters(widths: Sequence[int], grids: Sequence[int], order: int) -> int:
    """Number of parameters of a KAN, base weights included.

    >>> parameters([2, 64, 64, 64, 1], [48, 10, 10, 10], 2)
    113856
    """
    return sum(i * o * (g + order + 1) for i, o, g in zip(widths[:-1], widths[1:], grids, strict=True))
