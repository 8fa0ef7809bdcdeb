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
    """Constants of a preset; what grows with the image is given for 256 x 256 seen pixels."""

    cap: float  # parameters a pixel
    layers: int  # hidden ones
    width: int  # units of a hidden layer, where the cap allows
    first_grid: int
    hidden_grid: int
    frequency: float  # cycles over the longer side
    lr: float
    adam_lr: float
    steps: int
    steps_growth: float  # power of the number of pixels that steps grow with
    channels_growth: float  # and of channels
    range_steps: int


PRESETS = {
    # True between the pixels: coarse hidden grids, and a start from waves of modest frequency.
    "smooth": _Rule(2.0, 3, 64, 56, 9, 4.5, 1e-2, 1e-2, 1984, 0.1, 0, 200),
    # Every pixel exact: fine hidden grids.
    "lossless": _Rule(4.0, 2, 64, 200, 40, 15.0, 3e-3, 3e-3, 4480, 0.75, 1, 1000),
    # What a field is worth as a representation.
    "compact": _Rule(0.5, 3, 32, 32, 10, 6.0, 1e-2, 1e-2, 1984, 0.1, 0, 200),
}

# The settings that a preset decides.
DECIDED = (
    *("widths", "grids", "order", "noise", "frequency", "directions"),
    *("steps", "batch_size", "optimizer", "lr", "adam_lr", "range_steps"),
)

ORDER, NOISE, OPTIMIZER, BATCH = 2, 0.05, "muon", 2048
_REFERENCE = 256.0  # pixels a side for which the constants above are given
_WIDTH_GROWTH = 0.6  # power of the image's side that widths grow with
_WIDEST = 96
_FEWEST_STEPS = 400
_GRID_RANGE = 4, 1024


def preset_settings(preset: str, scale: Scale) -> dict[str, Any]:
    """What a preset sets, by the names of :class:`kanfield.training.config.Settings`.

    The field grows with the image until it meets the preset's cap on parameters a pixel; the first grid and
    the frequency of the initial waves grow with the resolution that the fit sees.

    >>> preset_settings("smooth", Scale(256, 65536, 65536, 1))["grids"]
    [56, 9, 9, 9]
    """
    rule = PRESETS[preset]
    growth = scale.resolution / _REFERENCE
    widths, grids = _field(rule, scale, growth)
    steps = rule.steps * (scale.pixels / _REFERENCE**2) ** rule.steps_growth
    steps *= scale.channels**rule.channels_growth
    steps *= scale.seen / scale.pixels  # hidden pixels or not, one that is seen is seen as often
    return {
        "widths": widths,
        "grids": grids,
        "order": ORDER,
        "noise": NOISE,
        "frequency": round(rule.frequency * growth, 2),
        "steps": max(_FEWEST_STEPS, math.ceil(steps)),
        "batch_size": min(BATCH, scale.seen),
        "optimizer": OPTIMIZER,
        "lr": rule.lr,
        "adam_lr": rule.adam_lr,
        "range_steps": rule.range_steps,
    }


def _field(rule: _Rule, scale: Scale, growth: float) -> tuple[list[int], list[int]]:
    """The widest field under the cap; where none fits, ever coarser grids and the narrowest one."""
    side = math.sqrt(scale.pixels) / _REFERENCE
    widest = min(_WIDEST, round(rule.width * side**_WIDTH_GROWTH))
    # Kernels work on eight outputs at a time; below that, every unit counts.
    candidates = [width for width in range(max(4, widest), 3, -1) if width % 8 == 0 or width < 32]
    first, hidden = round(rule.first_grid * growth), rule.hidden_grid
    while True:
        first = min(max(first, _GRID_RANGE[0]), _GRID_RANGE[1])
        grids = [first, *[hidden] * rule.layers]
        for width in candidates:
            widths = [width] * rule.layers
            if parameters([2, *widths, scale.channels], grids, ORDER) <= rule.cap * scale.pixels:
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
