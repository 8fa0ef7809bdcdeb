"""Coordinates of samples: pixel centres, the longer side of the image on [-1, 1]."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kanfield.errors import InputError

if TYPE_CHECKING:
    import torch


def coordinates(
    height: int,
    width: int,
    *,
    window: tuple[float, float, float, float] | None = None,
    shape: tuple[int, int] | None = None,
    rows: slice | None = None,
) -> torch.Tensor:
    """Coordinates of samples of an image, row by row.

    The longer side spans [-1, 1] and its pixel i of n lies at (2 * i + 1) / n - 1; the shorter side is
    centred, with the same spacing.

    Args:
        height: Pixel rows of the image.
        width: Pixel columns of the image.
        window: ``(x0, y0, x1, y1)``, the part to sample in pixels of the image (0 is the left or top edge; it
            may reach beyond the image); None for all of it.
        shape: ``(h, w)``, the number of samples in the window, by default one per pixel. Sample (r, c) lies
            at pixel position x0 + (c + 0.5) * (x1 - x0) / w, and likewise down.
        rows: Some of the h rows, so that a large rendering can be made in pieces; None for all.

    Returns:
        float32, shape ``(samples, 2)``, columns (x, y).

    Raises:
        InputError: The image, the window or the shape is empty.

    >>> coordinates(1, 4).tolist()
    [[-0.75, 0.0], [-0.25, 0.0], [0.25, 0.0], [0.75, 0.0]]
    >>> coordinates(4, 4, window=(0, 0, 4, 2), shape=(1, 2)).tolist()
    [[-0.5, -0.5], [0.5, -0.5]]
    """
    import torch

    x0, y0, x1, y1 = window or (0, 0, width, height)
    if not (0 < x1 - x0 < math.inf and 0 < y1 - y0 < math.inf):
        raise InputError(f"The window {x0} {y0} {x1} {y1} is empty: give x0 < x1 and y0 < y1")
    h, w = shape or (max(1, round(y1 - y0)), max(1, round(x1 - x0)))
    if min(height, width, h, w) < 1:
        raise InputError(f"{h} x {w} samples of {height} x {width} pixels: all must be 1 or more")
    columns = x0 + (np.arange(w) + 0.5) * (x1 - x0) / w
    lines = y0 + (np.arange(h)[rows or slice(None)] + 0.5) * (y1 - y0) / h
    longest = max(height, width)
    # Computed in float64, so that a window and the whole image agree, and stored as float32.
    grid = np.empty((len(lines), w, 2), dtype=np.float32)
    grid[..., 0] = (2 * columns - width) / longest
    grid[..., 1] = (2 * lines[:, None] - height) / longest
    return torch.from_numpy(grid.reshape(-1, 2))
