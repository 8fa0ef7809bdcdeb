"""Pixels that are held out of a picture nobody holds in memory: any window of the pattern, on its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kanfield.images.held_out import held_out_count
from kanfield.tiles.plan import Plan
from kanfield.training.permutation import HELD_OUT, shuffle

PATTERNS = {"checkerboard": 0.5, "every-second": 0.75}  # the share of the pixels that each holds out


def held_out_share(plan: Plan, pattern: str) -> float:
    """The share of a picture's pixels that a pattern holds out.

    Args:
        plan: Of the picture.
        pattern: As for :func:`kanfield.images.held_out_mask`.

    Raises:
        InputError: The pattern is unknown, or no pixel would be held out or none trained on.

    >>> held_out_share(Plan(8, 8, 4), "every-second"), held_out_share(Plan(100, 100, 50), "0.0001")
    (0.75, 0.0001)
    """
    if pattern in PATTERNS:
        return PATTERNS[pattern]
    total = plan.height * plan.width
    return held_out_count(pattern, plan.height, plan.width) / total


def held_out_window(plan: Plan, pattern: str, seed: int, rows: slice, columns: slice) -> NDArray[np.bool_]:
    """Choose the pixels of a window that are held out; patterns run on from window to window.

    A fraction holds out the pixels that a permutation of the whole picture puts first: as many as
    :func:`kanfield.images.held_out_mask` chooses, but others.

    Args:
        plan: Of the picture.
        pattern: ``"checkerboard"``, ``"every-second"`` or a fraction such as ``"0.25"``.
        seed: Of the fraction, 0 or more.
        rows: Pixel rows of the picture.
        columns: Pixel columns.

    Returns:
        bool, shape ``(rows, columns)``.

    >>> held_out_window(Plan(8, 8, 4), "checkerboard", 0, slice(3, 5), slice(0, 3)).astype(int).tolist()
    [[1, 0, 1], [0, 1, 0]]
    """
    row, column = np.ogrid[rows, columns]
    mask: NDArray[np.bool_]
    if pattern == "checkerboard":
        mask = (row + column) % 2 == 1
    elif pattern == "every-second":
        mask = (row % 2 == 1) | (column % 2 == 1)
    else:
        total = plan.height * plan.width
        places = (row.astype(np.int64) * plan.width + column).ravel()
        mask = shuffle(places, total, [seed, HELD_OUT]) < held_out_count(pattern, plan.height, plan.width)
    return mask.reshape(rows.stop - rows.start, columns.stop - columns.start)
