"""Rectangles of a TIFF or BigTIFF file, of which only the strips or tiles they touch are read."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kanfield.images.formats.quiet import quiet_native, quiet_tifffile
from kanfield.images.formats.raster import Raster
from kanfield.images.formats.tiff import check_layout, check_segments, is_plain, plain_raster
from kanfield.images.formats.tiff_pictures import chosen_picture

_ORIENTATION = 274
_CONTIGUOUS = 1
_SEGMENT = 1 << 24  # pixels of a compressed strip, above which a rectangle would cost as much as the picture


class TiffWindows:
    """A picture of a TIFF file, open for reading rectangles of it.

    Args:
        path: The file.
        page: Which of its pictures, from 1; None for the first.

    Raises:
        ValueError: The picture is whole only when it is decoded as a whole: its channels lie in several
            pages, it has a mask or another orientation, or one strip holds nearly all of it.
        OSError: The file cannot be read; a damaged one raises whatever tifffile raises.

    Attributes:
        height: Pixel rows.
        width: Pixel columns.
    """

    def __init__(self, path: Path, page: int | None = None) -> None:
        import tifffile

        self._path = path
        self._file = open(path, "rb")  # noqa: SIM115  closed with the object
        try:
            with quiet_tifffile():
                self._picture = chosen_picture(path, tifffile.TiffFile(self._file), page)
                self._page = self._picture.planes[0].aspage()
            self._check()
        except BaseException:
            self._file.close()
            raise
        self.height, self.width = int(self._page.imagelength), int(self._page.imagewidth)

    def _check(self) -> None:
        page, picture = self._page, self._picture
        check_layout(self._path, page, max(1, page.imagewidth * page.imagelength))
        across = page.tilewidth if page.is_tiled else page.imagewidth
        down = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
        planar = page.planarconfig != _CONTIGUOUS and page.samplesperpixel > 1
        turned = page.tags.valueof(_ORIENTATION, 1) != 1
        if len(picture.planes) > 1 or picture.mask is not None or planar or turned or page.imagedepth != 1:
            raise ValueError("not a plain picture")
        if not is_plain(self._path, page) or (across * down > _SEGMENT and not page.is_memmappable):
            raise ValueError("not a picture of strips or tiles")
        check_segments(page, os.fstat(self._file.fileno()).st_size)
        self._segment = (int(down), int(across))

    def read(self, rows: slice, columns: slice) -> Raster:
        """A rectangle as :func:`kanfield.images.formats.tiff.read_tiff` gives the whole picture.

        Args:
            rows: Pixel rows, inside the picture.
            columns: Pixel columns, inside the picture.
        """
        with quiet_native(), quiet_tifffile():
            read = self._mapped if self._page.is_memmappable else self._decoded
            stored = read(rows, columns)
        stored = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("="))
        raster = plain_raster(self._page, self._picture, stored)
        return replace(raster, notes=(*raster.notes, *self._picture.notes))

    def _mapped(self, rows: slice, columns: slice) -> NDArray[Any]:
        page = self._page
        dtype = page.dtype
        assert dtype is not None
        shape = (self.height, self.width, page.samplesperpixel)
        order = page.parent.byteorder
        whole = np.memmap(self._path, dtype.newbyteorder(order), "r", offset=page.dataoffsets[0], shape=shape)
        return np.array(whole[rows, columns])

    def _decoded(self, rows: slice, columns: slice) -> NDArray[Any]:
        page, (down, across) = self._page, self._segment
        assert page.dtype is not None
        shape = (rows.stop - rows.start, columns.stop - columns.start, page.samplesperpixel)
        result = np.empty(shape, page.dtype)
        count = math.ceil(self.width / across)  # segments in a row of them
        for row in range(rows.start // down, math.ceil(rows.stop / down)):
            for column in range(columns.start // across, math.ceil(columns.stop / across)):
                index = row * count + column
                self._file.seek(page.dataoffsets[index])
                data = self._file.read(page.databytecounts[index])
                part, _, _ = page.decode(data, index, jpegtables=page.jpegtables)
                if part is None:
                    raise ValueError("parts of the picture are missing")
                top, left = row * down, column * across
                first, last = max(top, rows.start), min(top + part.shape[1], rows.stop)
                begin, end = max(left, columns.start), min(left + part.shape[2], columns.stop)
                target = result[first - rows.start : last - rows.start, begin - columns.start :]
                target[:, : end - begin] = part[0, first - top : last - top, begin - left : end - left]
        return result
