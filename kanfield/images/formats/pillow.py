"""Image files that Pillow decodes, and 16-bit PNG, whose pixels it would cut to 8 bits."""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from kanfield.errors import InputError
from kanfield.images.checks import MODES
from kanfield.images.formats.foreign import foreign_format, remedy
from kanfield.images.formats.metadata import without_metadata
from kanfield.images.formats.quiet import quiet_native
from kanfield.images.formats.raster import Raster, check_size, chosen_page
from kanfield.images.image import Image, row_slices

# All but those that need another program or hold no plain pixels. MPO: a JPEG with extra pictures.
_FORMATS = {"PNG", "JPEG", "MPO", "WEBP", "BMP", "DIB", "GIF", "PPM", "TIFF", "AVIF", "JPEG2000"}
_FORMATS |= {"ICO", "ICNS", "PSD", "TGA", "PCX", "SGI", "SUN", "QOI", "DDS", "XBM"}
_ORIENTATION = 0x0112
_NAMES = {
    "P": "Palette colours",
    "PA": "Palette colours",
    "1": "1-bit pixels",
    "CMYK": "CMYK colours",
    "YCbCr": "YCbCr colours",
}
_limit_lock = threading.Lock()


def read_with_pillow(path: Path, data: bytes, max_pixels: int, page: int | None = None) -> Raster:
    """Decode a picture of a file in a format that Pillow knows.

    A damaged file raises whatever Pillow raises.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.
        page: Which of several pictures, from 1; None for the first.

    Raises:
        InputError: The file is too large or of a kind that is not supported.

    >>> file = io.BytesIO()
    >>> PILImage.new("CMYK", (3, 2)).save(file, "TIFF")
    >>> read_with_pillow(Path("a.tif"), file.getvalue(), 100).notes
    ('CMYK colours converted to RGB.',)
    """
    try:
        return _decode(path, data, max_pixels, page)
    except InputError:
        raise
    except Exception:  # whatever Pillow raises: the fault may lie in metadata alone
        plain = without_metadata(data)
        if plain is None:
            raise
        raster = _decode(path, plain[0], max_pixels, page)
    notes = (*raster.notes, "Metadata that cannot be read was left out.")
    return replace(raster, icc_profile=raster.icc_profile or plain[1], notes=notes)


def _decode(path: Path, data: bytes, max_pixels: int, page: int | None) -> Raster:
    """A picture of a file, or whatever Pillow raises."""
    with _no_limit():
        picture = PILImage.open(io.BytesIO(data))
        if picture.format not in _FORMATS:
            name = foreign_format(data) or picture.format or "a file of another kind"
            raise InputError(f"{path} is {name}, which kanfield does not read: {remedy(name)}")
        if picture.format == "TIFF":  # among its pages are masks and others that Pillow cannot count
            place = (page or 1) - 1
            page_notes: tuple[str, ...] = ()
        else:
            place, page_notes = chosen_page(path, int(getattr(picture, "n_frames", 1)), page)
        if place:
            picture.seek(place)
        check_size(path, *picture.size, max_pixels)
        deep = place == 0 and picture.format == "PNG" and ";16" in str(picture.tile)
        if not deep and picture.mode not in {"L", "LA", "RGB", "RGBA", *_NAMES}:
            raise InputError(
                f"{path} holds {picture.mode} pixels: kanfield reads gray and RGB colours, "
                "with or without alpha; convert it to RGB"
            )
        picture.load()
    # Only now: some formats hold them behind the pixels.
    orientation, exif_notes = _orientation(picture)
    profile = picture.info.get("icc_profile") or None
    kept = None if picture.mode in {"CMYK", "YCbCr"} else profile
    if deep:
        pixels, notes = _deep_png(data, "transparency" in picture.info)
    else:
        if picture.format == "PNG":
            _correct_transparent_level(picture, data)
        mode, convert, notes = _conversion(picture, profile)
        pixels = _pixels(picture, mode, convert)
    return Raster(pixels, (*notes, *exif_notes, *page_notes), kept, orientation)


def stored_size(path: Path) -> tuple[int, int, int] | None:
    """Width and height of a PNG or JPEG file and the bytes of its pixels, by its header.

    Args:
        path: The file.

    Returns:
        None where it is another file, or is damaged.
    """
    try:
        with _no_limit(), PILImage.open(path, formats=("PNG", "JPEG")) as picture:
            width, height = picture.size
            deep = "16" in picture.mode or ";16" in str(picture.tile)
            return width, height, width * height * len(picture.getbands()) * (2 if deep else 1)
    except Exception:  # whatever Pillow raises: reading it says so in words
        return None


