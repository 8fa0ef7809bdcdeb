"""Resizing images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from kanfield.errors import InputError
from kanfield.images.image import Image

MAX_PIXELS = 178_956_970  # where Pillow refuses to decode: the bound for reading and for resizing
_CLEAR = {"uint16": 0.5 / 65535, "float32": 1e-6}  # fraction of full alpha under which there is no colour


def resize_image(image: Image, size: int) -> Image:
    """Resize an image by Lanczos filtering, keeping pixel type and mode.

    Colour does not bleed out of transparent pixels. The filter never leaves the range of integers, nor the
    lowest and highest value that a channel of floats had; the value range of floats is measured again.

    Args:
        image: What to resize.
        size: Pixels of the longer side, at least 2.

    Raises:
        InputError: The size is too small or makes over ``MAX_PIXELS`` pixels.

    >>> resize_image(Image(np.zeros((8, 4, 1), dtype=np.uint8), "L"), 4).pixels.shape
    (4, 2, 1)
    """
    target = _resized((image.width, image.height), size)
    if target == (image.width, image.height):
        return image
    if image.bits == 8:
        picture = image.to_pil().resize(target, PILImage.Resampling.LANCZOS)
        pixels = np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, -1)
    else:
        pixels = _resized_pixels(image, target)
    return Image(pixels, image.mode, image.source, image.notes, image.icc_profile)


def _resized(old: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height with the longer side ``size``, or InputError."""
    if size < 2:
        raise InputError(f"--size {size} is too small: give 2 pixels or more")
    width, height = (max(1, math.floor(side * size / max(old) + 0.5)) for side in old)
    if width * height > MAX_PIXELS:
        raise InputError(f"--size {size} makes over {MAX_PIXELS:,} pixels: give a smaller size")
    return width, height


def _resized_pixels(image: Image, size: tuple[int, int]) -> NDArray[Any]:
    """16-bit or float pixels at the new size, channel by channel."""
    old = image.pixels
    pixels = np.empty((size[1], size[0], image.channels), dtype=old.dtype)
    if not image.mode.endswith("A"):
        for channel in range(image.channels):
            _store(pixels[..., channel], _lanczos(old[..., channel], size), old[..., channel])
        return pixels
    top = np.float32(np.abs(old[..., -1]).max() if image.is_float else 65535) or np.float32(1)
    weight = old[..., -1] / top
    new_weight = _lanczos(weight, size)
    seen = new_weight > _CLEAR[old.dtype.name]
    _store(pixels[..., -1], new_weight * top, old[..., -1])
    for channel in range(image.channels - 1):
        # Colours count as much as they are opaque; where nothing is, there is none.
        colour = _lanczos(old[..., channel] * weight, size)
        with np.errstate(over="ignore"):
            colour = np.divide(colour, new_weight, out=np.zeros_like(colour), where=seen)
        _store(pixels[..., channel], colour, old[..., channel])
    return pixels


def _lanczos(channel: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """One channel, scaled to at most 1 meanwhile: sums of large floats would overflow."""
    scale = np.float32(np.abs(channel).max()) or np.float32(1)
    picture = PILImage.fromarray(channel / scale).resize(size, PILImage.Resampling.LANCZOS)
    with np.errstate(over="ignore"):  # infinite is over the highest value, to which it is clamped
        return np.asarray(picture, dtype=np.float32) * scale


def _store(target: NDArray[Any], values: NDArray[np.float32], old: NDArray[Any]) -> None:
    """Clamp values to what the pixels can be, and round them where the pixels are integers."""
    if target.dtype == np.uint16:
        target[...] = np.floor(np.clip(values, 0, 65535) + 0.5)
    else:
        np.clip(values, old.min(), old.max(), out=target)
