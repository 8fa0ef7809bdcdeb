"""Shapes of layers whose edges have grids."""

from __future__ import annotations

import itertools
from collections.abc import Sequence


def layer_shapes(
    inputs: int, outputs: int, widths: Sequence[int], grids: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Inputs, outputs and grid size of every layer of a network.

    Raises:
        ValueError: widths and grids do not fit each other, or a number is below 1.

    >>> layer_shapes(2, 3, widths=[16], grids=[32, 8])
    [(2, 16, 32), (16, 3, 8)]
    """
    sizes = [inputs, *widths, outputs]
    if len(grids) != len(sizes) - 1:
        raise ValueError(f"{len(widths)} hidden layers need {len(sizes) - 1} grids, got {len(grids)}")
    if not all(isinstance(grid, int) for grid in grids):
        raise ValueError("nested levels belong to the splines of --model kan: give one grid size a layer")
    if min(*sizes, *grids) < 1:
        raise ValueError(f"every width and grid starts at 1, got {sizes} and {list(grids)}")
    return [(i, o, g) for (i, o), g in zip(itertools.pairwise(sizes), grids, strict=True)]
