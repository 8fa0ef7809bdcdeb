"""Pixels that are held out of a picture nobody holds in memory: any window of the pattern, on its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kanfield.images import held_out_mask
from kanfield.tiles.plan import Plan
from kanfield.training.permutation import HELD_OUT, shuffle

_SOME = 64  # pixels a side of a mask that stands for all where a pattern is only looked at


def held_out_share(pattern: str, seed: int) -> float:
    """The share of the pixels that a pattern holds out.

    Args:
        pattern: As for :func:`kanfield.images.held_out_mask`.
        seed: 0 or more.

    Raises:
        InputError: The pattern is unknown.

    >>> held_out_share("every-second", 0)
    0.75
    """
    return float(held_out_mask(_SOME, _SOME, pattern, seed).mean())


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
        mask = shuffle(places, total, [seed, HELD_OUT]) < round(float(pattern) * total)
    return mask.reshape(rows.stop - rows.start, columns.stop - columns.start)
