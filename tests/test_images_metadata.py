"""Metadata that is broken or large never keeps whole pixels from being read; transparent colours of PNG."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from PIL import PngImagePlugin

from kanfield.images import Image, read_image, write_image

BROKEN = b"\x00\x08\x00\x02\x01\x12\x00\x03" + bytes(20)
PIXELS = np.random.default_rng(0).integers(0, 255, (6, 5, 3), dtype=np.uint8)
LEFT_OUT = ("Metadata that cannot be read was left out.",)
NOT_TURNED = ("The EXIF data cannot be read: the picture was not turned.",)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(bits: int, kind: int, width: int, rows: list[bytes], *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, kind, 0, 0, 0))
    lines = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + lines + chunk(b"IEND", b"")


def read(tmp_path: Path, data: bytes) -> Image:
    (tmp_path / "a").write_bytes(data)
    return read_image(tmp_path / "a")


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_broken_exif(tmp_path: Path, name: str) -> None:
    file = io.BytesIO()
    exif = (b"Exif\0\0" if name == "JPEG" else b"") + BROKEN
    options = {"tiffinfo": {34665: 10**6}} if name == "TIFF" else {"exif": exif, "lossless": True}
    PILImage.fromarray(PIXELS).save(file, name, **options)
    image = read(tmp_path, file.getvalue())
    if name in {"PNG", "WEBP"}:
        assert image.notes == NOT_TURNED
    if name != "JPEG":
        assert np.array_equal(image.pixels, PIXELS)
    assert image.pixels.shape == PIXELS.shape


@pytest.mark.parametrize("count", [1, 70])
def test_megabytes_of_text(tmp_path: Path, count: int) -> None:
    text = PngImagePlugin.PngInfo()
    for number in range(count):
        text.add_itxt(f"workflow {number}", json.dumps(list(range(200_000))), zip=True)
    PILImage.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=text)
    image = read_image(tmp_path / "a.png")
    assert np.array_equal(image.pixels, PIXELS) and image.notes == LEFT_OUT


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "broken",
    [
        chunk(b"iCCP", b"name\0\0no zlib"),
        chunk(b"pHYs", b"123"),
        chunk(b"iTXt", b"a\0\7\7"),
        chunk(b"tEXt", b"checksum")[:-1] + b"?",
        chunk(b"gAMA", b"") + chunk(b"cHRM", b"1") + chunk(b"tIME", b"noon"),
    ],
    ids=lambda data: data[4:8].decode(),
)
def test_broken_chunks_of_png(tmp_path: Path, bits: int, broken: bytes) -> None:
    pixels = PIXELS.astype(f">u{bits // 8}")
    image = read(tmp_path, png(bits, 2, 5, [row.tobytes() for row in pixels], broken))
    assert np.array_equal(image.pixels, PIXELS)


def test_broken_segments_of_jpeg(tmp_path: Path) -> None:
    PILImage.fromarray(PIXELS).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    plain = read(tmp_path, data)
    for body in (b"ICC_PROFILE\0\x05\x09broken", b"MPF\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\xff\xff"):
        for marker in (b"\xff\xe1", b"\xff\xe2", b"\xff\xed", b"\xff\xfe"):
            segment = marker + struct.pack(">H", len(body) + 2) + body
            assert np.array_equal(read(tmp_path, data[:2] + segment + data[2:]).pixels, plain.pixels)


@pytest.mark.parametrize(("dtype", "suffix"), [("uint16", ".png"), ("uint8", ".png"), ("uint8", ".jpg")])
def test_a_large_profile_comes_back(tmp_path: Path, dtype: str, suffix: str) -> None:
    profile = bytes(16) + b"RGB " + np.random.default_rng(0).bytes(3_000_000)
    image = Image(PIXELS.astype(dtype), "RGB", icc_profile=profile)
    write_image(tmp_path / f"a{suffix}", image)
    assert read_image(tmp_path / f"a{suffix}").icc_profile == profile


@pytest.mark.parametrize(
    ("bits", "stored", "level", "expected"),
    [
        (1, 0b01, 1, [[0, 255], [255, 0]]),
        (1, 0b01, 0, [[0, 0], [255, 255]]),
        (2, 0b0111, 1, [[85, 0], [255, 255]]),
        (4, 0x5F, 5, [[85, 0], [255, 255]]),
        (4, 0x5F, 0x45, [[85, 0], [255, 255]]),  # higher bits do not count
        (8, 0x0507, 0x107, [[5, 255], [7, 0]]),
        (16, 0x00050007, 7, [[5, 65535], [7, 0]]),
    ],
)
def test_the_transparent_level_of_gray_png(tmp_path: Path, bits: int, stored: int, level: int, expected):
    row = (stored << max(0, 8 - 2 * bits)).to_bytes(max(1, bits // 4), "big")
    image = read(tmp_path, png(bits, 0, 2, [row], chunk(b"tRNS", struct.pack(">H", level))))
    assert image.pixels[0].tolist() == expected


def test_transparent_colours_of_png(tmp_path: Path) -> None:
    transparent = chunk(b"tRNS", struct.pack(">3H", 0x101, 2, 3))
    image = read(tmp_path, png(8, 2, 2, [bytes([1, 2, 3, 4, 5, 6])], transparent))
    assert image.pixels.tolist() == [[[1, 2, 3, 0], [4, 5, 6, 255]]]
    palette = chunk(b"PLTE", bytes(range(12))), chunk(b"tRNS", bytes([0, 100]))
    image = read(tmp_path, png(2, 3, 4, [bytes([0b00011011])], *palette))
    assert image.pixels.tolist() == [[[0, 1, 2, 0], [3, 4, 5, 100], [6, 7, 8, 255], [9, 10, 11, 255]]]
