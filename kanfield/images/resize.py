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
    if image.missing is not None:
        pixels, missing = _without_missing(image, target)
    elif image.bits == 8 and image.mode != BANDS:
        picture = PILImage.fromarray(image.pixels.squeeze(2) if image.channels == 1 else image.pixels)
        resized = picture.resize(target, PILImage.Resampling.LANCZOS)
        pixels, missing = np.asarray(resized, dtype=np.uint8).reshape(target[1], target[0], -1), None
    else:
        pixels, missing = _resized_pixels(image, target), None
    if not image.is_float:
        (low, high), (lowest, highest), limits = image.value_range, image.used_range, np.iinfo(pixels.dtype)
        pixels = pixels.clip(max(int(min(low, lowest)), limits.min), min(int(max(high, highest)), limits.max))
    changed = replace(image, pixels=pixels, missing=missing)
    return replace(changed, value_range=changed.used_range) if image.is_float else changed


def _without_missing(image: Image, size: tuple[int, int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Pixels at the new size to which known ones alone contribute, and which of them are missing."""
    assert image.missing is not None
    # Known is to these pixels what opaque is to colours: they are resized as if under an alpha channel.
    known, old = (~image.missing).astype(np.float32), image.pixels
    missing = _lanczos(known, size) < _KNOWN
    pixels = np.empty((size[1], size[0], image.channels), dtype=old.dtype)
    opaque = known
    if image.has_alpha:
        alpha = np.where(image.missing, 0, old[..., -1]).astype(np.float32)
        opaque = alpha / (np.abs(alpha).max() or 1) if alpha.any() else known
    for channel in range(image.channels):
        is_alpha = image.has_alpha and channel == image.channels - 1
        old_weight = known if is_alpha else opaque
        weight, filled = (
            _lanczos(old_weight, size),
            np.where(old_weight > 0, old[..., channel], 0) * old_weight,
        )
        counts = ~missing & (weight > _CLEAR[old.dtype.name])
        values = np.divide(_lanczos(filled, size), weight, out=np.zeros_like(weight), where=counts)
        _store(pixels[..., channel], values, old[..., channel][~image.missing])
    return pixels, missing


def _resized(old: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height with the longer side ``size``, or InputError."""
    if size < 2:
        raise InputError(f"--size {size} is too small: give 2 pixels or more")
    width, height = (max(1, math.floor(side * size / max(old) + 0.5)) for side in old)
    if width * height > MAX_PIXELS:
        raise InputError(f"--size {size} makes over {MAX_PIXELS:,} pixels: give a smaller size")
    return width, height


def _resized_pixels(image: Image, size: tuple[int, int]) -> NDArray[Any]:
    """Pixels at the new size, channel by channel."""
    old = image.pixels
    pixels = np.empty((size[1], size[0], image.channels), dtype=old.dtype)
    if not image.has_alpha or not old[..., -1].any():  # where all is clear, light shines all the same
        for channel in range(image.channels):
            _store(pixels[..., channel], _lanczos(old[..., channel], size), old[..., channel])
        return pixels
    top = np.float32(np.abs(old[..., -1]).max() if image.is_float else image.full_range[1]) or np.float32(1)
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
    if target.dtype != np.float32:
        target[...] = np.floor(np.clip(values, 0, np.iinfo(target.dtype).max) + 0.5)
    else:
        np.clip(values, old.min(), old.max(), out=target)
