"""How long the field of a tile is trained, and on how many pixels a step, when nobody says."""

from __future__ import annotations

import math
from dataclasses import replace

from kanfield.config.direction_presets import FEWEST_STEPS
from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.tiles.plan import Plan

FLAT_FROM = 24e6  # pixels from which each is seen as often, however large the picture is
LEAST_BATCH = 4096  # half of it takes 1.4 to 1.8 times as long for as many samples, and gains nothing


def with_budget(settings: Settings, of_tile: Settings, plan: Plan, stats: ImageStats) -> Settings:
    """Settings of a tile with its share of the samples that the preset gives the whole picture as one field.

    A preset gives large pictures fewer looks at a pixel than small ones. By the size of its tiles alone, a
    photograph of 24 megapixels would take an hour where one field takes minutes. A fit that is to reach a
    target, a budget that was given, and fields that are not on grids keep the steps of the tile's size.

    Args:
        settings: As they were given.
        of_tile: What they come to for a picture of a frame's size.
        plan: Of the picture.
        stats: Of a frame.

    >>> from kanfield.tiles.plan import plan_for
    >>> plan, stats = plan_for(Settings(), 4000, 6000), ImageStats(532, 532, 532 * 532, 3)
    >>> of_tile = resolve(Settings(), stats)
    >>> of_tile.steps, with_budget(Settings(), of_tile, plan, stats).steps
    (13475, 737)
    """
    budgets = settings.steps, settings.seconds, settings.phases, settings.target_psnr
    given = settings.lossless or any(budget is not None for budget in budgets)
    on_grids = of_tile.encoding in ("grid", "both") and of_tile.preset in ("smooth", "compact")
    if given or not on_grids or of_tile.steps is None or of_tile.batch_size is None:
        return of_tile
    shrink = min(1.0, math.sqrt(FLAT_FROM / (plan.height * plan.width)))
    height, width = round(plan.height * shrink), round(plan.width * shrink)
    seen = max(1, round(stats.seen / stats.pixels * height * width))
    whole = resolve(replace(settings, parameters=None), ImageStats(width, height, seen, stats.channels))
    assert whole.steps is not None and whole.batch_size is not None  # as the tile's are
    samples = whole.steps * whole.batch_size / seen * stats.seen
    batch = (
        of_tile.batch_size if settings.batch_size else min(max(of_tile.batch_size, LEAST_BATCH), stats.seen)
    )
    alone = math.ceil(of_tile.steps * of_tile.batch_size / batch)
    steps = min(alone, max(FEWEST_STEPS, math.ceil(samples / batch)))
    return replace(of_tile, steps=steps, batch_size=batch)
