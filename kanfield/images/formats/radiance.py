"""Reading Radiance HDR files."""

from __future__ import annotations

import re
from pathlib import Path

from kanfield.errors import InputError
from kanfield.images.formats.raster import Raster, check_size

# Lines of text, an empty one, and the line of the size.
_HEADER = re.compile(rb"#\?(?P<lines>(?:[^\n]*\n)*?)\n(?P<size>[^\n]{1,100})\n")
_SIZE = re.compile(rb"-Y (-?\d{1,10}) \+X (-?\d{1,10})\s*")


def read_radiance(path: Path, data: bytes, max_pixels: int) -> Raster:
    r"""Decode a Radiance HDR file (RGBE) to float32 RGB; exposure and gamma lines are not applied.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.

    Raises:
        InputError: The file is too large or of a kind that is not supported.
        RuntimeError: The file is damaged.
        ValueError: Likewise.

    >>> header = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 2\n"
    >>> read_radiance(Path("a.hdr"), header + bytes([128, 64, 0, 129] * 2), 100).pixels[0, 0].tolist()
    [1.0, 0.5, 0.0]
    """
    import imagecodecs

    header = _HEADER.match(data[:65536])
    if header is None:
        raise ValueError("no size in the header")
    if b"FORMAT=32-bit_rle_xyze" in header["lines"]:
        raise InputError(f"{path} holds XYZ colours: convert it to RGB")
    size = _SIZE.fullmatch(header["size"])
    if size is None:
        raise InputError(f"{path} is damaged or not stored row by row from the top: save it again")
    check_size(path, int(size[2]), int(size[1]), max_pixels)
    return Raster(imagecodecs.rgbe_decode(data))
