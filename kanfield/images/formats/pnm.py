"""Reading PGM and PPM files of 16 bits, which Pillow would cut to 8, and float maps (PFM)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kanfield.images.formats.raster import Raster, check_size

# "P2" or "P5" for gray, "P3" or "P6" for RGB; width, height and highest value, with comments between.
_HEADER = re.compile(rb"P([2356])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,10})" + rb"\s")

_FLOATS = re.compile(rb"P([Ff])\s+(\d{1,10})\s+(\d{1,10})\s+([-+.\deE]{1,30})\s")


def is_deep_pnm(data: bytes) -> bool:
    """Whether this is a PGM or PPM file of more than 8 bits.

    >>> is_deep_pnm(b"P5 2 1 65535 ...."), is_deep_pnm(b"P5 2 1 255 ..")
    (True, False)
    """
    match = _HEADER.match(data)
    return match is not None and 255 < int(match[4]) < 65536


def read_deep_pnm(path: Path, data: bytes, max_pixels: int) -> Raster:
    """Decode a 16-bit PGM or PPM file.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.

    Raises:
        InputError: The file is too large.
        ValueError: The file is damaged.

    >>> read_deep_pnm(Path("a.pgm"), b"P5 2 1 65535 " + bytes([1, 2, 3, 4]), 100).pixels.tolist()
    [[[258], [772]]]
    """
    match = _HEADER.match(data)
    assert match is not None
    width, height, highest = (int(match[number]) for number in (2, 3, 4))
    check_size(path, width, height, max_pixels)
    channels = 1 if match[1] in b"25" else 3
    if match[1] in b"56":
        stored = np.frombuffer(data, ">u2", width * height * channels, match.end())
    else:  # as text
        stored = np.array(data[match.end() :].split(), dtype=np.uint16)
    pixels = stored.astype(np.uint16).reshape(height, width, channels)
    if highest == 65535:
        return Raster(pixels)
    levels = np.arange(65536).clip(max=highest)
    scaled = np.floor(levels * (65535 / highest) + 0.5).astype(np.uint16)
    for row in pixels:
        row[...] = scaled[row]
    return Raster(pixels, (f"Values up to {highest} scaled to 65535.",))


def is_pfm(data: bytes) -> bool:
    """Whether this is a portable float map.

    >>> is_pfm(b"Pf 2 1 -1.0 ........")
    True
    """
    return _FLOATS.match(data) is not None


def read_pfm(path: Path, data: bytes, max_pixels: int) -> Raster:
    r"""Decode a portable float map, gray or RGB; its scale is not applied.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.

    Raises:
        InputError: The file is too large.
        ValueError: The file is damaged.

    >>> rows = np.array([[1], [2]], dtype=">f4")  # from the bottom up
    >>> read_pfm(Path("a.pfm"), b"Pf\n1 2\n1.0\n" + rows.tobytes(), 100).pixels.ravel().tolist()
    [2.0, 1.0]
    """
    match = _FLOATS.match(data)
    assert match is not None
    width, height = int(match[2]), int(match[3])
    check_size(path, width, height, max_pixels)
    channels = 1 if match[1] == b"f" else 3
    order = "<f4" if match[4].startswith(b"-") else ">f4"
    stored = np.frombuffer(data, order, width * height * channels, match.end())
    return Raster(stored.reshape(height, width, channels)[::-1].astype(np.float32))
