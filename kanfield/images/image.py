"""An image as kanfield sees it: pixels, mode, and the values in [0, 1] that a field is fitted to."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PILImage

from kanfield.errors import InputError

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # by number of channels
_RANGES = {"uint8": (0, 255), "uint16": (0, 65535)}
_BITS = {"uint8": 8, "uint16": 16, "float32": 32}
_BAND = 2**20  # pixels
_OWN_RANGE = (math.nan, math.nan)
_WIDEST = 1e30  # range of float pixels that still leaves room to compute


@dataclass(frozen=True, eq=False)
class Image:
    """An image of 8-bit, 16-bit or float pixels.

    Attributes:
        pixels: uint8, uint16 or float32, shape ``(height, width, channels)``.
        mode: Pillow's name for the channels: ``"L"`` (gray), ``"LA"``, ``"RGB"`` or ``"RGBA"``; alpha is a
            channel like the others.
        source: The file it was read from, or None.
        notes: Conversions done while reading, each a short sentence for the user.
        icc_profile: The colour profile as bytes, or None.
        value_range: The pixel values that stand for 0 and 1: (0, 255) or (0, 65535) for integers. For floats
            the lowest and highest value of all channels, or (v, v + 1) where all are v, unless it is given.

    Raises:
        InputError: These do not fit together, or a pixel is NaN or infinite.

    >>> image = Image(np.array([[[0], [255]]], dtype=np.uint8), "L")
    >>> image.height, image.width, image.channels, image.bits, image.value_range
    (1, 2, 1, 8, (0, 255))
    >>> Image(np.array([[[-1], [3]]], dtype=np.float32), "L").values().tolist()
    [[0.0], [1.0]]
    """

    pixels: NDArray[Any]
    mode: str
    source: Path | None = None
    notes: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    value_range: tuple[float, float] = _OWN_RANGE

    def __post_init__(self) -> None:
        _check_pixels(self.pixels, self.mode)
        if not self.pixels.dtype.isnative:  # torch and most decoders take no other order of bytes
            object.__setattr__(self, "pixels", self.pixels.astype(self.pixels.dtype.newbyteorder("=")))
        own = _float_range(self) if self.is_float else _RANGES[self.pixels.dtype.name]
        if self.value_range is _OWN_RANGE:
            object.__setattr__(self, "value_range", own)
        low, high = self.value_range
        if not (math.isfinite(high - low) and low < high) or (not self.is_float and (low, high) != own):
            remedy = "finite numbers, the first the lower" if self.is_float else f"{own} or none"
            raise InputError(
                f"The value range {(low, high)} does not fit {self.bits}-bit pixels: give {remedy}"
            )

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
        """Number of channels, alpha included: 1 to 4."""
        return int(self.pixels.shape[2])

    @property
    def bits(self) -> int:
        """Bits per channel: 8 or 16 (integers) or 32 (floats)."""
        return _BITS[self.pixels.dtype.name]

    @property
    def is_float(self) -> bool:
        """Whether the pixels are floats."""
        return self.bits == 32

    @property
    def suffix(self) -> str:
        """The file suffix that holds the pixels exactly: ".png"; for floats ".tiff" or ".exr"."""
        if not self.is_float:
            return ".png"
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
        if self.is_float:
            values = self.to_unit(part).astype(np.float32)
        else:
            values = np.divide(part, self.value_range[1], dtype=np.float32)
        return values.reshape(-1, self.channels)

    def to_unit(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Map pixel values of this image's type and range so that the range becomes [0, 1].

        In double precision: the range of floats may be wider than a float32 holds.

        Args:
            pixels: Values of any shape, from this image or one like it.

        Returns:
            The same shape.

        >>> image = Image(np.array([[[-1], [3]]], dtype=np.float32), "L")
        >>> image.to_unit(np.array([1.0, 3.0])).tolist()
        [0.5, 1.0]
        """
        low, high = self.value_range
        return (pixels.astype(np.float64) - low) / (high - low)

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
        low, high = like.value_range
        clamped = np.clip(array, 0, 1)
        if like.is_float:
            pixels = low + clamped.astype(np.float64) * (high - low)
        else:
            pixels = np.floor(clamped * high + 0.5)
        pixels = pixels.astype(like.pixels.dtype)
        return cls(pixels, like.mode, icc_profile=like.icc_profile, value_range=like.value_range)

    def to_8bit(self) -> Image:
        """The image with 8-bit pixels, for display: itself where it has them, else scaled by its range.

        The alpha of float pixels counts from 0 to 1, whatever the range.

        >>> deep = Image(np.array([[[0], [32768], [65535]]], dtype=np.uint16), "L")
        >>> deep.to_8bit().pixels.ravel().tolist()
        [0, 128, 255]
        """
        if self.bits == 8:
            return self
        view = np.empty(self.pixels.shape, dtype=np.uint8)
        for rows in bands(self.height, self.width):
            values = self.values(rows).reshape(view[rows].shape)
            if self.is_float and self.mode.endswith("A"):
                values[..., -1] = self.pixels[rows, :, -1]
            view[rows] = np.floor(np.clip(values, 0, 1) * 255 + 0.5)
        return Image(view, self.mode, self.source, self.notes, self.icc_profile)

    def to_pil(self) -> PILImage.Image:
        """The image as an 8-bit Pillow image of the same mode, for display; see :meth:`to_8bit`."""
        pixels = self.to_8bit().pixels
        return PILImage.fromarray(pixels[..., 0] if self.channels == 1 else pixels)


