"""Reading PNM files of 16 bits: PGM and PPM that Pillow would cut to 8 bits."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from kanfield.images.formats.raster import Raster, check_size

# "P2" or "P5" for gray, "P3" or "P6" for RGB; width, height and highest value, with comments between.
_HEADER = re.compile(rb"P([2356])" + 3 * rb"(?:\s|#[^\n]*\n)+(\d{1,10})" + rb"\s")


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
