"""Reading and writing TIFF files."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError
from kanfield.images.checks import BANDS
from kanfield.images.formats.pillow import read_with_pillow
from kanfield.images.formats.quiet import quiet_native, quiet_tifffile
from kanfield.images.formats.raster import Raster, check_size, first_of, supported_pixels
from kanfield.images.formats.tiff_pictures import (
    GDAL_METADATA,
    MASK,
    Picture,
    chosen_picture,
    gdal_bands,
    gdal_metadata,
)
from kanfield.images.image import Image, row_slices

if TYPE_CHECKING:
    from tifffile import TiffPage

# Numbers of the TIFF standard.
_INVERTED, _GRAY, _RGB = 0, 1, 2
_UNSIGNED, _SIGNED, _FLOAT = 1, 2, 3
_NUMBERS = {_UNSIGNED: "integer", _SIGNED: "signed integer", _FLOAT: "float", 5: "complex", 6: "complex"}
_COLOURS = {3: "palette", 4: "mask", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_SENSOR = {32803, 34892}  # what a camera's sensor saw
_PREMULTIPLIED, _ALPHA = 1, {1, 2}
_TILE = 2**20  # pixels of a tile; no smaller image needs a larger one
# The most bytes of pixels that a byte can hold: packed bits take eight times their room, and of the
# compressions LZW, deflate (twice) and PackBits have a bound.
_EXPANSION = {1: 8, 5: 8 * 4096, 8: 8 * 1032, 32946: 8 * 1032, 32773: 8 * 64}
_ORIENTATION, _HIGHEST, _PROFILE, _NODATA = 274, 281, 34675, 42113
_ALWAYS: dict[str, Any] = {"compression": "deflate", "metadata": None, "software": False}


def read_tiff(path: Path, data: bytes, max_pixels: int, page: int | None = None) -> Raster:
    """Decode the main picture of a TIFF file: gray, RGB or other bands, or what Pillow reads.

    Pixels without a value, by GDAL's no-data tag or a mask in the file, are missing. A damaged file raises
    whatever tifffile raises.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.
        page: Which of several pictures, from 1; None for the first.

    Raises:
        InputError: The file is too large or of a kind that is not supported.

    >>> file = io.BytesIO()
    >>> write_tiff(file, Image(np.ones((2, 3, 4), dtype=np.uint16), "RGBA"))
    >>> read_tiff(Path("a.tif"), file.getvalue(), 100).pixels.shape
    (2, 3, 4)
    """
    import tifffile

    with quiet_tifffile(), tifffile.TiffFile(io.BytesIO(data)) as file:
        picture = chosen_picture(path, file, page)
        first = picture.planes[0].aspage()
        check_layout(path, first, max_pixels)
        if is_plain(path, first):
            raster = plain_raster(first, picture, _stored(picture, len(data)))
        elif picture.index is None:
            raise InputError(f"{path} has its picture below a preview: save it as a TIFF of one picture")
        else:
            with quiet_native():
                raster = read_with_pillow(path, data, max_pixels, picture.index + 1)
        missing = raster.missing
        if picture.mask is not None:
            check_layout(path, picture.mask, max_pixels)
            check_segments(picture.mask, len(data))
            hidden = picture.mask.asarray(squeeze=False).reshape(raster.pixels.shape[:2]) == 0
            missing = hidden if missing is None else missing | hidden
        return replace(raster, missing=missing, notes=(*raster.notes, *picture.notes))


def write_tiff(file: BinaryIO, image: Image) -> None:
    """Write an image as TIFF, compressed without loss.

    Its colour profile, the names of its bands, which of its pixels are missing, and how many bits its
    integers use are kept where GDAL and others look for them.
    """
    import tifffile

    gray = image.channels == 1  # with a third axis it would be taken for many pages
    with tifffile.TiffWriter(file) as tiff:
        options = tiff_options(image) | ({"planarconfig": None} if gray else {})
        tiff.write(image.pixels[..., 0] if gray else image.pixels, **options)
        if image.missing is not None:
            tiff.write(~image.missing, photometric="mask", subfiletype=MASK, **_ALWAYS)


def tiff_options(image: Image) -> dict[str, Any]:
    """How tifffile is to write an image's kind of pixels, whoever gives them.

    Args:
        image: Of the kind, or a blank one.

    Returns:
        Keywords of ``tifffile.TiffWriter.write``.
    """
    extra = ["unassalpha"] if image.has_alpha else []
    if image.mode == BANDS:
        extra = ["unspecified"] * (image.channels - 1)
    tags: list[Any] = []
    if image.bands or image.mode == BANDS:
        tags.append((GDAL_METADATA, "s", 0, gdal_metadata(image.bands, image.channels, image.mode), True))
    if image.bits == 16 and image.value_range != image.full_range and _is_depth(image.value_range[1]):
        tags.append((_HIGHEST, "H", image.channels, (int(image.value_range[1]),) * image.channels, True))
    return _ALWAYS | {
        "photometric": "rgb" if image.mode.startswith("RGB") else "minisblack",
        "planarconfig": "contig",
        "extrasamples": extra,
        "predictor": True,
        "iccprofile": image.icc_profile,
        "extratags": tags,
    }


def check_layout(path: Path, page: TiffPage, max_pixels: int) -> None:
    """Refuse a page, as its tags claim it to be, that is too large to decode."""
    check_size(path, page.imagewidth, page.imagelength, max_pixels)
    if page.is_tiled and page.tilewidth * page.tilelength > max(max_pixels, _TILE):
        raise ValueError(f"tiles of {page.tilewidth} x {page.tilelength} pixels")


def is_plain(path: Path, page: TiffPage) -> bool:
    """Whether tifffile reads the picture here; False leaves it to Pillow; InputError where none can."""
    if page.photometric in _SENSOR or path.suffix.lower() == ".cr2":
        raise InputError(f"{path} is a raw camera file: develop it with a raw converter and save it as TIFF")
    bits = page.bitspersample if isinstance(page.bitspersample, int) else max(page.bitspersample)
    space = {_INVERTED: "gray", _GRAY: "gray", _RGB: "RGB"}.get(page.photometric)
    known = page.sampleformat in {_UNSIGNED, _SIGNED, _FLOAT} and isinstance(page.bitspersample, int)
    if space and known and page.dtype is not None and (bits >= 8 or page.samplesperpixel > 4):
        return True
    if bits <= 8 and page.sampleformat == _UNSIGNED:
        return False
    numbers = _NUMBERS.get(page.sampleformat, "other")
    space = space or _COLOURS.get(page.photometric, "other")
    raise InputError(
        f"{path} holds {bits}-bit {numbers} pixels of {space} colours: kanfield reads TIFF of gray, RGB and "
        "other bands with integers or floats; convert it"
    )


def check_segments(page: TiffPage, size: int) -> None:
    """Raise ValueError where strips, tiles or bytes are missing: tifffile would leave holes."""
    ends = [offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)]
    if len(ends) != math.prod(page.chunked) or 0 in page.databytecounts:
        raise ValueError("parts of the picture are missing")
    if max(ends) > size:
        raise ValueError(f"{max(ends) - size:,} bytes are missing")
    if page.nbytes > _EXPANSION.get(page.compression, math.inf) * sum(page.databytecounts):
        raise ValueError(f"{sum(page.databytecounts):,} bytes cannot hold {page.nbytes:,} bytes of pixels")


def _stored(picture: Picture, size: int) -> NDArray[Any]:
    """The samples as they are stored, shape ``(height, width, channels)``."""
    planes = []
    for page in picture.planes:
        check_segments(page, size)
        stored = page.asarray(squeeze=False)[:, 0]  # of a volume the first slice
        # Either the first or the last axis is 1.
        planes.append(np.moveaxis(stored[..., 0], 0, 2) if len(stored) > 1 else stored[0])
    pixels = planes[0] if len(planes) == 1 else np.concatenate(planes, axis=2)
    return np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("="))


def plain_raster(page: TiffPage, picture: Picture, pixels: NDArray[Any]) -> Raster:
    """The pixels as one of our types, with what their channels are and which of them have no value."""
    notes = first_of(page.imagedepth)
    missing = _no_data(page, pixels)
    highest = 2**page.bitspersample - 1
    if page.photometric == _INVERTED and pixels.dtype.kind == "u":
        np.subtract(highest, pixels[..., :1], out=pixels[..., :1])
    descriptions, colours = gdal_bands(page)
    channels, names = pixels.shape[2], picture.names
    if not names and len(descriptions) == channels:
        names = tuple(descriptions[place] for place in range(channels))
    alphas = [kind for kind in page.extrasamples if kind in _ALPHA][:1]
    has_alpha = bool(alphas) and page.extrasamples[-1] in _ALPHA
    plain = channels - has_alpha
    mode = BANDS + "A" * has_alpha
    declared = len(colours) == channels and not {"red", "gray"} & {name.lower() for name in colours.values()}
    if channels == 1 or (len(picture.planes) == 1 and not (declared and page.photometric == _GRAY)):
        mode = {1: "L", 3: "RGB"}.get(plain, BANDS) + "A" * has_alpha
    if mode.startswith("RGB") and page.photometric != _RGB:
        order = [
            next((place for place, name in colours.items() if name.lower() == colour), None)
            for colour in ("red", "green", "blue")
        ]
        if sorted(place for place in order if place is not None) == [0, 1, 2]:
            sequence = [*(place for place in order if place is not None), *range(3, channels)]
            pixels = pixels[..., sequence]
            names = tuple(names[place] for place in sequence) if names else ()
        notes += ("Three bands taken for red, green and blue.",)
    if mode == f"{BANDS}A":  # bands have no alpha: what is transparent has no value
        clear = pixels[..., -1] == 0
        missing = clear if missing is None else missing | clear
        pixels, mode, names = pixels[..., :-1], BANDS, names[:-1]
        notes += ("Transparent pixels count as missing.",)
    elif alphas == [_PREMULTIPLIED] and has_alpha and pixels.dtype.kind == "u":
        _unmultiply(pixels)
        notes += ("Premultiplied colours divided by alpha.",)
    pixels, converted = supported_pixels(pixels)
    orientation, profile = page.tags.valueof(_ORIENTATION, 1), page.tags.valueof(_PROFILE)
    return Raster(
        np.ascontiguousarray(pixels),
        (*converted, *notes),
        profile if isinstance(profile, bytes) else None,  # whatever a broken tag gives
        orientation if isinstance(orientation, int) else 1,
        mode,
        missing,
        names,
        _highest(page) if pixels.dtype == np.uint16 else None,
    )


def _highest(page: TiffPage) -> int | None:
    """The highest value of 16-bit samples of which the file says that they use fewer bits."""
    stored = page.tags.valueof(_HIGHEST, 0)
    value: object = stored[0] if isinstance(stored, tuple) and stored else stored
    if page.bitspersample < 16:
        return (1 << int(page.bitspersample)) - 1
    # Others are the highest of this picture, not of what could be.
    return value if isinstance(value, int) and _is_depth(value) else None


def _is_depth(highest: float) -> bool:
    """Whether this is the highest value of 8 to 15 bits."""
    return highest in {2**bits - 1 for bits in range(8, 16)}


def _no_data(page: TiffPage, pixels: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where GDAL's tag says that pixels have no value, or None where it says nothing."""
    try:
        value = float(str(page.tags.valueof(_NODATA, "")).strip(" \0"))
    except ValueError:
        return None
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            same = pixels == pixels.dtype.type(value)
    else:
        same = pixels == value
    # Unsigned integers are often colours, of which one alone may well be such a value.
    missing: NDArray[np.bool_] = same.all(axis=2) if pixels.dtype.kind == "u" else same.any(axis=2)
    return missing


def _unmultiply(pixels: NDArray[Any]) -> None:
    """Divide integer colours by alpha, in place; where alpha is 0 there is no colour."""
    top = int(np.iinfo(pixels.dtype).max)
    for rows in row_slices(*pixels.shape[:2]):
        colours, alpha = pixels[rows, :, :-1], pixels[rows, :, -1:].astype(np.float32)
        full = np.divide(
            colours * np.float32(top), alpha, out=np.zeros(colours.shape, np.float32), where=alpha > 0
        )
        colours[...] = np.floor(np.minimum(full, top) + 0.5)
