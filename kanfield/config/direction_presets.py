"""Rules for KANs that see coordinates along directions: what a preset decides, computed from the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kanfield.config.image_stats import ImageStats


@dataclass(frozen=True)
class DirectionRule:
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


OPTIMIZER, BATCH, RANGE_STEPS, FEWEST_STEPS = "muon", 2048, 200, 400
_REFERENCE = 256.0  # pixels a side for which the constants above are given
_WIDTH_GROWTH = 0.6  # power of the image's side that widths grow with
_GRID_RANGE = 4, 1024


def direction_settings(
    rule: DirectionRule, stats: ImageStats, most: int | None = None, turned: bool = True
) -> dict[str, Any]:
    """Settings of a KAN whose first layer sees directions, or the two axes.

    The field grows with the image until it meets the rule's cap on parameters per pixel; the first grid and
    the frequency of the initial waves grow with the resolution that the fit sees.

    Args:
        rule: of the preset.
        stats: of the image.
        most: parameters, at most; None for the rule's cap.
        turned: along the rule's directions, not the axes.

    Returns:
        Values by the names of :class:`kanfield.config.settings.Settings`.
    """
    first = first_layer(rule, stats)
    directions = rule.num_directions if turned else 0
    most = math.floor(rule.cap * stats.pixels) if most is None else most
    widths, grids = _field(rule, stats, first["grid"], directions or 2, most)
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
            "init_frequency": first["init_frequency"],
            "num_directions": directions,
        },
        "steps": max(FEWEST_STEPS, math.ceil(steps)),
        "batch_size": min(BATCH, stats.seen),
        "optimizer": OPTIMIZER,
        "lr": rule.lr,
        "adam_lr": rule.adam_lr,
        "range_steps": RANGE_STEPS,
        # Without gaps there is nothing to bridge, and smoothing only costs sharpness.
        "smoothness": rule.smoothness if stats.seen < stats.pixels else 0.0,
    }


def first_layer(rule: DirectionRule, stats: ImageStats) -> dict[str, Any]:
    """Directions, grid and waves of the layer that sees directions, of any size of field."""
    growth = stats.resolution / _REFERENCE
    return {
        "num_directions": rule.num_directions,
        "grid": min(max(round(rule.first_grid * growth), _GRID_RANGE[0]), _GRID_RANGE[1]),
        "init_frequency": round(rule.init_frequency * growth, 2),
    }


def _field(
    rule: DirectionRule, stats: ImageStats, first: int, inputs: int, most: int
) -> tuple[list[int], list[int]]:
    """The widest field under the cap; where none fits, ever coarser grids and the narrowest one."""
    side = math.sqrt(stats.pixels) / _REFERENCE
    widest = min(rule.widest, round(rule.width * side**_WIDTH_GROWTH))
    # Kernels work on sixteen outputs at a time; where there are few, every unit counts.
    candidates = [width for width in range(max(4, widest), 3, -1) if width % 16 == 0 or width < 48]
    hidden = rule.hidden_grid
    while True:
        grids = [first, *[hidden] * rule.layers]
        for width in candidates:
            units = [inputs, *[width] * rule.layers, stats.channels]
            if parameters(units, grids, rule.order) <= most:
                return units[1:-1], grids
        if first == _GRID_RANGE[0] and hidden == 2:
            return units[1:-1], grids
        first, hidden = max(first // 2, _GRID_RANGE[0]), max(2, hidden // 2)


def parameters(units: Sequence[int], grids: Sequence[int], order: int, base: bool = True) -> int:
    """Count the parameters of a KAN's layers.

    Args:
        units: inputs of each layer, from the directions (or coordinates) of the first, and the channels.
        grids: cells of each layer.
        order: of the splines.
        base: whether a layer has base weights.

    >>> parameters([2, 64, 64, 64, 1], [48, 10, 10, 10], 2)
    113856
    """
    return sum(i * o * (g + order + base) for i, o, g in zip(units[:-1], units[1:], grids, strict=True))
