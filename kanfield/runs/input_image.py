"""The image that a fit sees: the bands, missing pixels, size and range that its settings ask for."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import (
    BANDS,
    MAX_PIXELS,
    MODES,
    Image,
    log_curve,
    missing_pixels,
    read_image,
    resize_image,
)

# Settings that decide what a fit sees.
INPUT_KEYS = ("size", "max_pixels", "page", "bands", "nodata", "mask", "value_range", "tonemap", "alpha")
_SMALL_PART = 1 / 8  # of what 16 bits can hold: a camera of 12 bits fills a sixteenth
_FEW = 0.05  # of the range, in which nearly all values lie: the rest decides what decibels count against
_SAMPLED = 1 << 20  # values that are enough to judge that


def input_image(source: str | os.PathLike[str] | Image, settings: Settings) -> Image:
    """Read an image and prepare it as the settings of a fit say.

    Args:
        source: A file, or an image.
        settings: Of these the :data:`INPUT_KEYS`.

    Raises:
        InputError: The image or its mask cannot be read, a setting does not fit them, or no pixel is left.

    >>> gray = Image(np.array([[[0], [7], [9]]], dtype=np.uint8), "L")
    >>> input_image(gray, Settings(nodata=7)).missing.tolist()
    [[False, True, False]]
    """
    image = source if isinstance(source, Image) else _read(source, settings, settings.page)
    if settings.bands is not None:
        image = choose_bands(image, settings.bands)
    missing = nodata_pixels(image, settings.nodata)
    if settings.nodata is not None and missing is not None and not missing.any():
        image = _noted(image, nodata_note(settings.nodata))
    image = _without(image, missing)
    mask = read_mask(settings)
    fits = mask is not None and (mask.height, mask.width) == (image.height, image.width)
    if mask is not None and fits:
        image = _without(image, missing_pixels(mask, image, str(settings.mask)))
    original = image
    if settings.size is not None:
        image = resize_image(image, settings.size)
    if mask is not None and not fits:  # a mask of the size that is fitted; runs of earlier versions keep such
        of_size = (mask.height, mask.width) == (image.height, image.width)
        image = _without(image, missing_pixels(mask, image if of_size else original, str(settings.mask)))
    if settings.value_range is not None:
        image = _clipped(image, settings.value_range)
    if settings.tonemap == "log":
        known = image.pixels if image.missing is None else image.pixels[~image.missing]
        image = replace(image, log_scale=log_curve.scale_of(known))
    return _premultiplied(image) if settings.alpha == "premultiplied" else image


def with_defaults(settings: Settings, image: Image) -> tuple[Settings, Image]:
    """Decide what the settings leave to the image, for its runs to keep, and note what users should know.

    Args:
        settings: Of a fit that begins.
        image: What :func:`input_image` made of them.

    Returns:
        The settings with their gaps filled, and the image as these say.
    """
    if image.has_alpha and not image.is_float and settings.alpha is None:
        settings = replace(settings, alpha="straight" if settings.lossless else "premultiplied")
        if settings.lossless:
            # Of a colour times an alpha of a few levels, rounding would leave too little.
            image = _noted(image, "Colours are fitted as they are, not times alpha: --lossless needs each.")
        else:
            image = _premultiplied(image)
    if not image.is_float and settings.value_range is None:
        if settings.tonemap is None:
            image = _used_part(image)
        if image.value_range != image.full_range:  # declared, or the part in use
            settings = replace(settings, value_range=list(image.value_range))
            image = _clipped(image, image.value_range)  # as a run that goes on finds it
    warning = _concentrated(image) if settings.tonemap is None else None
    return settings, image if warning is None else _noted(image, warning)


def _used_part(image: Image) -> Image:
    """16-bit pixels that use a small part of what 16 bits can hold, in the range of that part."""
    (low, high), (lowest, highest) = image.used_range, image.full_range
    small = image.bits == 16 and high - low < _SMALL_PART * (highest - lowest)
    if not small or image.value_range != image.full_range or _constant(image):
        return image
    note = (
        f"Values {low:,.0f} to {high:,.0f} of {lowest:,.0f} to {highest:,.0f}: decibels count against "
        f"{high - low:,.0f}; --value-range {lowest:.0f},{highest:.0f} counts against {highest:,.0f}."
    )
    return _noted(replace(image, value_range=(low, high)), note)


def read_mask(settings: Settings) -> Image | None:
    """The picture that ``mask`` names, in its own size; None without one."""
    return None if settings.mask is None else _read(settings.mask, settings)


def _read(path: str | os.PathLike[str], settings: Settings, page: int | None = None) -> Image:
    """A file in its own size."""
    return read_image(path, max_pixels=settings.max_pixels or MAX_PIXELS, page=page)


def choose_bands(image: Image, wanted: Sequence[str]) -> Image:
    """Some channels of an image, in the order that is asked for.

    Args:
        image: What to choose from.
        wanted: Numbers from 1, or names.

    Raises:
        InputError: There is no such band, or none is asked for.

    >>> image = Image(np.zeros((1, 2, 6), dtype=np.uint8), "bands", bands=tuple("abcdef"))
    >>> choose_bands(image, ["4", "c", "2"]).bands
    ('d', 'c', 'b')
    """
    names = image.band_names
    lower = [name.casefold() for name in names]
    chosen = []
    for word in wanted:
        if word.isdecimal() and 1 <= int(word) <= image.channels:
            chosen.append(int(word) - 1)
        elif word.casefold() in lower:
            chosen.append(lower.index(word.casefold()))
        else:
            known = f"numbers from 1 to {image.channels}"
            known += "" if names[0] == "1" else ", or names: " + ", ".join(names)
            raise InputError(f"--bands: there is no band {word!r}: give {known}")
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError("--bands: give each band once, such as 4,3,2")
    if chosen == list(range(image.channels)):
        return image
    mode = MODES[len(chosen)] if len(chosen) in (1, 3) else BANDS
    bands = tuple(names[number] for number in chosen)
    picked = np.ascontiguousarray(image.pixels[..., chosen])
    changed = replace(image, pixels=picked, mode=mode, bands=bands, icc_profile=None)
    changed = _noted(changed, f"Bands {', '.join(bands)} of {image.channels}.")
    return replace(changed, value_range=changed.used_range) if image.is_float else changed


def nodata_pixels(image: Image, value: float | None) -> NDArray[np.bool_] | None:
    """Pixels of which a band has the value that stands for none.

    Args:
        image: Any.
        value: What stands for a missing pixel, or None.

    Returns:
        bool ``(height, width)``, or None where no value is given or NaN, which is missing anyway.

    >>> gray = Image(np.array([[[0], [7]]], dtype=np.uint8), "L")
    >>> nodata_pixels(gray, 7).tolist()
    [[False, True]]
    """
    if value is None or math.isnan(value):  # NaN pixels are missing anyway
        return None
    with np.errstate(over="ignore"):
        same = image.pixels == (np.float32(value) if image.is_float else value)
    # As GDAL has it, every band has such a value; a pixel needs all of its bands.
    found: NDArray[np.bool_] = same.any(axis=2)
    return found


def _without(image: Image, missing: NDArray[np.bool_] | None) -> Image:
    """The image with more pixels missing; the range of floats is that of the rest."""
    if missing is None or not missing.any():
        return image
    missing = missing.reshape(image.height, image.width)
    changed = replace(image, missing=missing if image.missing is None else missing | image.missing)
    return replace(changed, value_range=changed.used_range) if image.is_float else changed


def _clipped(image: Image, value_range: Sequence[float]) -> Image:
    """The image in a range of its own; values outside become its ends."""
    low, high = value_range
    outside = outside_range(image, value_range)
    if outside.any():
        ends = (low, high) if image.is_float else (math.ceil(low), math.floor(high))
        pixels = np.clip(image.pixels.astype(np.float64), *ends).astype(image.pixels.dtype)
        note = clipped_note(int(outside.any(axis=2).sum()), value_range)
        image = _noted(replace(image, pixels=pixels), note)
    return replace(image, value_range=(float(low), float(high)))


def outside_range(image: Image, value_range: Sequence[float]) -> NDArray[np.bool_]:
    """Known values below or above a range.

    Args:
        image: Any.
        value_range: Lowest and highest.

    Returns:
        bool, the shape of the pixels.

    >>> gray = Image(np.array([[[0], [7], [9]]], dtype=np.uint8), "L")
    >>> outside_range(gray, (1, 8)).ravel().tolist()
    [True, False, True]
    """
    low, high = value_range
    outside: NDArray[np.bool_] = (image.pixels < low) | (image.pixels > high)
    if image.missing is not None:
        outside &= ~image.missing[..., None]
    return outside


def nodata_note(value: float) -> str:
    """What a user should know where ``--nodata`` changes nothing."""
    return f"No pixel has the value {value:g} of --nodata."


def clipped_note(count: int, value_range: Sequence[float]) -> str:
    """What a user should know of so many pixels that ``--value-range`` does not hold."""
    low, high = value_range
    return f"{count:,} pixels have values outside of {low:g} to {high:g}, which count as its ends."


def _premultiplied(image: Image) -> Image:
    """The image to be fitted times alpha: what is transparent then has no colour."""
    if image.is_float or not image.has_alpha:
        return image
    pixels = image.pixels * (image.pixels[..., -1:] > 0)
    return replace(image, pixels=pixels, premultiplied=True)


def _concentrated(image: Image) -> str | None:
    """A warning where nearly all values lie in a small part of the range, so that decibels say little."""
    known = image.pixels if image.missing is None else image.pixels[~image.missing]
    colours = known[..., : image.channels - image.has_alpha]
    some = colours.ravel()[:: max(1, known.size // _SAMPLED)].astype(np.float64)
    first, last = np.quantile(some, [0.005, 0.995]).tolist()
    low, high = image.value_range
    if last - first >= _FEW * (high - low) or colours.min() == colours.max():
        return None
    flat = -10 * math.log10(max(float((some / (high - low)).var()), 1e-15))
    return (
        f"Nearly all values lie from {first:.4g} to {last:.4g} of {low:.6g} to {high:.6g}, so that a flat "
        f"gray would have {flat:.0f} dB: give --tonemap log, or --value-range LOW,HIGH."
    )


def _constant(image: Image) -> bool:
    known = image.pixels if image.missing is None else image.pixels[~image.missing]
    return bool(known.min() == known.max())


def _noted(image: Image, note: str) -> Image:
    return replace(image, notes=(*image.notes, note))
