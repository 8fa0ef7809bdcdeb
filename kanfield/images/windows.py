"""Rectangles of image files that are larger than memory: TIFF, BigTIFF and NumPy's .npy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError
from kanfield.images.formats.npy import NPY, array_raster, check_array
from kanfield.images.formats.raster import Raster
from kanfield.images.formats.tiff_windows import TiffWindows
from kanfield.images.image import Image
from kanfield.images.read import TIFF, image_of


class _Source(Protocol):
    height: int
    width: int

    def read(self, rows: slice, columns: slice) -> Raster: ...


class Windows:
    """An image file, of which rectangles are read; nothing else of it is ever in memory.

    Args:
        path: The file.
        source: What decodes its rectangles.

    Attributes:
        height: Pixel rows.
        width: Pixel columns.
        decoded: Where the pixels of the file lie, if elsewhere.
    """

    def __init__(self, path: Path, source: _Source) -> None:
        self.path, self._source = path, source
        self.decoded: Path | None = None
        self.height, self.width = source.height, source.width

    def read(self, rows: slice, columns: slice) -> Image | None:
        """A rectangle as :func:`kanfield.read_image` gives the whole picture.

        Args:
            rows: Pixel rows, inside the picture.
            columns: Pixel columns, inside the picture.

        Returns:
            The image of ``rows`` and ``columns``; None where none of its pixels has a value. The value range
            of floats is that of the rectangle.

        Raises:
            InputError: This part of the file is damaged.
        """
        try:
            raster = self._source.read(rows, columns)
        except Exception as error:  # whatever a damaged file makes decoders raise
            reason = " ".join(str(error).split()) or type(error).__name__
            where = f"rows {rows.start} to {rows.stop}, columns {columns.start} to {columns.stop}"
            raise InputError(
                f"{self.path} is truncated or damaged at {where} ({reason}): save it again"
            ) from None
        missing = _missing(raster)
        if missing.all():
            return None
        return image_of(self.path, replace(raster, missing=missing if missing.any() else None))


class _NpyFile:
    """An array of shape ``(height, width)`` or ``(height, width, channels)`` in a .npy file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        array = check_array(path, self._open())
        self.height, self.width = int(array.shape[0]), int(array.shape[1])

    def _open(self) -> Any:
        return np.load(self._path, mmap_mode="r", allow_pickle=False)

    def read(self, rows: slice, columns: slice) -> Raster:
        # Mapped anew each time, so that what was read before does not count as this process's memory.
        return array_raster(np.array(self._open()[rows, columns]))


def open_windows(path: Path, page: int | None = None) -> Windows | None:
    """Open an image file for reading rectangles.

    Args:
        path: The file, which can be read more than once.
        page: Which of several pictures, from 1; None for the first.

    Returns:
        None where the file is of another format, or has to be decoded as a whole.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/a.npy", np.arange(12, dtype=np.uint8).reshape(3, 4))
    ...     open_windows(Path(folder, "a.npy")).read(slice(1, 2), slice(0, 3)).pixels.ravel().tolist()
    [4, 5, 6]
    """
    try:
        with open(path, "rb") as file:
            begins = file.read(8)
        if begins.startswith(TIFF):
            return Windows(path, TiffWindows(path, page))
        if begins.startswith(NPY) and page in (None, 1):
            return Windows(path, _NpyFile(path))
    except Exception:  # whatever is wrong with it, reading it as a whole says so in words
        return None
    return None


def _missing(raster: Raster) -> NDArray[np.bool_]:
    """Pixels without a value, shape ``(height, width)``."""
    missing = np.zeros(raster.pixels.shape[:2], bool) if raster.missing is None else raster.missing
    if raster.pixels.dtype.kind == "f":
        missing = missing | ~np.isfinite(raster.pixels).all(axis=2)
    return missing
