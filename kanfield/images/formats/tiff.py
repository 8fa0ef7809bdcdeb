"""Reading and writing TIFF files."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError
from kanfield.images.formats.pillow import read_with_pillow
from kanfield.images.formats.quiet import quiet_native, quiet_tifffile
from kanfield.images.formats.raster import Raster, check_size, first_of, float_pixels
from kanfield.images.image import BANDS, Image, row_slices

if TYPE_CHECKING:
    from tifffile import TiffPage

# Numbers of the TIFF standard.
_INVERTED, _GRAY, _RGB = 0, 1, 2
_UNSIGNED, _FLOAT = 1, 3
_NUMBERS = {_UNSIGNED: "integer", 2: "signed integer", _FLOAT: "float", 5: "complex", 6: "complex"}
_COLOURS = {3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_DEPTHS = {(_UNSIGNED, 8), (_UNSIGNED, 16), (_FLOAT, 16), (_FLOAT, 32), (_FLOAT, 64)}
_PREMULTIPLIED = 1
_TILE = 2**20  # pixels of a tile; no smaller image needs a larger one
_ORIENTATION, _PROFILE = 274, 34675


def read_tiff(path: Path, data: bytes, max_pixels: int) -> Raster:
    """Decode the first picture of a TIFF file: gray or RGB of 8 or 16 bits or floats, or what Pillow reads.

    A damaged file raises whatever tifffile raises.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.

    Raises:
        InputError: The file is too large or of a kind that is not supported.

    >>> file = io.BytesIO()
    >>> write_tiff(file, Image(np.ones((2, 3, 4), dtype=np.uint16), "RGBA"))
    >>> read_tiff(Path("a.tif"), file.getvalue(), 100).pixels.shape
    (2, 3, 4)
    """
    import tifffile

    with quiet_tifffile(), tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        check_size(path, page.imagewidth, page.imagelength, max_pixels)
        if page.is_tiled and page.tilewidth * page.tilelength > max(max_pixels, _TILE):
            raise ValueError(f"tiles of {page.tilewidth} x {page.tilelength} pixels")
        if not _is_plain(path, page):
            with quiet_native():
                return read_with_pillow(path, data, max_pixels)
        _check_segments(page, len(data))
        pixels, notes = _plain(page, page.asarray(squeeze=False))
        orientation, profile = page.tags.valueof(_ORIENTATION, 1), page.tags.valueof(_PROFILE)
        return Raster(pixels, (*notes, *first_of(len(file.pages))), profile, int(orientation))


def write_tiff(file: BinaryIO, image: Image) -> None:
    """Write an image as TIFF, compressed without loss, with its colour profile."""
    import tifffile

    extra = ["unassalpha"] if image.has_alpha else []
    if image.mode == BANDS:
        extra = ["unspecified"] * (image.channels - 1)
    gray = image.channels == 1  # with a third axis it would be taken for many pages
    tifffile.imwrite(
        file,
        image.pixels[..., 0] if gray else image.pixels,
        photometric="rgb" if image.mode.startswith("RGB") else "minisblack",
        planarconfig=None if gray else "contig",
        extrasamples=extra,
        compression="deflate",
        predictor=True,
        iccprofile=image.icc_profile,
        metadata=None,
        software=False,
    )


def _is_plain(path: Path, page: TiffPage) -> bool:
    """Whether tifffile reads the picture here; False leaves it to Pillow; InputError where none can."""
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    space = {_INVERTED: "gray", _GRAY: "gray", _RGB: "RGB"}.get(page.photometric)
    if space and (page.sampleformat, page.bitspersample) in _DEPTHS:
        if page.samplesperpixel in {"gray": (1, 2), "RGB": (3, 4)}[space] and page.imagedepth == 1:
            return True
        raise InputError(
            f"{path} has {page.samplesperpixel} channels for {space} colours: kanfield reads these "
            "with or without alpha; convert it"
        )
    if bits <= 8 and page.sampleformat == _UNSIGNED:
        return False
    numbers = _NUMBERS.get(page.sampleformat, "other")
    space = space or _COLOURS.get(page.photometric, "other")
    raise InputError(
        f"{path} holds {bits}-bit {numbers} pixels of {space} colours: kanfield reads TIFF of gray and RGB "
        "colours with 8 or 16 bits or floats; convert it"
    )


def _check_segments(page: TiffPage, size: int) -> None:
    """Raise ValueError where strips or tiles are missing: tifffile would leave holes in the picture."""
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if len(ends) != math.prod(page.chunked) or 0 in page.databytecounts:
        raise ValueError("parts of the picture are missing")
    if max(ends) > size:
        raise ValueError(f"{max(ends) - size:,} bytes are missing")


def _plain(page: TiffPage, stored: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Pixels (height, width, channels) of one of our types, and notes on what changed."""
    planes, _, height, width, samples = stored.shape  # either planes or samples is 1
    pixels = stored.reshape(planes, height, width, samples)
    pixels = np.moveaxis(pixels[..., 0], 0, 2) if planes > 1 else pixels[0]
    pixels = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))
    if pixels.dtype.kind == "f":
        return float_pixels(pixels)
    notes: tuple[str, ...] = ()
    if page.photometric == _INVERTED:
        colours = pixels[..., :1]
        np.subtract(np.iinfo(pixels.dtype).max, colours, out=colours)
    if page.extrasamples and page.extrasamples[0] == _PREMULTIPLIED:
        _unmultiply(pixels)
        notes = ("Premultiplied colours divided by alpha.",)
    return pixels, notes


def _unmultiply(pixels: NDArray[Any]) -> None:
    """Divide integer colours by alpha, in place; where alpha is 0 there is no colour."""
    top = int(np.iinfo(pixels.dtype).max)
    for rows in row_slices(*pixels.shape[:2]):
        colours, alpha = pixels[rows, :, :-1], pixels[rows, :, -1:].astype(np.float32)
        full = np.divide(
            colours * np.float32(top), alpha, out=np.zeros(colours.shape, np.float32), where=alpha > 0
        )
        colours[...] = np.floor(np.minimum(full, top) + 0.5)
