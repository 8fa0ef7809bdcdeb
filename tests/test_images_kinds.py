"""Formats of phones, scanners, renderers and clinics: read as they are, or refused by their name."""

from __future__ import annotations

import io
import struct
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import OpenEXR
import pytest
from PIL import Image as PILImage
from PIL import features

from kanfield.errors import InputError
from kanfield.images import Image, read_image

RANDOM = np.random.default_rng(0)
RAMP = (np.arange(40 * 48, dtype=np.uint16) * 2).reshape(40, 48)
SMOOTH = np.asarray(PILImage.radial_gradient("L").resize((48, 40)).convert("RGB"))


def read(tmp_path: Path, data: bytes, name: str = "a", **options: Any) -> Image:
    (tmp_path / name).write_bytes(data)
    return read_image(tmp_path / name, **options)


# --- read by imagecodecs ------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_of_12_bits(tmp_path: Path, channels: int) -> None:
    pixels = RAMP[..., None].repeat(channels, 2)
    data = imagecodecs.jpeg8_encode(pixels.squeeze(), level=98, bitspersample=12)
    image = read(tmp_path, data)
    assert (image.mode, image.value_range) == ({1: "L", 3: "RGB"}[channels], (0, 4095))
    assert np.abs(image.pixels.astype(int) - pixels).max() < 100
    with pytest.raises(InputError, match=r"has 48 x 40 pixels, over 1,919"):
        read(tmp_path, data, max_pixels=1919)


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize(
    "pixels",
    [
        RAMP,
        RANDOM.integers(0, 255, (37, 59, 3), dtype=np.uint8),
        RANDOM.integers(0, 255, (60, 80, 4), dtype=np.uint8),  # a ratio of sides that has a number
        RANDOM.random((30, 30, 3)).astype(np.float32),
        RANDOM.integers(0, 255, (600, 7), dtype=np.uint8),
    ],
    ids=lambda pixels: f"{pixels.shape} {pixels.dtype}",
)
def test_jpeg_xl(tmp_path: Path, pixels: np.ndarray, container: bool) -> None:
    data = imagecodecs.jpegxl_encode(pixels, lossless=True, usecontainer=container)
    image = read(tmp_path, data)
    assert image.pixels.dtype == pixels.dtype and np.array_equal(image.pixels.squeeze(), pixels)
    height, width = pixels.shape[:2]
    with pytest.raises(InputError, match=f"has {width} x {height} pixels, over {width * height - 1:,}"):
        read(tmp_path, data, max_pixels=width * height - 1)
    with pytest.raises(InputError, match="save the JPEG XL again or convert it to PNG or TIFF"):
        read(tmp_path, data[: len(data) // 2])


def test_three_by_three_colours_are_no_frames(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 255, (3, 3, 3), dtype=np.uint8)
    assert np.array_equal(read(tmp_path, imagecodecs.jpegxl_encode(pixels, lossless=True)).pixels, pixels)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_jpeg_2000(tmp_path: Path, bits: int) -> None:
    pixels = (RAMP // 16).astype(np.uint8) if bits == 8 else RAMP
    options = {"level": 0} if bits != 12 else {"level": 0, "bitspersample": 12}
    image = read(tmp_path, imagecodecs.jpeg2k_encode(pixels, **options))
    assert np.array_equal(image.pixels[..., 0], pixels) and image.value_range == (0, 2**bits - 1)
    with pytest.raises(InputError, match="has 48 x 40 pixels, over 100"):
        read(tmp_path, imagecodecs.jpeg2k_encode(pixels, **options), max_pixels=100)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_avif(tmp_path: Path) -> None:
    file = io.BytesIO()
    PILImage.fromarray(SMOOTH).save(file, "AVIF", quality=100)
    assert np.abs(read(tmp_path, file.getvalue()).pixels.astype(int) - SMOOTH).max() < 20
    pixels = (RAMP // 4)[..., None].repeat(3, 2)
    image = read(tmp_path, imagecodecs.avif_encode(pixels, level=100, bitspersample=10))
    assert image.value_range == (0, 1023) and np.abs(image.pixels.astype(int) - pixels).max() < 8


# --- read by Pillow -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["ico", "tga", "pcx", "sgi", "qoi", "dds"])
def test_others_that_pillow_reads(tmp_path: Path, suffix: str) -> None:
    PILImage.fromarray(SMOOTH).save(tmp_path / f"a.{suffix}")
    with PILImage.open(tmp_path / f"a.{suffix}") as picture:
        expected = np.asarray(picture.convert("RGB"))
    assert np.array_equal(read_image(tmp_path / f"a.{suffix}").pixels[..., :3], expected)


# --- depth maps and renderings ------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "channels"), [(b"Pf", 1), (b"PF", 3)])
@pytest.mark.parametrize(("scale", "order"), [(b"-1.0", "<f4"), (b"1", ">f4")])
def test_pfm(tmp_path: Path, kind: bytes, channels: int, scale: bytes, order: str) -> None:
    pixels = RANDOM.random((5, 4, channels)).astype(np.float32)
    data = kind + b"\n4 5\n" + scale + b"\n" + pixels[::-1].astype(order).tobytes()
    assert np.array_equal(read(tmp_path, data).pixels, pixels)
    with pytest.raises(InputError, match="truncated or damaged"):
        read(tmp_path, data[:-3])
    with pytest.raises(InputError, match="has 4 x 5 pixels, over 19"):
        read(tmp_path, data, max_pixels=19)


def exr(tmp_path: Path, channels: dict[str, Any], **header: Any) -> Image:
    header = {"type": OpenEXR.scanlineimage, "compression": OpenEXR.ZIP_COMPRESSION, **header}
    OpenEXR.File(header, channels).write(str(tmp_path / "a.exr"))
    return read_image(tmp_path / "a.exr")


def test_exr_channels_of_any_name(tmp_path: Path) -> None:
    plane = RANDOM.random((6, 8)).astype(np.float32)
    for name in ("V", "Z", "depth.V"):
        image = exr(tmp_path, {name: plane})
        assert image.mode == "L" and np.array_equal(image.pixels[..., 0], plane)
        assert image.notes == (f"The channel {name} was read as gray.",)
    planes = {name: plane + number for number, name in enumerate("RGBZ")}
    image = exr(tmp_path, planes)
    assert image.mode == "RGB" and np.array_equal(image.pixels[..., 1], plane + 1)
    assert image.notes == ("Only the channels R, G, B were read, not Z.",)
    image = exr(tmp_path, {f"left.{name}": value for name, value in planes.items()})
    assert image.mode == "RGB" and image.notes[0].startswith("Only the channels left.R, left.G, left.B")
    image = exr(tmp_path, {"Y": plane, "right.Y": plane + 1})
    assert image.mode == "L" and image.notes == ("Only the channels Y were read, not right.Y.",)
    image = exr(tmp_path, {f"N.{name}": plane for name in "XYZ"})
    assert (image.mode, image.bands, image.notes) == ("bands", ("N.X", "N.Y", "N.Z"), ())


def test_exr_of_integers(tmp_path: Path) -> None:
    plane = np.arange(12, dtype=np.uint32).reshape(3, 4)
    image = exr(tmp_path, {"id": plane})
    assert np.array_equal(image.pixels[..., 0], plane)
    assert image.notes[0] == "32-bit unsigned integers converted to floats, to 24 binary digits."


def subsampled_exr(planes: dict[str, np.ndarray]) -> bytes:
    """A file of uncompressed floats, of which planes of half the size have every second row and column."""
    height, width = planes["Y"].shape

    def attribute(name: bytes, kind: bytes, body: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(body)) + body

    steps = {name: height // len(plane) for name, plane in planes.items()}
    channels = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", 2, 0, steps[name], steps[name])
        for name in sorted(planes)
    )
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    header = struct.pack("<2i", 20000630, 2) + b"".join(
        [
            attribute(b"channels", b"chlist", channels + b"\0"),
            attribute(b"compression", b"compression", b"\0"),
            attribute(b"dataWindow", b"box2i", window),
            attribute(b"displayWindow", b"box2i", window),
            attribute(b"lineOrder", b"lineOrder", b"\0"),
            attribute(b"pixelAspectRatio", b"float", struct.pack("<f", 1)),
            attribute(b"screenWindowCenter", b"v2f", bytes(8)),
            attribute(b"screenWindowWidth", b"float", struct.pack("<f", 1)),
            b"\0",
        ]
    )
    lines, offsets, place = [], [], len(header) + 8 * height
    for row in range(height):
        held = (name for name in sorted(planes) if row % steps[name] == 0)
        body = b"".join(planes[name][row // steps[name]].astype("<f4").tobytes() for name in held)
        lines.append(struct.pack("<2i", row, len(body)) + body)
        offsets.append(place)
        place += len(lines[-1])
    return header + struct.pack(f"<{height}Q", *offsets) + b"".join(lines)


def test_exr_of_luminance_and_chroma(tmp_path: Path) -> None:
    y, x = np.mgrid[:8, :10].astype(np.float32)
    red, blue, luminance = 0.01 * x, -0.02 * y, 1 + 0.1 * x
    image = read(tmp_path, subsampled_exr({"Y": luminance, "RY": red[::2, ::2], "BY": blue[::2, ::2]}))
    assert image.mode == "RGB"
    assert image.notes == ("Luminance and chroma converted to RGB by the weights of Rec. 709.",)
    # Behind the last chroma there is none to go halfway to.
    assert np.abs(image.pixels[..., 0] - (1 + red) * luminance)[:, :-1].max() < 1e-5
    assert np.abs(image.pixels[..., 2] - (1 + blue) * luminance)[:-1].max() < 1e-5
    assert np.abs(image.pixels @ np.float32([0.2126, 0.7152, 0.0722]) - luminance).max() < 1e-5


# --- clinics ------------------------------------------------------------------------------------


def dicom(monkeypatch: pytest.MonkeyPatch, stored: np.ndarray, **values: Any) -> None:
    """What pydicom would give: it need not be installed."""
    fields = {"PhotometricInterpretation": "MONOCHROME2", **values}
    file = SimpleNamespace(
        Rows=stored.shape[-2], Columns=stored.shape[-1], BitsStored=12, pixel_array=stored, get=None
    )
    file.get = lambda name, other=None: fields.get(name, other)
    monkeypatch.setitem(sys.modules, "pydicom", SimpleNamespace(dcmread=lambda data: file))


def test_dicom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = b"II*\0".ljust(128) + b"DICM" + bytes(99)  # they may begin like TIFF
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match="is DICOM: pip install pydicom, or convert it to PNG or TIFF"):
        read(tmp_path, data)
    stored = (np.arange(12, dtype=np.uint16) * 300).reshape(3, 4)
    dicom(monkeypatch, stored)
    image = read(tmp_path, data)
    assert np.array_equal(image.pixels[..., 0], stored) and image.value_range == (0, 4095)
    dicom(monkeypatch, stored, RescaleSlope="2", RescaleIntercept="-1024", PixelPaddingValue=300)
    image = read(tmp_path, data)
    assert np.array_equal(image.pixels[..., 0], stored * 2.0 - 1024)
    assert image.missing is not None and np.argwhere(image.missing).tolist() == [[0, 1]]
    dicom(monkeypatch, stored, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read(tmp_path, data).pixels[..., 0], 4095 - stored)
    dicom(monkeypatch, np.stack([stored, stored + 1]), NumberOfFrames="2")
    image = read(tmp_path, data)
    assert np.array_equal(image.pixels[..., 0], stored)
    assert image.notes == ("Only the first of 2 pictures in the file was read.",)


# --- refused by name ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "telling"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is HEIC, .* convert it to PNG or TIFF"),
        (b"\0\0\0\x18ftypcrx \0\0\0\0", r"is a raw camera file \(CR3\), .* develop it"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "is an MP4 video, .* take a picture out of it"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "is a QuickTime video"),
        (b"\x1aE\xdf\xa3", "is a Matroska or WebM video"),
        (b"IIU\0\x18\0\0\0", r"is a raw camera file \(RW2\)"),
        (b"%PDF-1.7\n", "is PDF, .* convert it"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is PostScript, .* convert it"),
        (b"\x93NUMPY\x01\0", "is truncated or damaged"),
        (b"\x89HDF\r\n\x1a\n", "is HDF5 or NetCDF, .* convert it"),
        (b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800), "is FITS, .* convert it"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "is SVG, .* convert it"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer.*lfs pull"),
        (b"<!DOCTYPE html><html></html>", "is a web page"),
        (b"hello\nworld\n", "is a text file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "the JPEG XL again or convert it"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_is_not_read_is_named(tmp_path: Path, data: bytes, telling: str) -> None:
    text = data.isascii() and b"\0" not in data
    with pytest.raises(InputError, match=telling):
        read(tmp_path, data if text else data + bytes(400))


def test_bytes_of_no_format(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not an image, or its header is damaged: give a PNG, JPEG"):
        read(tmp_path, RANDOM.bytes(3000))
