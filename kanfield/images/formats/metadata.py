"""Files without the metadata that can keep their pixels from being decoded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_PNG = b"\x89PNG\r\n\x1a\n"
# What says how the pixels look; critical chunks, in capitals, belong to them anyway.
_KEPT_CHUNKS = {b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf"}
_LARGEST_PROFILE = 2**26  # bytes; more is no colour profile
_START_OF_SCAN = 0xDA
_COMMENT, _ADOBE, _PROFILE, _EXIF = 0xFE, 0xEE, 0xE2, 0xE1


def without_metadata(data: bytes) -> tuple[bytes, bytes | None] | None:
    """A PNG or JPEG file with its pixels, colours and orientation alone.

    Decoders give up on text that is too long and on fields that are broken, although the pixels are whole.

    Args:
        data: The file's content.

    Returns:
        The shorter file and, of a PNG, its colour profile; None for other formats.

    >>> without_metadata(b"GIF89a") is None
    True
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data), None
    return None


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of every segment of a JPEG file before its pixels.

    >>> list(jpeg_segments(bytes.fromhex("ffd8 ffe0 0003 00 ffda 0002")))
    [(224, 2, 7), (218, 7, 11)]
    """
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # padding
            place += 1
            continue
        end = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        yield marker, place, end
        if marker == _START_OF_SCAN:
            return
        place = end


def _jpeg(data: bytes) -> bytes:
    parts, rest = [data[:2]], 2
    for marker, start, end in jpeg_segments(data):
        body = data[start + 4 : start + 18]
        droppable = 0xE1 <= marker <= 0xEF or marker == _COMMENT
        kept = marker == _ADOBE or (marker == _PROFILE and body.startswith(b"ICC_PROFILE\0"))
        if not droppable or kept or (marker == _EXIF and body.startswith(b"Exif\0")):
            parts.append(data[start:end])
        rest = end
    return b"".join(parts) + data[rest:]


def _png(data: bytes) -> tuple[bytes, bytes | None]:
    parts, profile, place = [_PNG], None, len(_PNG)
    while place + 12 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        kind, body = data[place + 4 : place + 8], data[place + 8 : end - 4]
        if kind == b"iCCP":
            profile = profile or _profile(body)
        elif kind == b"eXIf" and end <= len(data):  # with a checksum that fits: it may be read or not
            parts.append(data[place : end - 4] + struct.pack(">I", zlib.crc32(kind + body)))
        elif kind[:1].isupper() or kind in _KEPT_CHUNKS or not kind.isalpha():
            parts.append(data[place:end])
        place = end
        if kind == b"IEND":
            break
    return b"".join([*parts, data[place:]]), profile


def _profile(chunk: bytes) -> bytes | None:
    """The colour profile in the body of an iCCP chunk, or None where it is broken."""
    _, _, compressed = chunk.partition(b"\0")
    decompress = zlib.decompressobj()
    try:
        profile = decompress.decompress(compressed[1:], _LARGEST_PROFILE)
    except zlib.error:
        return None
    return profile if decompress.eof else None
