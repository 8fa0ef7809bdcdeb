"""An image as kanfield sees it: pixels, mode, and the values in [0, 1] that a field is fitted to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PILImage

from kanfield.errors import InputError
from kanfield.images import log_curve
from kanfield.images.checks import BANDS, BITS, check_pixels, distinct, find_missing

_RANGES = {"uint8": (0, 255), "uint16": (0, 65535)}
_BAND = 2**20  # pixels
_OWN_RANGE = (math.nan, math.nan)
_NAMES = {
    "L": ("gray",),
    "LA": ("gray", "alpha"),
    "RGB": ("red", "green", "blue"),
    "RGBA": ("red", "green", "blue", "alpha"),
}


@dataclass(frozen=True, eq=False)
class Image:
    """An image of 8-bit, 16-bit or float pixels.

    Attributes:
        pixels: uint8, uint16 or float32, shape ``(height, width, channels)``.
        mode: Pillow's name for the channels: ``"L"`` (gray), ``"LA"``, ``"RGB"`` or ``"RGBA"``; ``"bands"``
            for any others, however many. Alpha is a channel like the others.
        source: The file it was read from, or None.
        notes: Conversions done while reading, each a short sentence for the user.
        icc_profile: The colour profile as bytes, or None.
        value_range: The pixel values that stand for 0 and 1. Unless given, (0, 255) or (0, 65535) for
            integers, for floats the lowest and highest known value of all channels, or (v, v + 1) where all
            are v.
        missing: Pixels without a value, bool ``(height, width)``, or None where all have one. NaN and
            infinite pixels are always among them.
        bands: The channels' names; empty for the usual ones.
        log_scale: None where values between 0 and 1 are in proportion to pixels; otherwise they are in
            proportion to a symmetric logarithm of them, a straight line below this size.
        premultiplied: Whether values between 0 and 1 are colours times alpha; the pixels are not.

    Raises:
        InputError: These do not fit together, or every pixel is missing.

    >>> image = Image(np.array([[[0], [255]]], dtype=np.uint8), "L")
    >>> image.height, image.width, image.channels, image.bits, image.value_range
    (1, 2, 1, 8, (0, 255))
    >>> Image(np.array([[[-1], [3], [np.nan]]], dtype=np.float32), "L").values()[:2].tolist()
    [[0.0], [1.0]]
    """

    pixels: NDArray[Any]
    mode: str
    source: Path | None = None
    notes: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    value_range: tuple[float, float] = _OWN_RANGE
    missing: NDArray[np.bool_] | None = None
    bands: tuple[str, ...] = ()
    log_scale: float | None = None
    premultiplied: bool = False

    def __post_init__(self) -> None:
        check_pixels(self.pixels, self.mode)
        if not self.pixels.dtype.isnative:  # torch and most decoders take no other order of bytes
            object.__setattr__(self, "pixels", self.pixels.astype(self.pixels.dtype.newbyteorder("=")))
        missing, note = find_missing(self.pixels, self.missing, str(self.source or "The image"))
        object.__setattr__(self, "missing", missing)
        object.__setattr__(self, "notes", (*self.notes, *note))
        if self.value_range is _OWN_RANGE:
            object.__setattr__(self, "value_range", self.used_range if self.is_float else self.full_range)
        low, high = self.value_range
        if not (math.isfinite(high - low) and low < high):
            raise InputError(
                f"The value range {(low, high)} is impossible: give finite numbers, the first the lower"
            )
        if self.bands and len(self.bands) != self.channels:
            raise InputError(f"{len(self.bands)} names do not fit {self.channels} channels: give one each")

    @property
    def height(self) -> int:
        """Number of pixel rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of pixel columns."""
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """Number of channels, alpha included."""
        return int(self.pixels.shape[2])

    @property
    def bits(self) -> int:
        """Bits per channel: 8 or 16 (integers) or 32 (floats)."""
        return BITS[self.pixels.dtype.name]

    @property
    def is_float(self) -> bool:
        """Whether the pixels are floats."""
        return self.bits == 32

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.mode.endswith("A")

    @property
    def kind(self) -> str:
        """What the channels are, in words.

        >>> Image(np.zeros((1, 2, 6), dtype=np.uint8), "bands").kind
        '6 bands'
        """
        return f"{self.channels} bands" if self.mode == BANDS else self.mode

    @property
    def band_names(self) -> tuple[str, ...]:
        """A name for every channel: the file's own, colours, or numbers from 1."""
        numbers = tuple(str(number + 1) for number in range(self.channels))
        return self.bands or _NAMES.get(self.mode, numbers)

    @property
    def full_range(self) -> tuple[float, float]:
        """The lowest and highest value that pixels of this type can have; for floats, those they have."""
        return self.used_range if self.is_float else _RANGES[self.pixels.dtype.name]

    @property
    def used_range(self) -> tuple[float, float]:
        """The lowest and highest value of all known pixels, or (v, v + 1) where all are v."""
        known = distinct(self.pixels) if self.missing is None else self.pixels[~self.missing]
        low, high = float(known.min()), float(known.max())
        # For huge values, adding 1 changes nothing.
        return low, (high if high > low else max(low + 1, math.nextafter(low, math.inf)))

    @property
    def suffix(self) -> str:
        """The suffix of files that hold the pixels exactly: ".png" where they can be viewed as they are."""
        if self.mode == BANDS:
            return ".tiff"
        if not self.is_float:
            return ".png" if self.value_range == self.full_range else ".tiff"
        suffix = "" if self.source is None else self.source.suffix.lower()
        return ".exr" if suffix in {".exr", ".hdr"} else ".tiff"

    def values(self, rows: slice | None = None) -> NDArray[np.float32]:
        """The pixels with the value range mapped to [0, 1].

        Args:
            rows: Some of the rows; None for all.

        Returns:
            float32, shape ``(rows * width, channels)``.

        >>> image = Image(np.array([[[0]], [[51]], [[255]]], dtype=np.uint8), "L")
        >>> image.values(slice(0, 2)).round(3).tolist()
        [[0.0], [0.20000000298023224]]
        """
        part = self.pixels if rows is None else self.pixels[rows]
        if self._is_plain:  # by far the most frequent, and the quickest
            values: NDArray[np.float32] = np.divide(part, self.value_range[1], dtype=np.float32)
            return values.reshape(-1, self.channels)
        with np.errstate(over="ignore"):  # of missing pixels, which nobody looks at
            return self.to_unit(part).astype(np.float32).reshape(-1, self.channels)

    @property
    def _is_plain(self) -> bool:
        """Whether values are the pixels divided by the highest one."""
        curved = self.log_scale is not None or self.premultiplied
        return not (self.is_float or curved) and self.value_range[0] == 0

    def to_unit(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Map pixel values of this image's type and range so that the range becomes [0, 1].

        In double precision: the range of floats may be wider than a float32 holds.

        Args:
            pixels: Values from this image or one like it, shape ``(..., channels)``, or any where colours are
                not premultiplied.

        Returns:
            The same shape.

        >>> image = Image(np.array([[[-1], [3]]], dtype=np.float32), "L")
        >>> image.to_unit(np.array([1.0, 3.0])).tolist()
        [0.5, 1.0]
        """
        values = self._scaled(pixels)
        if self.premultiplied:
            values[..., :-1] *= values[..., -1:]
        return values

    def _scaled(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Pixel values with the range as [0, 1], colours not premultiplied."""
        (low, high), values = self._ends(), pixels.astype(np.float64)
        if self.log_scale is not None:
            values = log_curve.forward(values, self.log_scale)
        values -= low
        values /= high - low
        return values

    def _ends(self) -> tuple[float, float]:
        """The value range, on the logarithm's axis where there is one."""
        if self.log_scale is None:
            return self.value_range
        low, high = log_curve.forward(np.array(self.value_range), self.log_scale).tolist()
        return low, high

    @classmethod
    def from_values(cls, values: ArrayLike, like: Image) -> Image:
        """An image with the pixel type, mode, range and profile of ``like``, from values in [0, 1].

        Values are clamped. Integers are rounded: for them this undoes :meth:`values` exactly, for floats up
        to rounding, about 1e-7 of the range.

        Args:
            values: Shape ``(height, width, channels)`` of any size, or ``(height * width, channels)`` for the
                size of ``like``.
            like: The image whose kind the new one is.

        Raises:
            InputError: The shape does not fit or a value is NaN.

        >>> gray = Image(np.zeros((1, 3, 1), dtype=np.uint8), "L")
        >>> Image.from_values([[-0.2], [0.5], [1.7]], like=gray).pixels.ravel().tolist()
        [0, 128, 255]
        """
        array = np.asarray(values)
        if array.shape == (like.height * like.width, like.channels):
            array = array.reshape(like.pixels.shape)
        if array.ndim != 3 or array.shape[2] != like.channels or array.size == 0:
            raise InputError(
                f"Values of shape {array.shape} do not fit an image of {like.height} x "
                f"{like.width} x {like.channels}: give height x width x {like.channels} values"
            )
        if np.isnan(array).any():
            raise InputError("The values hold NaN, which is no colour: fit the image again")
        (low, high), unit = like._ends(), np.clip(array, 0, 1).astype(np.float64)
        if like.premultiplied:
            alpha = unit[..., -1:]
            colours = np.divide(unit[..., :-1], alpha, out=np.zeros_like(unit[..., :-1]), where=alpha > 0)
            unit[..., :-1] = colours.clip(0, 1)
        pixels = low + unit * (high - low)
        if like.log_scale is not None:
            # The ends exactly, whatever the rounding of the two functions.
            pixels = np.clip(log_curve.inverse(pixels, like.log_scale), *like.value_range)
        if not like.is_float:
            limits = np.iinfo(like.pixels.dtype)  # a value range may be wider
            pixels = np.floor(pixels + 0.5).clip(limits.min, limits.max)
            if like.premultiplied:  # no colour that would be lost at the next reading
                pixels[..., :-1][pixels[..., -1] == 0] = 0
        return like.with_pixels(pixels.astype(like.pixels.dtype))

    def with_pixels(self, pixels: NDArray[Any]) -> Image:
        """Other pixels of the same kind: mode, range, names and profile of this image, nothing missing."""
        return replace(self, pixels=pixels, source=None, notes=(), missing=None)

    def to_8bit(self) -> Image:
        """The image with 8-bit pixels, for display: itself where it has them, else scaled by its range.

        The alpha of float pixels counts from 0 to 1, whatever the range. Of bands the first three are shown
        as red, green and blue (of two, as red and green); missing pixels that are no number are black.

        >>> deep = Image(np.array([[[0], [32768], [65535]]], dtype=np.uint16), "L")
        >>> deep.to_8bit().pixels.ravel().tolist()
        [0, 128, 255]
        >>> Image(np.full((1, 2, 6), 7, dtype=np.uint8), "bands").to_8bit().mode
        'RGB'
        """
        whole = self.value_range == self.full_range and self.log_scale is None
        if self.bits == 8 and self.mode != BANDS and whole:
            return self
        shown = min(3, self.channels) if self.mode == BANDS else self.channels
        mode = ("L" if shown == 1 else "RGB") if self.mode == BANDS else self.mode
        view = np.zeros((self.height, self.width, len(mode)), dtype=np.uint8)
        for rows in row_slices(self.height, self.width):
            values = self._scaled(self.pixels[rows, :, :shown])
            if self.is_float and self.has_alpha:
                values[..., -1] = self.pixels[rows, :, -1]
            values = np.nan_to_num(values.clip(0, 1), copy=False, nan=0)
            view[rows, :, :shown] = np.floor(values * 255 + 0.5)
        return Image(view, mode, self.source, self.notes, self.icc_profile, missing=self.missing)

    def to_pil(self) -> PILImage.Image:
        """The image as an 8-bit Pillow image, for display; see :meth:`to_8bit`."""
        pixels = self.to_8bit().pixels
        return PILImage.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def row_slices(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that cover an image, each of about a million pixels, to keep memory small.

    >>> list(row_slices(3, 600_000))
    [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)]
    """
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))
