"""Image files: colour profiles and conversions, several pictures in one, and what is damaged or too large."""

from __future__ import annotations

import contextlib
import io
import struct
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image as PILImage
from PIL import ImageCms

from kanfield.errors import InputError
from kanfield.images import Image, read_image, write_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GRAY = SRGB[:16] + b"GRAY" + SRGB[20:]
CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}


def noise(mode: str, dtype: str = "uint8", height: int = 40, width: int = 50) -> Image:
    random = np.random.default_rng(0).random((height, width, CHANNELS[mode]))
    return Image((random * {"uint8": 256, "uint16": 65536, "float32": 3}[dtype]).astype(dtype), mode)


def pil_bytes(picture: PILImage.Image, name: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


def read(tmp_path: Path, data: bytes, **options: int) -> Image:
    (tmp_path / "image").write_bytes(data)
    return read_image(tmp_path / "image", **options)


def refused(tmp_path: Path, data: bytes, **options: int) -> str:
    with pytest.raises(InputError) as caught:
        read(tmp_path, data, **options)
    text = str(caught.value)
    assert str(tmp_path / "image") in text and "\n" not in text
    return text


# --- colours ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [
        *(("uint8", s) for s in (".png", ".jpg", ".webp", ".tiff")),
        *(("uint16", s) for s in (".png", ".tiff", ".jpg")),
        ("float32", ".tiff"),
    ],
)
def test_profile_is_kept(tmp_path: Path, dtype: str, suffix: str, mode: str) -> None:
    if suffix == ".jpg" and mode.endswith("A"):
        return
    image = noise(mode, dtype)
    profile = GRAY if mode.startswith("L") else SRGB
    path = tmp_path / f"a{suffix}"
    write_image(path, Image(image.pixels, mode, icc_profile=profile))
    back = read_image(path, size=20)
    gray_webp = suffix == ".webp" and mode.startswith("L")
    assert back.icc_profile == (None if gray_webp else profile)
    if suffix != ".jpg":
        assert np.array_equal(read_image(path).pixels[..., -1], image.pixels[..., -1])
    if suffix in {".png", ".jpg", ".webp"}:
        assert PILImage.open(path).info.get("icc_profile") == back.icc_profile


def test_profile_of_other_colours_is_dropped(tmp_path: Path) -> None:
    assert read(tmp_path, pil_bytes(PILImage.new("L", (4, 4)), "PNG", icc_profile=SRGB)).icc_profile is None


def cmyk_profile() -> bytes:
    """A profile by which cyan prints as a red, black as black, and everything else as white."""
    red, white, black = (136, 208, 195), (255, 128, 128), (0, 128, 128)  # Lab in 8 bits
    # Cyan varies slowest, black fastest.
    grid = b"".join(bytes(black if i % 2 else red if i >= 8 else white) for i in range(16))
    ramp = bytes(range(256))
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + grid + ramp * 3
    tags = struct.pack(">I4sII", 1, b"A2B0", 128 + 16, len(table))
    white_point = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", 128 + 16 + len(table), b"", 0x02100000, b"prtr", b"CMYK", b"Lab ", b"", b"acsp"
    )
    return header.ljust(68, b"\0") + white_point.ljust(60, b"\0") + tags + table


@pytest.mark.parametrize(
    ("name", "options"), [("JPEG", {"quality": 100}), ("TIFF", {"compression": "tiff_lzw"})]
)
def test_cmyk(tmp_path: Path, name: str, options) -> None:
    picture = PILImage.new("CMYK", (16, 8), (255, 0, 0, 0))
    plain = read(tmp_path, pil_bytes(picture, name, **options))
    assert plain.mode == "RGB" and np.abs(plain.pixels.astype(int) - [0, 255, 255]).max() <= 3
    assert plain.notes == ("CMYK colours converted to RGB.",)
    printed = read(tmp_path, pil_bytes(picture, name, icc_profile=cmyk_profile(), **options))
    assert (printed.pixels[0, 0] > [230, -1, -1]).all() and printed.pixels[0, 0, 1:].max() < 60
    assert printed.notes == ("CMYK colours converted to sRGB by their profile.",)
    assert printed.icc_profile is None
    for useless in (SRGB, b"no profile"):
        image = read(tmp_path, pil_bytes(picture, name, icc_profile=useless, **options))
        assert np.array_equal(image.pixels, plain.pixels)
        assert image.notes == ("CMYK colours converted to RGB without their profile, which cannot be used.",)