def write_png16(file: BinaryIO, image: Image) -> None:
    """Write a 16-bit image as PNG, with its colour profile."""
    import imagecodecs

    pixels = image.pixels[..., 0] if image.channels == 1 else image.pixels
    # The library's own guess at the size does not count what every row adds.
    most = int(1.01 * (image.pixels.nbytes + image.height)) + 4096
    data = memoryview(imagecodecs.png_encode(np.ascontiguousarray(pixels), out=most))
    header = 8 + 25  # signature and IHDR: the profile comes right behind them
    file.write(data[:header])
    if image.icc_profile is not None:
        body = b"iCCP" + b"ICC Profile\0\0" + zlib.compress(image.icc_profile)
        file.write(struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)))
    file.write(data[header:])


@contextlib.contextmanager
def _no_limit() -> Iterator[None]:
    """Keeps Pillow's own limit on pixels, which is one for all threads, out of the way of ours."""
    with _limit_lock:
        limit, PILImage.MAX_IMAGE_PIXELS = PILImage.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            PILImage.MAX_IMAGE_PIXELS = limit


def _orientation(picture: PILImage.Image) -> tuple[int, tuple[str, ...]]:
    """EXIF's number for how to turn the picture, and a note where that cannot be read."""
    try:
        number = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # whatever broken EXIF data makes Pillow raise: the pixels are whole
        return 1, ("The EXIF data cannot be read: the picture was not turned.",)
    return (number if isinstance(number, int) else 1), ()


def _correct_transparent_level(picture: PILImage.Image, data: bytes) -> None:
    """Make the transparent colour of a PNG one of the levels that Pillow decodes to.

    The file gives it in its own few bits, of which higher ones are to be ignored, and Pillow leaves it so.
    """
    level = picture.info.get("transparency")
    highest = 2 ** data[24] - 1  # the header's bits per sample
    if picture.mode == "L" and isinstance(level, int):
        picture.info["transparency"] = (level & highest) * 255 // highest
    elif picture.mode == "RGB" and isinstance(level, tuple):
        picture.info["transparency"] = tuple(value & highest for value in level)


def _deep_png(data: bytes, transparent: bool) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
    """The pixels of a 16-bit PNG, where a transparent colour has become an alpha channel, and notes."""
    import imagecodecs

    plain = without_metadata(data)
    assert plain is not None
    with quiet_native():  # libpng prints its warnings
        pixels = imagecodecs.png_decode(plain[0])
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    note = f"The transparent colour converted to {MODES[pixels.shape[2]]}."
    return pixels, (note,) if transparent else ()


_Convert = Callable[[PILImage.Image], PILImage.Image]


def _conversion(picture: PILImage.Image, profile: bytes | None) -> tuple[str, _Convert, tuple[str, ...]]:
    """The plain mode for a picture, what makes pictures of that mode of it, and a note on that."""
    if picture.mode == "CMYK":
        return _from_cmyk(profile)
    gray = picture.mode in {"1", "L", "LA"}
    alpha = picture.has_transparency_data
    mode = ("LA" if alpha else "L") if gray else ("RGBA" if alpha else "RGB")
    if picture.mode == mode:
        return mode, lambda part: part, ()
    note = f"{_NAMES.get(picture.mode, 'The transparent colour')} converted to {mode}."
    return mode, lambda part: part.convert(mode), (note,)


def _from_cmyk(profile: bytes | None) -> tuple[str, _Convert, tuple[str, ...]]:
    """How CMYK becomes RGB: by its profile where it has one that works."""
    from PIL import ImageCms

    if profile is not None:
        try:
            transform = ImageCms.buildTransform(
                io.BytesIO(profile), ImageCms.createProfile("sRGB"), "CMYK", "RGB"
            )
        except ImageCms.PyCMSError:
            note = "CMYK colours converted to RGB without their profile, which cannot be used."
        else:

            def convert(part: PILImage.Image) -> PILImage.Image:
                converted: PILImage.Image | None = ImageCms.applyTransform(part, transform)
                assert converted is not None  # None is for work in place
                return converted

            return "RGB", convert, ("CMYK colours converted to sRGB by their profile.",)
    else:
        note = "CMYK colours converted to RGB."
    return "RGB", lambda part: part.convert("RGB"), (note,)


def _pixels(picture: PILImage.Image, mode: str, convert: _Convert) -> NDArray[Any]:
    """The converted pixels, copied in bands: at once, it would take several copies."""
    pixels = np.empty((picture.height, picture.width, len(mode)), dtype=np.uint8)
    for rows in row_slices(picture.height, picture.width):
        part = convert(picture.crop((0, rows.start, picture.width, rows.stop)))
        pixels[rows] = np.asarray(part).reshape(pixels[rows].shape)
    return pixels