def bands(height: int, width: int) -> Iterator[slice]:
    """Slices of rows that cover an image, each of about a million pixels, to keep memory small.

    >>> list(bands(3, 600_000))
    [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)]
    """
    rows = max(1, _BAND // width)
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def _check_pixels(pixels: NDArray[Any], mode: str) -> None:
    """Raise InputError where type, shape or mode are not an image's."""
    if not isinstance(pixels, np.ndarray):
        raise InputError(f"The pixels are a {type(pixels).__name__}: give a NumPy array")
    if pixels.ndim != 3 or pixels.shape[2] not in MODES:
        raise InputError(
            f"Pixels of shape {pixels.shape} are no image: give (height, width, channels) with 1 to 4 "
            "channels, for gray such as pixels[..., None]"
        )
    if pixels.size == 0:
        raise InputError(f"Pixels of shape {pixels.shape} are an empty image: give at least one pixel")
    if pixels.dtype.name not in _BITS:
        raise InputError(f"Pixels of type {pixels.dtype} are not supported: give uint8, uint16 or float32")
    if mode != MODES[pixels.shape[2]]:
        raise InputError(
            f"Mode {mode!r} does not fit {pixels.shape[2]} channels: give {MODES[pixels.shape[2]]!r}"
        )


def _float_range(image: Image) -> tuple[float, float]:
    """Lowest and highest pixel value, never the same, or InputError where one is not finite."""
    # Along an axis that is broadcast all values are the same: one of them is enough.
    distinct = image.pixels[tuple(slice(0, 1 if step == 0 else None) for step in image.pixels.strides)]
    with np.errstate(invalid="ignore"):
        low, high = float(distinct.min()), float(distinct.max())
    if not math.isfinite(high - low):
        raise InputError(_not_finite(image))
    if high - low > _WIDEST or 0 < high - low < 1 / _WIDEST:
        raise InputError(
            f"{image.source or 'The image'} has values from {low:g} to {high:g}, too wide or too narrow a "
            "range for 32-bit arithmetic: scale them"
        )
    # For huge values, adding 1 changes nothing.
    return low, (high if high > low else max(low + 1, math.nextafter(low, math.inf)))


def _not_finite(image: Image) -> str:
    """How many pixels are NaN or infinite, and where the first is."""
    count, first = 0, ""
    for rows in bands(image.height, image.width):
        bad = ~np.isfinite(image.pixels[rows]).all(axis=2)
        if not count and bad.any():
            row, column = np.argwhere(bad)[0].tolist()
            first = f"row {rows.start + row}, column {column}"
        count += int(bad.sum())
    held = f"{count:,} pixels that are" if count > 1 else "a pixel that is"
    which = "the first at" if count > 1 else "at"
    return (
        f"{image.source or 'The image'} has {held} NaN or infinite, {which} {first} (counted from 0): "
        "replace them with numbers"
    )
