"""What every decoder of image files returns, and the checks that all of them share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError

READABLE = (
    "PNG, JPEG, JPEG XL, JPEG 2000, WebP, AVIF, BMP, GIF, PNM, PFM, TIFF, Radiance HDR, OpenEXR or .npy"
)


@dataclass(frozen=True)
class Raster:
    """Decoded pixels as they are stored.

    Attributes:
        pixels: One of an image's types, shape ``(height, width, channels)``.
        notes: Conversions done while reading, each a short sentence for the user.
        icc_profile: The colour profile as bytes, or None.
        orientation: EXIF's number (1 to 8) for how to turn the pixels upright.
        mode: What the channels are, as :attr:`kanfield.images.Image.mode` names it; None for what their
            number suggests: gray, gray and alpha, RGB, RGBA, other bands.
        missing: Pixels that the file declares to have no value, bool ``(height, width)``, or None. NaN and
            infinite floats need not be among them.
        bands: The channels' names where the file gives them.
        max_value: The highest value of integers as the file declares it, such as 4095 for 12 bits; None for
            all that the type can hold.

    >>> Raster(np.zeros((2, 3, 1), dtype=np.uint8), orientation=6).upright().pixels.shape
    (3, 2, 1)
    """

    pixels: NDArray[Any]
    notes: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    orientation: int = 1
    mode: str | None = None
    missing: NDArray[np.bool_] | None = None
    bands: tuple[str, ...] = ()
    max_value: int | None = None

    def upright(self) -> Raster:
        """Turned and mirrored as the orientation says; unknown numbers change nothing."""
        missing = None if self.missing is None else self._turned(self.missing)
        return replace(self, pixels=self._turned(self.pixels), missing=missing, orientation=1)

    def _turned(self, array: NDArray[Any]) -> NDArray[Any]:
        if self.orientation in {5, 6, 7, 8}:
            array = array.swapaxes(0, 1)
        if self.orientation in {2, 3, 6, 7}:
            array = array[:, ::-1]
        if self.orientation in {3, 4, 7, 8}:
            array = array[::-1]
        return np.ascontiguousarray(array)


def check_size(path: Path, width: int, height: int, max_pixels: int) -> None:
    """Refuse a size, as a header claims it, that is empty, a single pixel or too large to decode.

    Args:
        path: The file's name, for errors.
        width: Pixel columns.
        height: Pixel rows.
        max_pixels: The largest size to decode.

    Raises:
        InputError: The size is one of these.

    >>> check_size(Path("a.png"), 100_000, 100_000, 178_956_970)
    Traceback (most recent call last):
    kanfield.errors.InputError: a.png has 100000 x 100000 pixels, over 178,956,970: raise --max-pixels
    """
    if width < 1 or height < 1:
        raise InputError(f"{path} is damaged (a size of {width} x {height} pixels): save it again")
    if width * height == 1:
        raise InputError(f"{path} is a single pixel: give an image of at least two pixels")
    if width * height > max_pixels:
        raise InputError(f"{path} has {width} x {height} pixels, over {max_pixels:,}: raise --max-pixels")


def supported_pixels(pixels: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Pixels as uint8, uint16 or float32.

    Args:
        pixels: Integers or floats of any size.

    Returns:
        The pixels, and a note where their type changed.

    >>> supported_pixels(np.zeros((1, 2, 1), dtype=np.int32))[1]
    ('32-bit signed integers converted to floats, to 24 binary digits.',)
    """
    kind, bits = pixels.dtype.kind, 8 * pixels.dtype.itemsize
    if pixels.dtype == np.float32 or (kind == "u" and bits <= 16):
        return pixels, ()
    if kind == "f":
        note = f"{bits}-bit floats converted to 32-bit."
    else:
        exactly = "exactly" if bits <= 16 else "to 24 binary digits"
        sign = "signed" if kind == "i" else "unsigned"
        note = f"{bits}-bit {sign} integers converted to floats, {exactly}."
    with np.errstate(over="ignore"):  # what does not fit becomes infinite: missing
        return pixels.astype(np.float32), (note,)


def chosen_page(path: Path, count: int, page: int | None) -> tuple[int, tuple[str, ...]]:
    """The place, from 0, of the picture to read of ``count``, and a note on the others.

    Args:
        path: The file's name, for errors.
        count: How many pictures it holds.
        page: The one that is asked for, from 1; None for the first.

    Raises:
        InputError: There is no such picture.

    >>> chosen_page(Path("a.tif"), 3, 2)
    (1, ('Picture 2 of 3 in the file was read.',))
    """
    if page is None:
        return 0, first_of(count)
    if not 1 <= page <= count:
        held = f"{count} pictures: give --page 1 to {count}" if count > 1 else "one picture: leave out --page"
        raise InputError(f"{path} holds {held}")
    return page - 1, (f"Picture {page} of {count} in the file was read.",) if count > 1 else ()


def first_of(count: int) -> tuple[str, ...]:
    """The note on a file of ``count`` pictures, empty for one.

    >>> first_of(3)
    ('Only the first of 3 pictures in the file was read.',)
    """
    return (f"Only the first of {count} pictures in the file was read.",) if count > 1 else ()