@pytest.mark.parametrize("name", ["PNG", "GIF", "TIFF", "BMP"])
def test_palette(tmp_path: Path, name: str) -> None:
    colours = noise("RGB", height=2, width=3)
    picture = colours.to_pil().quantize(6)
    image = read(tmp_path, pil_bytes(picture, name))
    assert np.array_equal(image.pixels, np.asarray(picture.convert("RGB")))
    assert image.notes == ("Palette colours converted to RGB.",)


def test_transparent_gif_and_ycbcr_tiff(tmp_path: Path) -> None:
    picture = noise("RGB", height=2, width=3).to_pil().quantize(6)
    assert (
        read(tmp_path, pil_bytes(picture, "GIF", transparency=picture.getpixel((2, 1)))).pixels[1, 2, 3] == 0
    )
    smooth = PILImage.linear_gradient("L").resize((32, 32)).convert("RGB")
    image = read(tmp_path, pil_bytes(smooth.convert("YCbCr"), "TIFF", compression="jpeg"))
    assert image.mode == "RGB" and np.abs(image.pixels.astype(int) - np.asarray(smooth)).max() < 20


def test_orientation_of_tiff_that_pillow_reads(tmp_path: Path) -> None:
    picture = noise("RGB", height=2, width=3).to_pil().quantize(6)
    image = read(tmp_path, pil_bytes(picture, "TIFF", tiffinfo={274: 6}))
    assert np.array_equal(image.pixels, np.rot90(np.asarray(picture.convert("RGB")), -1))


# --- several pictures ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["GIF", "WEBP", "PNG", "TIFF", "16-bit TIFF"])
def test_only_the_first_picture(tmp_path: Path, name: str) -> None:
    first, others = PILImage.new("L", (6, 5), 200), [PILImage.new("L", (6, 5), n) for n in (1, 2)]
    options = {"lossless": True} if name == "WEBP" else {}
    if name == "16-bit TIFF":
        file = io.BytesIO()
        tifffile.imwrite(file, np.arange(3 * 30, dtype=np.uint16).reshape(3, 5, 6), photometric="minisblack")
        image, level = read(tmp_path, file.getvalue()), 0
    else:
        image = read(tmp_path, pil_bytes(first, name, save_all=True, append_images=others, **options))
        level = 200
    assert image.pixels[0, 0, 0] == level
    assert image.notes[-1] == "Only the first of 3 pictures in the file was read."


# --- too large ----------------------------------------------------------------------------------


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    ihdr = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + ihdr + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def tiff_header(width: int, height: int, space: int = 2) -> bytes:
    tags = [(256, width), (257, height), (258, 8), (259, 1), (262, space), (273, 8), (277, 3), (279, 99)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4) + bytes(99)


def exr_header(width: int, height: int) -> bytes:
    file = io.BytesIO()
    OpenEXR.File({"type": OpenEXR.scanlineimage}, {"Y": np.zeros((4, 4), np.float32)}).write(file)
    start, data = file.getvalue().index(b"dataWindow\0box2i\0") + 21, file.getvalue()
    return data[:start] + struct.pack("<4i", 0, 0, width - 1, height - 1) + data[start + 16 :]


def webp_header(width: int, height: int) -> bytes:
    picture = pil_bytes(PILImage.new("RGB", (2, 2)), "WEBP", lossless=True)[12:]
    frame = bytes(6) + (b"\1\0\0" * 2) + bytes(4) + picture
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBPVP8X\x0a\0\0\0\2\0\0\0" + size + b"ANIM\6\0\0\0" + bytes(6)
    body += b"ANMF" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_header(width: int, height: int) -> bytes:
    data = pil_bytes(PILImage.new("L", (8, 8)), "JPEG")
    return data.replace(struct.pack(">HH", 8, 8), struct.pack(">HH", height, width), 1)


