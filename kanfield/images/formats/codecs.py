"""JPEG XL, and JPEG, JPEG 2000 and AVIF of more than 8 bits, which Pillow does not read or would cut to 8."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kanfield.errors import InputError
from kanfield.images.formats.metadata import jpeg_segments
from kanfield.images.formats.raster import Raster, check_size, first_of, supported_pixels

_JXL_CODESTREAM, _JXL_BOXES = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_JP2_CODESTREAM, _JP2_BOXES = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"
_OTHER_MARKERS = {0xC4, 0xC8, 0xCC}  # those between 0xC0 and 0xCF that begin no frame


def codec_of(data: bytes) -> str | None:
    r"""Which of these formats a file is, or None where it is another or has 8 bits.

    >>> codec_of(b"\xff\x0a"), codec_of(b"GIF89a")
    ('jpegxl', None)
    """
    if data.startswith((_JXL_CODESTREAM, _JXL_BOXES)):
        return "jpegxl"
    if data.startswith((_JP2_CODESTREAM, _JP2_BOXES)) and _jp2(data)[2] > 8:
        return "jpeg2k"
    if data[4:12] in {b"ftypavif", b"ftypavis"} and _avif(data)[2] > 8:
        return "avif"
    if data.startswith(b"\xff\xd8") and _jpeg(data)[2] > 8:
        return "jpeg8"
    return None


def read_with_codec(path: Path, data: bytes, max_pixels: int) -> Raster:
    """Decode the first picture of such a file; a damaged one raises RuntimeError or ValueError.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.

    Raises:
        InputError: The file is too large or of a kind that is not supported.

    >>> import imagecodecs
    >>> ramp = np.arange(128, dtype=np.uint16).reshape(8, 16)
    >>> raster = read_with_codec(Path("a.jp2"), imagecodecs.jpeg2k_encode(ramp, bitspersample=12), 1000)
    >>> raster.pixels.shape, raster.max_value
    ((8, 16, 1), 4095)
    """
    import imagecodecs

    name = codec_of(data)
    assert name is not None
    header = {"jpegxl": _jxl, "jpeg2k": _jp2, "avif": _avif, "jpeg8": _jpeg}[name]
    width, height, bits = header(data)
    check_size(path, width, height, max_pixels)
    try:
        pixels = getattr(imagecodecs, f"{name}_decode")(data)
    except imagecodecs.DelayedImportError:
        raise InputError(f"{path} needs an imagecodecs with {name}: convert it to PNG or TIFF") from None
    upright = (height, width), (width, height)
    several = pixels.ndim == 4 or (
        pixels.ndim == 3 and pixels.shape[1:] == (height, width) and pixels.shape[:2] not in upright
    )
    frames, pixels = (len(pixels), pixels[0]) if several else (1, pixels)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if pixels.shape[:2] not in upright:
        raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels instead of {width} x {height}")
    if name == "jpeg8" and pixels.shape[2] == 4:
        raise InputError(f"{path} holds CMYK colours of {bits} bits: convert it to RGB")
    pixels, converted = supported_pixels(pixels)
    notes = (*converted, *first_of(frames))
    highest = 2**bits - 1 if 8 < bits < 16 and pixels.dtype == np.uint16 else None
    return Raster(np.ascontiguousarray(pixels), notes, max_value=highest)


def _jpeg(data: bytes) -> tuple[int, int, int]:
    """Width, height and bits of a JPEG file; zeros where they are missing."""
    for marker, start, _ in jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in _OTHER_MARKERS and start + 9 <= len(data):
            height, width = (int.from_bytes(data[start + at : start + at + 2], "big") for at in (5, 7))
            return width, height, data[start + 4]
    return 0, 0, 0


def _jp2(data: bytes) -> tuple[int, int, int]:
    """Width, height and most bits of any component of a JPEG 2000 file; zeros where they are missing."""
    start = data.find(_JP2_CODESTREAM)
    if start < 0 or len(data) < start + 45:
        return 0, 0, 0
    right, bottom, left, top = np.frombuffer(data, ">u4", 4, start + 8).tolist()
    components = int.from_bytes(data[start + 40 : start + 42], "big")
    depths = data[start + 42 : start + 42 + 3 * components : 3]
    return right - left, bottom - top, max((1 + (depth & 0x7F) for depth in depths), default=0)


def _avif(data: bytes) -> tuple[int, int, int]:
    """Width, height and bits of an AVIF file; zeros where they are missing."""
    sizes = [
        np.frombuffer(data, ">u4", 2, match.end() + 4).tolist()
        for match in re.finditer(rb"ispe", data[: 2**16])
        if match.end() + 12 <= len(data)
    ]
    config = re.search(rb"av1C\x81.(.)", data[: 2**16], re.DOTALL)
    if not sizes or config is None:
        return 0, 0, 0
    width, height = max(sizes, key=lambda size: size[0] * size[1])  # others are tiles or thumbnails
    deep, twelve = config[1][0] & 0x40, config[1][0] & 0x20
    return width, height, (12 if twelve else 10) if deep else 8


def _jxl(data: bytes) -> tuple[int, int, int]:
    """Width and height of a JPEG XL file, and 0; ValueError where they are missing."""
    start = 0
    if data.startswith(_JXL_BOXES):
        box = re.search(rb"jxl[cp]", data[12 : 2**20])
        if box is None:
            raise ValueError("no pixels")
        start = data.find(_JXL_CODESTREAM, 12 + box.end(), 12 + box.end() + 8)
    bits = int.from_bytes(data[start + 2 : start + 14].ljust(12, b"\0"), "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def side(small: bool) -> int:
        return 8 * (1 + take(5)) if small else 1 + take((9, 13, 18, 30)[take(2)])

    if start < 0:
        raise ValueError("no pixels")
    small = bool(take(1))
    height = side(small)
    ratios = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
    ratio = take(3)
    if ratio == 0:
        return side(small), height, 0
    over, under = ratios[ratio - 1]
    return height * over // under, height, 0
