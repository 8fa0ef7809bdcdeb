"""Reading NumPy's .npy files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError
from kanfield.images.formats.raster import Raster, check_size, supported_pixels

NPY = b"\x93NUMPY"


def read_npy(path: Path, data: bytes, max_pixels: int) -> Raster:
    """Take the array of a .npy file for a picture.

    A file that is cut off raises whatever NumPy raises.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to take.

    Raises:
        InputError: The array is no picture, or too large.

    >>> file = io.BytesIO()
    >>> np.save(file, np.ones((2, 3), np.uint8))
    >>> read_npy(Path("a.npy"), file.getvalue(), 100).pixels.shape
    (2, 3, 1)
    """
    array = check_array(path, np.load(io.BytesIO(data), allow_pickle=False))
    check_size(path, array.shape[1], array.shape[0], max_pixels)
    return array_raster(array)


def check_array(path: Path, array: NDArray[Any]) -> NDArray[Any]:
    """The array, of shape ``(height, width)`` or ``(height, width, channels)``.

    Raises:
        InputError: It has another shape, or its elements are no numbers that pixels can be.
    """
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "uif":
        raise InputError(
            f"{path} holds an array of shape {array.shape} and type {array.dtype}: save one of integers or "
            "floats, of shape (height, width) or (height, width, channels)"
        )
    return array


def array_raster(array: NDArray[Any]) -> Raster:
    """What a checked array is as a picture."""
    native = np.asarray(array, dtype=array.dtype.newbyteorder("="))
    pixels, notes = supported_pixels(native if native.ndim == 3 else native[..., None])
    return Raster(np.ascontiguousarray(pixels), notes)
