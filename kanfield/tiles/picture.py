"""The picture of a tiled run, read by windows as its settings say, and one look at all of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image
from kanfield.images.windows import Windows
from kanfield.runs.input_image import choose_bands, input_image
from kanfield.tiles.plan import Plan, Tile

_SAMPLED = 1 << 18  # pixels that stand for the picture where its values are judged


class Picture:
    """A picture of which windows are read, each prepared as the settings of the fit say.

    Args:
        height: Pixel rows.
        width: Pixel columns.
        read: Gives the image of rows and columns, or None where none of its pixels has a value.
        mask: A .npy file of the picture's size that is True where pixels are missing, or None.
        like: A blank image of the picture's kind, whose value range every window takes; None before it is
            known.
    """

    def __init__(
        self,
        height: int,
        width: int,
        read: Callable[[slice, slice], Image | None],
        mask: Path | None = None,
        like: Image | None = None,
    ) -> None:
        self.height, self.width = height, width
        self._read, self._mask, self._like = read, mask, like

    def window(self, rows: slice, columns: slice) -> Image | None:
        """The image of some rows and columns; None where none of its pixels has a value.

        Raises:
            InputError: This part of the file is damaged.
        """
        image = self._read(rows, columns)
        if image is None:
            return None
        missing = image.missing
        if self._mask is not None:
            masked = np.array(np.load(self._mask, mmap_mode="r")[rows, columns])
            missing = masked if missing is None else missing | masked
        if missing is not None and missing.all():
            return None
        if self._like is None:
            return replace(image, missing=missing, notes=())
        return replace(
            self._like.with_pixels(image.pixels), missing=missing, value_range=self._like.value_range
        )


def file_reader(windows: Windows, settings: Settings) -> Callable[[slice, slice], Image | None]:
    """What reads windows of a file for a :class:`Picture`."""
    local = replace(settings, bands=None, mask=None, size=None, tonemap=None)

    def read(rows: slice, columns: slice) -> Image | None:
        image = windows.read(rows, columns)
        if image is None:
            return None
        if settings.bands is not None:
            image = choose_bands(image, settings.bands)
        if settings.nodata is not None and (image.pixels == settings.nodata).any(axis=2).all():
            return None
        return input_image(image, local)

    return read


def stored_reader(pixels: Path, missing: Path, like: Image) -> Callable[[slice, slice], Image | None]:
    """What reads windows of a decoded picture, kept as .npy files in its run folder.

    Args:
        pixels: Shape ``(height, width, channels)``.
        missing: Shape ``(height, width)``, True where pixels have no value; may not exist.
        like: Image of the picture's kind.
    """

    def read(rows: slice, columns: slice) -> Image | None:
        # Mapped anew each time, so that what was read before does not count as this process's memory.
        part = np.array(np.load(pixels, mmap_mode="r")[rows, columns])
        hidden = np.array(np.load(missing, mmap_mode="r")[rows, columns]) if missing.is_file() else None
        if hidden is not None and hidden.all():
            return None
        return replace(like.with_pixels(part), missing=hidden, value_range=like.value_range)

    return read


@dataclass
class Survey:
    """What one look at all pixels found.

    Attributes:
        summary: An image of some pixels, one under the other, and of the lowest and highest values.
        known: Pixels that have a value.
        checks: Of every tile by name, a checksum of its core's pixels.
        spread: Of every tile, the variance of its core's pixels: a measure of what there is to learn.
    """

    summary: Image
    known: int
    checks: dict[str, int]
    spread: dict[str, float]


def survey(picture: Picture, plan: Plan) -> Survey:
    """Look at all pixels once, a row of tiles at a time.

    Raises:
        InputError: A part of the file is damaged, or no pixel has a value.
    """
    every = max(1, plan.height * plan.width // _SAMPLED)
    samples, lows, highs = [], [], []
    like, known, checks, spread = None, 0, {}, {}
    for row in range(plan.rows.count):
        rows = plan.core(Tile(row, 0))[0]
        band = picture.window(rows, slice(0, plan.width))
        for column in range(plan.columns.count):
            tile = Tile(row, column)
            pixels, seen = _part(band, plan.core(tile)[1])
            checks[tile.name] = checksum(pixels, seen)
            values = pixels[seen]
            spread[tile.name] = float(values.astype(np.float64).var(axis=0).mean()) if len(values) else 0.0
        if band is None:
            continue
        like = _like(like, band)
        values = band.pixels.reshape(-1, band.channels)
        if band.missing is not None:
            values = values[~band.missing.ravel()]
        known += len(values)
        samples.append(values[::every])
        lows.append(values.min(axis=0))
        highs.append(values.max(axis=0))
    if like is None:
        raise InputError("the picture has no known pixel, all are missing: give another")
    found = np.concatenate([*samples, np.min(lows, axis=0)[None], np.max(highs, axis=0)[None]])
    summary = replace(like, pixels=found[:, None, :], missing=None)
    if like.is_float:
        summary = replace(summary, value_range=summary.used_range)
    return Survey(summary, known, checks, spread)


def checksum(pixels: NDArray[np.generic], seen: NDArray[np.bool_]) -> int:
    """A checksum of pixels and of which of them have a value."""
    return zlib.crc32(np.packbits(seen).tobytes(), zlib.crc32(np.ascontiguousarray(pixels).tobytes()))


def _part(band: Image | None, columns: slice) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Pixels of some columns, and which of them have a value; none of a band that has none."""
    if band is None:
        return np.zeros((0, 1), np.uint8), np.zeros(0, bool)
    pixels = band.pixels[:, columns]
    seen = np.ones(pixels.shape[:2], bool) if band.missing is None else ~band.missing[:, columns]
    return pixels, seen


def _like(before: Image | None, band: Image) -> Image:
    """The kind of all bands so far; a file that uses more than it declares is believed in what it uses."""
    wider = before is not None and not band.is_float and before.value_range != band.value_range
    return replace(band, value_range=band.full_range) if wider else before or band
