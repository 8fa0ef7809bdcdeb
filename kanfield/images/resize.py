"""Resizing images."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from kanfield.errors import InputError
from kanfield.images.checks import BANDS
from kanfield.images.image import Image

MAX_PIXELS = 178_956_970  # where Pillow refuses to decode: the bound for reading and for resizing
# Fraction of full alpha under which there is no colour.
_CLEAR = {"uint8": 0.5 / 255, "uint16": 0.5 / 65535, "float32": 1e-6}
_KNOWN = 0.5  # of a new pixel, at least: otherwise it is missing


def resize_image(image: Image, size: int) -> Image:
    """Resize an image by Lanczos filtering, keeping pixel type, mode and names.

    Colour does not bleed out of transparent pixels, nor values out of missing ones; where more than half is
    missing, so is the new pixel. The filter never leaves the value range of integers (where the pixels kept
    to it), nor the lowest and highest value that a channel of floats had; the value range of floats is
    measured again.

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
    if image.bits == 8 and image.mode != BANDS and image.missing is None:
        picture = PILImage.fromarray(image.pixels.squeeze(2) if image.channels == 1 else image.pixels)
        resized = picture.resize(target, PILImage.Resampling.LANCZOS)
        pixels, missing = np.asarray(resized, dtype=np.uint8).reshape(target[1], target[0], -1), None
    else:
        pixels, missing = _resized_pixels(image, target)
    if not image.is_float:
        (low, high), (lowest, highest), limits = image.value_range, image.used_range, np.iinfo(pixels.dtype)
        pixels = pixels.clip(max(int(min(low, lowest)), limits.min), min(int(max(high, highest)), limits.max))
    changed = replace(image, pixels=pixels, missing=missing)
    return replace(changed, value_range=changed.used_range) if image.is_float else changed


def _resized(old: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height with the longer side ``size``, or InputError."""
    if size < 2:
        raise InputError(f"--size {size} is too small: give 2 pixels or more")
    width, height = (max(1, math.floor(side * size / max(old) + 0.5)) for side in old)
    if width * height > MAX_PIXELS:
        raise InputError(f"--size {size} makes over {MAX_PIXELS:,} pixels: give a smaller size")
    return width, height


def _resized_pixels(image: Image, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_] | None]:
    """Pixels at the new size, channel by channel, and which of them are missing.

    Known ones alone contribute, and colours as much as they are opaque.
    """
    old, here, known = image.pixels, np.ones(image.pixels.shape[:2], dtype=bool), None
    if image.missing is not None:
        here = ~image.missing
        known = here.astype(np.float32)
    alpha, opaque = np.where(here, old[..., -1], 0), known
    if image.has_alpha and alpha.any():  # where all is clear, light shines all the same
        top = np.float32(np.abs(alpha).max() if image.is_float else image.full_range[1])
        opaque = (alpha / top).astype(np.float32)
    pixels = np.empty((size[1], size[0], image.channels), dtype=old.dtype)
    for channel in range(image.channels):
        weight = known if image.has_alpha and channel == image.channels - 1 else opaque
        _store(pixels[..., channel], _weighted(old[..., channel], weight, size), old[..., channel][here])
    if known is None:
        return pixels, None
    missing = _lanczos(known, size) < _KNOWN
    pixels[missing] = 0
    return pixels, missing


def _weighted(
    channel: NDArray[Any], weight: NDArray[np.float32] | None, size: tuple[int, int]
) -> NDArray[np.float32]:
    """One channel, to which pixels contribute by their weights; zero where those weigh nothing."""
    if weight is None:
        return _lanczos(channel, size)
    total, filled = _lanczos(weight, size), np.where(weight != 0, channel, 0) * weight
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = np.divide(
            _lanczos(filled, size), total, out=np.zeros_like(total), where=total > _CLEAR[channel.dtype.name]
        )
    return values


def _lanczos(channel: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """One channel, scaled to at most 1 meanwhile: sums of large floats would overflow."""
    scale = np.float32(np.abs(channel).max()) or np.float32(1)
    picture = PILImage.fromarray(channel / scale).resize(size, PILImage.Resampling.LANCZOS)
    with np.errstate(over="ignore"):  # infinite is over the highest value, to which it is clamped
        return np.asarray(picture, dtype=np.float32) * scale


def _store(target: NDArray[Any], values: NDArray[np.float32], old: NDArray[Any]) -> None:
    """Clamp values to what the pixels can be, and round them where the pixels are integers."""
    if target.dtype != np.float32:
        target[...] = np.floor(np.clip(values, 0, np.iinfo(target.dtype).max) + 0.5)
    else:
        np.clip(values, old.min(), old.max(), out=target)
