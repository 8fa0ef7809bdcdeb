"""Pixels that are not trained on: held out to score the fit, or missing."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError
from kanfield.images.image import Image


def held_out_mask(height: int, width: int, pattern: str, seed: int) -> NDArray[np.bool_]:
    """Choose the pixels that are held out.

    Args:
        height: Pixel rows of the image.
        width: Pixel columns of the image.
        pattern: ``"checkerboard"`` (where row + column is odd), ``"every-second"`` (all but the pixels with
            even row and even column), or a fraction such as ``"0.25"``: that fraction of the pixels, rounded,
            drawn at random.
        seed: Of the random fraction, 0 or more.

    Returns:
        bool, shape ``(height * width,)``, True where held out.

    Raises:
        InputError: The pattern is unknown, or no pixel would be held out or none trained on.

    >>> held_out_mask(2, 3, "checkerboard", seed=0).tolist()
    [False, True, False, True, False, True]
    """
    row, column = np.ogrid[:height, :width]
    mask: NDArray[np.bool_]
    if pattern == "checkerboard":
        mask = (row + column) % 2 == 1
    elif pattern == "every-second":
        mask = (row % 2 == 1) | (column % 2 == 1)
    else:
        mask = np.zeros((height, width), dtype=bool)
        count = held_out_count(pattern, height, width)
        mask.flat[np.random.default_rng(seed).choice(mask.size, count, replace=False)] = True
    if mask.all() or not mask.any():
        raise _hides_all_or_none(pattern, height, width)
    return mask.ravel()


def held_out_count(fraction: str, height: int, width: int) -> int:
    """How many pixels a fraction holds out.

    Args:
        fraction: Such as ``"0.25"``.
        height: Pixel rows of the image.
        width: Pixel columns of the image.

    Raises:
        InputError: It is no number between 0 and 1, or no pixel would be held out or none trained on.

    >>> held_out_count("0.25", 4, 6)
    6
    """
    count = round(_fraction(fraction) * height * width)
    if not 0 < count < height * width:
        raise _hides_all_or_none(fraction, height, width)
    return count


def _hides_all_or_none(pattern: str, height: int, width: int) -> InputError:
    return InputError(
        f"--held-out {pattern} on {height} x {width} pixels leaves none seen or none held "
        "out: give another value or a larger image"
    )


def missing_pixels(mask: Image, image: Image, name: str) -> NDArray[np.bool_]:
    """Find the pixels of an image that a mask marks as missing.

    Those are the bright pixels of the mask: over an eighth of white, in any channel but alpha.

    Args:
        mask: An image of the same size.
        image: The image that the mask belongs to.
        name: The mask's file, for errors.

    Returns:
        bool, shape ``(height * width,)``, True where missing.

    Raises:
        InputError: The sizes differ, or none or all of the pixels would be missing.

    >>> mask = Image(np.array([[[0], [255]]], dtype=np.uint8), "L")
    >>> missing_pixels(mask, mask, "mask.png").tolist()
    [False, True]
    """
    if (mask.height, mask.width) != (image.height, image.width):
        raise InputError(
            f"--mask {name} has {mask.width} x {mask.height} pixels, the image {image.width} x "
            f"{image.height}: give a mask of the same size"
        )
    low, high = mask.value_range
    colours = mask.pixels[..., : 1 if mask.mode.startswith("L") else 3]
    missing: NDArray[np.bool_] = (colours > low + (high - low) / 8).any(2).ravel()
    if missing.all() or not missing.any():
        what = "all" if missing.all() else "none"
        raise InputError(
            f"--mask {name} marks {what} of the pixels: paint white what is missing, black the rest"
        )
    return missing


def _fraction(pattern: str) -> float:
    """The number in ``pattern``, between 0 and 1, or InputError."""
    try:
        fraction = float(pattern)
    except ValueError:
        fraction = math.nan
    if not 0 < fraction < 1:
        raise InputError(
            f"--held-out {pattern} is not known: give checkerboard, every-second, or a fraction "
            "between 0 and 1 such as 0.25"
        )
    return fraction
