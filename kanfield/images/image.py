"""An image as kanfield sees it: pixels, mode, and the values in [0, 1] that a field is fitted to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PILImage

from kanfield.errors import InputError

MAX_PIXELS = 178_956_970  # where Pillow refuses to decode: the same bound for resizing


@dataclass(frozen=True, eq=False)
class Image:
    """An 8-bit image.

    `pixels` is uint8 of shape (height, width, channels); `mode` is Pillow's name for the channels:
    "L" (gray), "LA", "RGB" or "RGBA", where alpha is a channel like the others, not premultiplied;
    `source` is the file it was read from; `notes` tells of conversions done while reading, each
    a short sentence for the user.

    >>> image = Image(np.array([[[0], [255]]], dtype=np.uint8), "L")
    >>> image.height, image.width, image.channels, image.levels
    (1, 2, 1, 255)
    >>> image.values().tolist()
    [[0.0], [1.0]]
    """

    pixels: NDArray[np.uint8]
    mode: str
    source: Path | None = None
    notes: tuple[str, ...] = ()
    icc_profile: bytes | None = None
    value_range: tuple[float, float] = (0, 255)
    is_float = False
    bits = 8
    suffix = ".png"

    def to_8bit(self):
        return self

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
    def levels(self) -> int:
        """The pixel value that stands for 1.0."""
        return 255

    def values(self) -> NDArray[np.float32]:
        """The pixels as float32 of shape (height * width, channels) in [0, 1]."""
        return np.divide(self.pixels, self.levels, dtype=np.float32).reshape(-1, self.channels)

    @classmethod
    def from_values(cls, values: ArrayLike, like: Image) -> Image:
        """An image with the mode of `like`, from values clamped to [0, 1] and rounded.

        `values` has shape (height, width, channels), of any size, or (height * width, channels)
        for the size of `like`. Raises InputError where the shape does not fit or a value is NaN.

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
                f"{like.width} x {like.channels}: give height x width x {like.channels} values."
            )
        if np.isnan(array).any():
            raise InputError("The values hold NaN, which is no colour: fit the image again.")
        scaled = np.clip(array, 0, 1) * like.levels
        return cls(np.floor(scaled + 0.5).astype(np.uint8), like.mode)

    def to_pil(self) -> PILImage.Image:
        """The image as a Pillow image of the same mode."""
        return PILImage.fromarray(self.pixels[..., 0] if self.channels == 1 else self.pixels)


def resize_image(image: Image, size: int) -> Image:
    """The image with its longer side `size` (at least 2) pixels, by Lanczos; see `read_image`.

    >>> resize_image(Image(np.zeros((8, 4, 1), dtype=np.uint8), "L"), 4).pixels.shape
    (4, 2, 1)
    """
    target = _resized((image.width, image.height), size)
    picture = image.to_pil().resize(target, PILImage.Resampling.LANCZOS)
    pixels = np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, -1)
    return Image(pixels, image.mode, image.source, image.notes)


def _resized(old: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height with the longer side `size`, or InputError."""
    if size < 2:
        raise InputError(f"--size {size} is too small: give 2 pixels or more.")
    width, height = (max(1, math.floor(side * size / max(old) + 0.5)) for side in old)
    if width * height > MAX_PIXELS:
        raise InputError(f"--size {size} makes over {MAX_PIXELS:,} pixels: give a smaller size.")
    return width, height