def bmp_header(width: int, height: int) -> bytes:
    fields = struct.pack("<4I2i2H6I", 999, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + fields + bytes(99)


HEADERS: dict[str, tuple[int, Callable[[int, int], bytes]]] = {
    "png": (100_000, png_header),
    "tiff": (100_000, tiff_header),
    "palette tiff": (100_000, lambda w, h: tiff_header(w, h, space=3)),
    "exr": (100_000, exr_header),
    "hdr": (
        100_000,
        lambda w, h: b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (h, w) + bytes(99),
    ),
    "pgm": (100_000, lambda w, h: b"P5 %d %d 255\n" % (w, h) + bytes(99)),
    "deep pgm": (100_000, lambda w, h: b"P5 %d %d 65535\n" % (w, h) + bytes(99)),
    "bmp": (100_000, bmp_header),
    "gif": (65_000, lambda w, h: b"GIF89a" + struct.pack("<HH", w, h) + bytes(3) + b"," + bytes(99)),
    "jpeg": (65_000, jpeg_header),
    "webp": (60_000, webp_header),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_huge_header_is_refused_before_decoding(tmp_path: Path, name: str) -> None:
    side, header = HEADERS[name]
    said = refused(tmp_path, header(side, side))
    assert said.endswith(f"has {side} x {side} pixels, over 178,956,970: raise --max-pixels")


@pytest.mark.parametrize("name", ["hdr", "exr", "tiff", "png", "deep pgm", "gif"])
def test_sizes_that_are_nonsense(tmp_path: Path, name: str) -> None:
    header = HEADERS[name][1]
    for size in [(0, 0)] + [(-5, 5)] * (name in {"hdr", "exr"}):
        assert "damaged" in refused(tmp_path, header(*size))


SAMPLES: dict[str, Callable[[], tuple[Image, str]]] = {
    "png": lambda: (noise("RGBA"), ".png"),
    "deep png": lambda: (noise("RGB", "uint16"), ".png"),
    "jpeg": lambda: (noise("RGB"), ".jpg"),
    "webp": lambda: (noise("RGB"), ".webp"),
    "bmp": lambda: (noise("RGB"), ".bmp"),
    "tiff": lambda: (noise("RGB"), ".tiff"),
    "deep tiff": lambda: (noise("LA", "uint16"), ".tiff"),
    "float tiff": lambda: (noise("L", "float32"), ".tiff"),
    "exr": lambda: (noise("RGB", "float32"), ".exr"),
}


def sample(tmp_path: Path, name: str) -> bytes:
    """A file of 50 x 40 pixels."""
    if name in SAMPLES:
        image, suffix = SAMPLES[name]()
        write_image(tmp_path / f"a{suffix}", image)
        return (tmp_path / f"a{suffix}").read_bytes()
    picture, file = noise("RGB").to_pil(), io.BytesIO()
    if name == "hdr":
        return bytes(imagecodecs.rgbe_encode(noise("RGB", "float32").pixels, header=True))
    if name.endswith("tiff by others"):
        options = {
            "plain": {},
            "lzw": {"compression": "lzw"},
            "tiled": {"tile": (16, 16), "compression": "lzma"},
        }
        pixels = noise("RGB", "uint16").pixels
        tifffile.imwrite(file, pixels, photometric="rgb", **options[name.split()[0]])
        return file.getvalue()
    return {
        "gif": lambda: pil_bytes(picture.quantize(200), "GIF"),
        "ppm": lambda: pil_bytes(picture, "PPM"),
        "deep pgm": lambda: b"P5 50 40 65535 " + bytes(50 * 40 * 2),
        "cmyk tiff": lambda: pil_bytes(picture.convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "fax tiff": lambda: pil_bytes(picture.convert("1"), "TIFF", compression="group4"),
        "jpeg tiff": lambda: pil_bytes(picture.convert("YCbCr"), "TIFF", compression="jpeg"),
        "apng": lambda: pil_bytes(
            picture, "PNG", save_all=True, append_images=[PILImage.new("RGB", (50, 40))]
        ),
    }[name]()


KINDS = [*SAMPLES, "hdr", "gif", "ppm", "deep pgm", "cmyk tiff", "fax tiff", "jpeg tiff", "apng"]
KINDS += ["plain tiff by others", "lzw tiff by others", "tiled tiff by others"]


@pytest.mark.parametrize("name", KINDS)
def test_max_pixels_decides_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 10)
    data = sample(tmp_path, name)
    assert read(tmp_path, data, max_pixels=2000).pixels.shape[:2] == (40, 50)
    assert "has 50 x 40 pixels, over 1,999: raise --max-pixels" in refused(tmp_path, data, max_pixels=1999)


# --- damaged ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_truncated_files_give_one_line_and_no_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, name: str
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # pytest's own threads may be left from before
    data = sample(tmp_path, name)
    for share in (0.02, 0.1, 0.4, 0.7, 0.95):
        refused(tmp_path, data[: int(share * len(data))])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_give_one_line_and_no_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd, name: str
) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    data, random = sample(tmp_path, name), np.random.default_rng(0)
    for _ in range(12):
        damaged = bytearray(data)
        for place in random.integers(4, len(data) // 2, 3):
            damaged[place] = random.integers(256)
        with contextlib.suppress(InputError):  # it may be read as another picture
            read(tmp_path, bytes(damaged), max_pixels=100_000)
    assert capfd.readouterr() == ("", "")


def test_tiff_with_missing_strips(tmp_path: Path) -> None:
    assert "parts of the picture are missing" in refused(tmp_path, tiff_with_strips(1, 10))
    assert "parts of the picture are missing" in refused(tmp_path, tiff_with_strips(2, 0))
    assert read(tmp_path, tiff_with_strips(2, 10)).pixels.shape == (4, 5, 1)


def tiff_with_strips(count: int, size: int) -> bytes:
    """Five by four gray pixels, two rows a strip, in `count` strips of `size` bytes."""
    tags = [(256, 5), (257, 4), (258, 8), (259, 1), (262, 1), (277, 1), (278, 2)]
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags]
    end = 8 + 2 + 12 * 9 + 4
    arrays = struct.pack("<2I2I", end + 16, end + 26, size, size)
    for tag, place, value in ((273, end, end + 16), (279, end + 8, size)):
        entries.append(struct.pack("<HHII", tag, 4, count, place if count > 1 else value))
    body = b"".join(sorted(entries, key=lambda entry: struct.unpack("<H", entry[:2])))
    return struct.pack("<2sHIH", b"II", 42, 8, 9) + body + bytes(4) + arrays + bytes(range(20))


@pytest.mark.parametrize("suffix", [".exr", ".tiff"])
def test_pixels_that_are_not_finite(tmp_path: Path, suffix: str) -> None:
    path, plane = tmp_path / f"a{suffix}", np.zeros((3, 4), np.float32)
    plane[1, 2], plane[2, 0] = np.nan, -np.inf
    if suffix == ".exr":
        OpenEXR.File({}, {"Y": plane}).write(str(path))
    else:
        tifffile.imwrite(path, plane)
    image = read_image(path)
    assert image.missing is not None and np.argwhere(image.missing).tolist() == [[1, 2], [2, 0]]
    assert image.notes == ("2 pixels are NaN or infinite and count as missing.",)
    assert image.value_range == (0, 1)
    plane[2, 0] = 3
    image = Image(plane[..., None], "L")
    assert image.missing is not None and np.argwhere(image.missing).tolist() == [[1, 2]]
    assert image.notes == ("A pixel is NaN or infinite and counts as missing.",)
    assert image.value_range == (0, 3) and image.to_8bit().pixels[1, 2] == 0


@pytest.mark.parametrize("suffix", [".tiff", ".exr", ".png"])
def test_failed_deep_write_leaves_the_old_file(tmp_path: Path, monkeypatch, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    image = noise("RGB", "uint16" if suffix == ".png" else "float32")
    write_image(path, image)
    before = path.read_bytes()

    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tifffile, "TiffWriter", fail)
    monkeypatch.setattr(OpenEXR, "File", fail)
    monkeypatch.setattr(imagecodecs, "png_encode", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_image(path, image)
    assert type(caught.value) is OSError
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(InputError, match=r"cannot be written \(No such file"):
        write_image(tmp_path / "no" / f"a{suffix}", image)
