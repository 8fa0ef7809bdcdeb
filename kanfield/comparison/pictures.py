"""Pictures of a report: thumbnails and crops, as data that the page itself holds."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from kanfield.errors import InputError

LONGEST = 512  # pixels of a picture in a report
_CROP_SHARE = 0.22  # of the shorter side
_SMALLEST_CROP = 24


def data_url(picture: PILImage.Image) -> str:
    """A picture as the URL of a PNG that holds its data, shrunk where it is large."""
    picture = picture.copy()
    picture.thumbnail((LONGEST, LONGEST))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def open_picture(path: Path) -> PILImage.Image:
    """A picture of a run folder, as RGB or gray.

    Raises:
        InputError: it is damaged or gone.
    """
    try:
        with PILImage.open(path) as picture:
            picture.load()
            return picture.convert("L" if picture.mode in ("L", "LA", "I;16", "1") else "RGB")
    except Exception:  # a damaged file makes a decoder raise anything
        raise InputError(
            f"{path} is damaged or gone: remove {path.parent}, and kanfield compare --resume fits it again"
        ) from None


def worst_error_crop(error_maps: Sequence[PILImage.Image]) -> tuple[int, int, int, int]:
    """The square with the largest error, summed over models.

    Args:
        error_maps: one per model; models may see the image in different sizes.

    Returns:
        Left, top, right and bottom, in pixels of the first map.

    >>> error = PILImage.new("L", (100, 100))
    >>> error.putpixel((80, 10), 255)
    >>> left, top, right, bottom = worst_error_crop([error])
    >>> left <= 80 < right and top <= 10 < bottom
    True
    """
    size = error_maps[0].size
    maps = [each.convert("L") if each.size == size else each.convert("L").resize(size) for each in error_maps]
    error = np.mean([np.asarray(each, dtype=np.float64) for each in maps], 0)
    height, width = error.shape
    side = min(max(_SMALLEST_CROP, round(_CROP_SHARE * min(height, width))), height, width)
    sums = _box_sums(error, side)
    top, left = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(left), int(top), int(left) + side, int(top) + side


def crop(picture: PILImage.Image, box: tuple[int, int, int, int], size: tuple[int, int]) -> PILImage.Image:
    """The part of a picture that a box covers in one of another size.

    Args:
        picture: any size.
        box: left, top, right and bottom.
        size: width and height of the picture that the box is of.

    >>> crop(PILImage.new("L", (50, 40)), (10, 20, 30, 35), (100, 80)).size
    (10, 8)
    """
    (width, height), (left, top, right, bottom) = size, box
    corner = left * picture.width // width, top * picture.height // height
    return picture.crop((*corner, -(-right * picture.width // width), -(-bottom * picture.height // height)))


def _box_sums(values: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Sums over every square of ``side`` pixels, shape ``(height - side + 1, width - side + 1)``."""
    total = np.pad(values, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums: NDArray[np.float64] = (
        total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    )
    return sums
