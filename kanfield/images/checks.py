"""What pixels have to be to make an image, and which of them have no value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by number of channels
BANDS = "bands"  # the mode of channels that are neither gray, nor RGB, nor alpha
BITS = {"uint8": 8, "uint16": 16, "float32": 32}


def check_pixels(pixels: Any, mode: str) -> None:
    """Refuse what is no image.

    Args:
        pixels: An array ``(height, width, channels)`` of uint8, uint16 or float32.
        mode: What its channels are.

    Raises:
        InputError: Type, shape or mode are not an image's.

    >>> check_pixels(np.zeros((2, 2, 3), np.uint8), "RGB")
    """
    if not isinstance(pixels, np.ndarray):
        raise InputError(f"The pixels are a {type(pixels).__name__}: give a NumPy array")
    if pixels.ndim != 3:
        raise InputError(
            f"Pixels of shape {pixels.shape} are no image: give (height, width, channels), for gray such as "
            "pixels[..., None]"
        )
    if pixels.size == 0:
        raise InputError(f"Pixels of shape {pixels.shape} are an empty image: give at least one pixel")
    if pixels.dtype.name not in BITS:
        raise InputError(f"Pixels of type {pixels.dtype} are not supported: give uint8, uint16 or float32")
    usual = MODES.get(pixels.shape[2], BANDS)
    if mode not in {usual, BANDS}:
        raise InputError(f"Mode {mode!r} does not fit {pixels.shape[2]} channels: give {usual!r}")


def distinct(pixels: NDArray[Any]) -> NDArray[Any]:
    """One of the values along an axis that is broadcast, where all are the same.

    >>> distinct(np.broadcast_to(np.uint8(3), (1000, 1000, 3))).shape
    (1, 1, 1)
    """
    return pixels[tuple(slice(0, 1 if step == 0 else None) for step in pixels.strides)]


def find_missing(
    pixels: NDArray[Any], declared: NDArray[np.bool_] | None, name: str
) -> tuple[NDArray[np.bool_] | None, tuple[str, ...]]:
    """Pixels without a value: those that are declared, and floats that are NaN or infinite.

    Args:
        pixels: Shape ``(height, width, channels)``.
        declared: bool ``(height, width)``, or None.
        name: Of the image, for errors.

    Returns:
        bool ``(height, width)``, or None where every pixel has a value, and a note on what was not declared.

    Raises:
        InputError: The shapes do not fit, or no pixel has a value.

    >>> missing, notes = find_missing(np.array([[[1], [np.inf]]], np.float32), None, "a.tif")
    >>> missing.tolist(), notes
    ([[False, True]], ('A pixel is NaN or infinite and counts as missing.',))
    """
    missing = declared
    notes: tuple[str, ...] = ()
    if missing is not None and (missing.dtype != np.bool_ or missing.shape != pixels.shape[:2]):
        raise InputError(
            f"Missing pixels of shape {missing.shape} and type {missing.dtype} do not fit: give bool of "
            f"shape {pixels.shape[:2]}"
        )
    if pixels.dtype.kind == "f" and not _all_finite(pixels):
        bad = ~np.isfinite(pixels).all(axis=2)
        notes = _noted(int((bad if missing is None else bad & ~missing).sum()))
        missing = bad if missing is None else bad | missing
    if missing is None or not missing.any():
        return None, notes
    if missing.all():
        raise InputError(f"{name} has no known pixel, all are missing: give another")
    return missing, notes


def _all_finite(pixels: NDArray[Any]) -> bool:
    some = distinct(pixels)
    with np.errstate(invalid="ignore"):
        return math.isfinite(float(some.min()) - float(some.max()))


def _noted(count: int) -> tuple[str, ...]:
    if count == 0:
        return ()
    many = f"{count:,} pixels are NaN or infinite and count"
    return (f"{many if count > 1 else 'A pixel is NaN or infinite and counts'} as missing.",)
