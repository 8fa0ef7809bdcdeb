"""Rules for KANs on local grids of features: what a preset decides, computed from the image."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from kanfield.config.direction_presets import (
    FEWEST_STEPS,
    OPTIMIZER,
    RANGE_STEPS,
    DirectionRule,
    first_layer,
    parameters,
)
from kanfield.config.image_stats import ImageStats


@dataclass(frozen=True)
class GridRule:
    """Constants of a preset."""

    cap: float  # parameters per pixel with two features a level, up to 0.4 megapixels
    cap_growth: float  # power of the number of pixels that parameters grow with above
    interpolation: int
    samples: float  # of a fit of 0.4 megapixels
    channels_growth: float = 1.0  # power of the number of channels that samples grow with
    smoothness: float = 0.0  # where pixels are hidden or missing
    exact: bool = False  # as many features a level as a pixel has values
    features: int | None = None  # a level; None for what the rule would choose
    fewest_steps: int = FEWEST_STEPS


LEVELS, COARSEST = 10, 8  # of all presets; the coarsest in cells along the longer side
FEWEST_FEATURES, MOST_FEATURES = 2, 8  # of a level; powers of two
WIDTH, CELLS, ORDER = 32, 8, 2  # of one hidden layer, and of all splines
LR, ADAM_LR = 3e-3, 2e-2
SAMPLES_GROWTH = 0.29  # power of the number of pixels that samples grow with above; below, in proportion
_BATCHES = 2048, 65536
_STEPS = 16_000  # about as many as the samples are shared out to, where batches allow
_LAYERS_SHARE = 0.5  # of the parameters, at most
_SLOPE = 1.0  # lines in fresh splines stand in for a smooth branch, and cost nothing
_SHARING = 32  # vertices of the finest level for each entry, at most
_FEW_HIDDEN = 0.1  # of the pixels: a mask's border, say, for which the others do not leave their places
_BESIDE = 16  # units of the layer that sees directions
_GAPS = 1.5  # power of the pixels for each one seen, from two on, that the pull grows with
_MOST_SMOOTHNESS = 1e-2
_REFERENCE = 0.4e6  # pixels; optimisers move all parameters in every step, whose time they must not rule


def grid_settings(
    rule: GridRule, stats: ImageStats, most: int | None = None, beside: DirectionRule | None = None
) -> dict[str, Any]:
    """Settings of a KAN on grids.

    Args:
        rule: of the preset.
        stats: of the image.
        most: parameters, at most; None for the rule's cap.
        beside: rule of the directions that a first layer sees beside the grids; None for no such layer.

    Returns:
        Values by the names of :class:`kanfield.config.settings.Settings`.
    """
    most = _most_parameters(rule, stats) if most is None else most
    size = stats.pixels / _REFERENCE
    samples = rule.samples * stats.channels**rule.channels_growth
    samples *= size ** (SAMPLES_GROWTH if size > 1 else 1)
    samples *= stats.seen / stats.pixels  # hidden pixels or not, one that is seen is seen as often
    batch = min(max(2 ** round(math.log2(samples / _STEPS)), _BATCHES[0]), _BATCHES[1], stats.seen)
    return {
        "options": {
            **_field(rule, stats, most, beside),
            "order": ORDER,
            "base": None,
            "init_slope": _SLOPE,
            "interpolation": rule.interpolation,
            "extent": [side / stats.longest for side in grid_sides(rule.interpolation, stats)],
        },
        "steps": max(rule.fewest_steps, math.ceil(samples / batch)),
        "batch_size": batch,
        "optimizer": OPTIMIZER,
        "lr": LR,
        "adam_lr": ADAM_LR,
        "range_steps": RANGE_STEPS,
        "smoothness": _smoothness(rule, stats),
    }


def _smoothness(rule: GridRule, stats: ImageStats) -> float:
    """The pull: without gaps there is nothing to bridge, and it only costs sharpness; wide gaps take more."""
    if stats.seen == stats.pixels:
        return 0.0
    wider: float = _gaps(stats) ** _GAPS
    return min(rule.smoothness * wider, max(rule.smoothness, _MOST_SMOOTHNESS))


def _gaps(stats: ImageStats) -> float:
    """Pixels for each one that is seen, over two; 1 at least."""
    return max(1.0, stats.pixels / stats.seen / 2)


def grid_sides(interpolation: int, stats: ImageStats) -> tuple[int, int]:
    """How far the grids reach along x and y, in pixels, of which the finest level has as many cells.

    B-splines of even degree are centred on cells, so the grids span the image; those of odd degree on
    vertices, so the grids end at the centres of the outermost pixels. Either way, where the finest level has
    a cell for each pixel, every pixel has a B-spline that is largest there. Half a cell off it would see the
    mean of four vertices, of the finest patterns nothing.
    """
    inset = interpolation % 2
    return max(1, stats.width - inset), max(1, stats.height - inset)


def _finest(rule: GridRule, stats: ImageStats, most: int) -> int:
    """Cells of the finest level along the longer side: one for each pixel that is seen.

    To be exact, or where few are hidden, one for each pixel: a coarser level would see means of several.
    Not where a hidden pixel's own vertex would share an entry with others, which are trained for themselves.
    Fewer where gaps are wide, since detail as fine as that would be made up there, and where too many
    vertices would share an entry.
    """
    few = rule.interpolation % 2 == 0 and stats.seen >= (1 - _FEW_HIDDEN) * stats.pixels
    every = few or (rule.exact and _all_dense(rule, stats, most))
    cells = float(stats.pixels if every else stats.seen)
    if rule.smoothness:
        cells /= _gaps(stats)
    share = min(cells, _SHARING * most / (LEVELS * _features(rule, stats))) / stats.pixels
    return max(1, round(math.sqrt(share) * max(grid_sides(rule.interpolation, stats))))


def _all_dense(rule: GridRule, stats: ImageStats, most: int) -> bool:
    """Whether no level is hashed although the finest has a cell for each pixel."""
    sides, features = grid_sides(rule.interpolation, stats), _features(rule, stats)
    pairs = choose_resolutions(LEVELS, COARSEST, max(sides), *sides)
    layers = parameters([len(pairs) * features, WIDTH, stats.channels], [CELLS] * 2, ORDER, base=False)
    return layers + features * sum(_vertices(pairs, rule.interpolation)) <= most


def _vertices(resolutions: list[list[int]], interpolation: int) -> list[int]:
    return [(across + interpolation) * (down + interpolation) for across, down in resolutions]


def choose_resolutions(levels: int, coarsest: int, finest: int, width: int, height: int) -> list[list[int]]:
    """Cells along x and y of every level: a geometric series along the longer side, squares all.

    >>> choose_resolutions(3, coarsest=16, finest=64, width=300, height=200)
    [[16, 11], [32, 21], [64, 43]]
    """
    coarsest = min(coarsest, finest)
    ratio = (finest / coarsest) ** (1 / max(1, levels - 1))
    sides = [coarsest * ratio**level for level in range(levels)]
    longest = max(width, height)
    pairs = [[max(1, round(s * width / longest)), max(1, round(s * height / longest))] for s in sides]
    return [pair for number, pair in enumerate(pairs) if pair not in pairs[:number]]


def _most_parameters(rule: GridRule, stats: ImageStats) -> int:
    size = stats.pixels / _REFERENCE
    growth = size ** min(rule.cap_growth - 1, 0) if size > 1 else 1.0
    return math.floor(rule.cap * _features(rule, stats) / FEWEST_FEATURES * stats.pixels * growth)


def _features(rule: GridRule, stats: ImageStats) -> int:
    if rule.features is not None:
        return max(1, rule.features)
    wanted = 1 << math.ceil(math.log2(stats.channels)) if rule.exact else FEWEST_FEATURES
    return min(max(wanted, FEWEST_FEATURES), MOST_FEATURES)


def _field(rule: GridRule, stats: ImageStats, most: int, beside: DirectionRule | None) -> dict[str, Any]:
    """Options of a field of at most so many parameters: fewer levels and units where those alone are more."""
    features, finest = _features(rule, stats), _finest(rule, stats, most)
    first = first_layer(beside, stats) if beside else {"num_directions": 0}
    sizes = [(levels, shrink) for levels in range(LEVELS, 0, -1) for shrink in (1, 2, 4)]
    for levels, shrink in sizes:
        pairs = choose_resolutions(levels, COARSEST, finest, *grid_sides(rule.interpolation, stats))
        widths = [WIDTH // shrink]
        units, grids = [len(pairs) * features, *widths, stats.channels], [CELLS] * (len(widths) + 1)
        layers = parameters(units, grids, ORDER, base=False)
        if beside:
            ridges = _BESIDE // shrink
            layers += parameters([ridges, widths[0]], [CELLS], ORDER, base=False)
            layers += parameters([first["num_directions"], ridges], [first["grid"]], ORDER, base=False)
            widths, grids = [ridges, *widths], [first["grid"], *grids]
        if layers <= _LAYERS_SHARE * most or (levels, shrink) == sizes[-1]:
            break
    room = max((most - layers) // features, len(pairs))
    return {
        "widths": widths,
        "grids": grids,
        "num_directions": first["num_directions"],
        **({"init_frequency": first["init_frequency"]} if beside else {}),
        "resolutions": pairs,
        "features": features,
        "entries": _entries(pairs, rule.interpolation, room),
    }


def _entries(resolutions: list[list[int]], interpolation: int, most: int) -> int:
    """The largest cap on a level's entries with which all levels together have at most so many."""
    vertices = _vertices(resolutions, interpolation)
    low, high = 1, max(vertices)
    while low < high:
        middle = (low + high + 1) // 2
        fits = sum(min(count, middle) for count in vertices) <= most
        low, high = (middle, high) if fits else (low, middle - 1)
    return low
