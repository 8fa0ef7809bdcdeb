"""The picture of a tiled run, read by windows as its settings say, and one look at all of it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image
from kanfield.images.windows import Windows
from kanfield.runs.input_image import (
    choose_bands,
    clipped_note,
    input_image,
    nodata_note,
    nodata_pixels,
    outside_range,
)
from kanfield.tiles.plan import Plan, Tile

_SAMPLED = 1 << 18  # pixels that stand for the picture where its values are judged


Reader: TypeAlias = Callable[[slice, slice], Image | None]


class Picture:
    """A picture of which windows are read, each prepared as the settings of the fit say.

    Args:
        height: Pixel rows.
        width: Pixel columns.
        read: Gives the image of rows and columns, or None where none of its pixels has a value.
        like: A blank image of the picture's kind, whose value range every window takes; None before it is
            known.
    """

    def __init__(self, height: int, width: int, read: Reader, like: Image | None = None) -> None:
        self.height, self.width = height, width
        self._read, self._like = read, like

    def window(self, rows: slice, columns: slice) -> Image | None:
        """The image of some rows and columns; None where none of its pixels has a value.

        Raises:
            InputError: This part of the file is damaged.
        """
        image = self._read(rows, columns)
        if image is None or self._like is None:
            return image
        return _part(self._like, image.pixels, image.missing)


class FileReader:
    """Reads windows of a file for a :class:`Picture`.

    Args:
        windows: Of the file.
        settings: Of the fit.
        hidden: Gives which pixels of rows and columns are missing besides, or None.
    """

    def __init__(
        self,
        windows: Windows,
        settings: Settings,
        hidden: Callable[[slice, slice], NDArray[np.bool_]] | None = None,
    ) -> None:
        self._windows, self._settings, self._hidden = windows, settings, hidden
        self._local = replace(settings, bands=None, nodata=None, mask=None, size=None, tonemap=None)
        self._of_file: tuple[str, ...] = ()
        self._has_nodata, self._clipped = settings.nodata is None, 0

    def __call__(self, rows: slice, columns: slice) -> Image | None:
        """The image of rows and columns; see :class:`Picture`."""
        image = self._windows.read(rows, columns)
        if image is None:
            return None
        if self._settings.bands is not None:
            image = choose_bands(image, self._settings.bands)
        self._of_file = image.notes
        nodata = nodata_pixels(image, self._settings.nodata)
        self._has_nodata = self._has_nodata or (nodata is not None and bool(nodata.any()))
        hidden = None if self._hidden is None else self._hidden(rows, columns)
        known = _part(image, image.pixels, image.missing, nodata, hidden)
        if known is None:
            return None
        if self._settings.value_range is not None:
            self._clipped += int(outside_range(known, self._settings.value_range).any(axis=2).sum())
        return replace(input_image(known, self._local), notes=())

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know of all windows that were read so far."""
        notes = list(self._of_file)
        if not self._has_nodata and self._settings.nodata is not None:
            notes.append(nodata_note(self._settings.nodata))
        if self._clipped and self._settings.value_range is not None:
            notes.append(clipped_note(self._clipped, self._settings.value_range))
        return tuple(notes)


def image_reader(image: Image) -> Reader:
    """What cuts windows from an image in memory."""

    def read(rows: slice, columns: slice) -> Image | None:
        missing = None if image.missing is None else image.missing[rows, columns]
        return _part(image, image.pixels[rows, columns], missing)

    return read


def stored_reader(pixels: Path, missing: Path, like: Image) -> Reader:
    """What reads windows of a decoded picture, kept as .npy files in its run folder.

    Args:
        pixels: Shape ``(height, width, channels)``.
        missing: Shape ``(height, width)``, True where pixels have no value; may not exist.
        like: Image of the picture's kind.
    """

    def read(rows: slice, columns: slice) -> Image | None:
        hidden = stored_window(missing, rows, columns) if missing.is_file() else None
        return _part(like, stored_window(pixels, rows, columns), hidden)

    return read


def stored_window(path: Path, rows: slice, columns: slice) -> NDArray[Any]:
    """Rows and columns of an array in a .npy file."""
    # Mapped anew each time, so that what was read before does not count as this process's memory.
    return np.array(np.load(path, mmap_mode="r")[rows, columns])


def _part(like: Image, pixels: NDArray[Any], *missing: NDArray[np.bool_] | None) -> Image | None:
    """Pixels as an image of some kind, without those that are missing; None where none is left."""
    masks = [mask for mask in missing if mask is not None]
    hidden = np.logical_or.reduce(masks) if masks else None
    if hidden is not None and hidden.all():
        return None
    return replace(like, pixels=pixels, missing=hidden)


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
            pixels, seen = _columns(band, plan.core(tile)[1])
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
        samples.append(values[::every].copy())  # a view would keep all of the band
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


def _columns(band: Image | None, columns: slice) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
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
