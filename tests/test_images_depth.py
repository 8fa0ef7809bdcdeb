"""Images of 16 bits and floats: values, resizing, and files that other programs wrote."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import OpenEXR
import pytest
import tifffile
from PIL import Image as PILImage

from kanfield.errors import InputError
from kanfield.images import Image, read_image, resize_image, write_image

CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
HIGHEST = {"uint8": 256, "uint16": 65536, "float32": 7.5}
DEEP = ["uint16", "float32"]


def noise(mode: str, dtype: str, height: int = 5, width: int = 7) -> Image:
    random = np.random.default_rng(0).random((height, width, CHANNELS[mode])) * HIGHEST[dtype]
    return Image(random.astype(dtype), mode)


def save_tiff(path: Path, pixels: np.ndarray, **options: Any) -> None:
    """As other programs write them: unlike ours in compression, layout and order of bytes."""
    options = {"photometric": "rgb" if pixels.shape[2] > 2 else "minisblack", "metadata": None, **options}
    if pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    elif options.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, 2, 0)
    else:
        options["planarconfig"] = "contig"
    tifffile.imwrite(path, pixels, **options)


def png16(pixels: np.ndarray, *chunks: bytes) -> bytes:
    """A 16-bit PNG file, with extra chunks behind the header."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
        + b"".join(chunks)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


# --- the image ----------------------------------------------------------------------------------


def test_every_16_bit_level_survives_values_and_back() -> None:
    image = Image(np.arange(65536, dtype=np.uint16).reshape(256, 256, 1), "L")
    assert (image.bits, image.is_float, image.value_range, image.suffix) == (16, False, (0, 65535), ".png")
    values = image.values()
    assert values.dtype == np.float32 and values.min() == 0 and values.max() == 1
    assert np.array_equal(Image.from_values(values, like=image).pixels, image.pixels)
    assert np.array_equal(image.to_8bit().pixels, (image.pixels.astype(int) + 128) // 257)


def test_float_values_span_the_range_and_come_back_close() -> None:
    image = noise("RGBA", "float32")
    image = Image(image.pixels - 3, "RGBA", icc_profile=b"profile")
    assert image.value_range == (image.pixels.min(), image.pixels.max())
    assert (image.bits, image.is_float, image.suffix) == (32, True, ".tiff")
    values = image.values()
    assert values.min() == 0 and values.max() == 1
    back = Image.from_values(values, like=image)
    assert np.abs(back.pixels - image.pixels).max() < 1e-6 * 7.5
    assert (back.value_range, back.icc_profile) == (image.value_range, b"profile")
    assert Image.from_values([[[-1.0] * 4, [np.inf] * 4]], like=image).value_range == image.value_range


def test_only_the_asked_rows() -> None:
    for dtype in ("uint8", *DEEP):
        image = noise("LA", dtype)
        assert np.array_equal(image.values(slice(1, 3)), image.values()[7:21])


@pytest.mark.parametrize("value", [0.0, -4.5, 1e30, -3e38])
def test_the_range_of_a_constant_float_image(value: float) -> None:
    image = Image(np.full((2, 2, 1), value, dtype=np.float32), "L")
    low, high = image.value_range
    assert low == image.pixels[0, 0, 0] and high == (low + 1 if abs(low) < 1e9 else np.nextafter(low, 1e39))
    assert np.array_equal(Image.from_values(image.values(), like=image).pixels, image.pixels)


def test_the_widest_floats() -> None:
    image = Image(np.array([[[-4e29], [0], [4e29]]], dtype=np.float32), "L")
    assert image.values().ravel().tolist() == [0, 0.5, 1]
    assert np.isfinite(resize_image(image, 7).pixels).all()
    widest = Image(np.array([[[-3.4e38], [0], [3.4e38]]], dtype=np.float32), "L")
    assert widest.values().ravel().tolist() == [0, 0.5, 1]
    assert np.array_equal(Image.from_values(widest.values(), like=widest).pixels, widest.pixels)


def test_suffix_follows_the_source() -> None:
    pixels = np.zeros((2, 2, 3), dtype=np.float32)
    suffixes = [Image(pixels, "RGB", Path(f"a{s}")).suffix for s in (".EXR", ".hdr", ".tif", ".png")]
    assert suffixes == [".exr", ".exr", ".tiff", ".tiff"]


def test_the_8_bit_view_of_floats_takes_alpha_from_zero_to_one() -> None:
    pixels = np.array([[[10, 1], [20, 0.5], [30, 7]]], dtype=np.float32)
    view = Image(pixels, "LA", icc_profile=b"p", value_range=(10, 30)).to_8bit()
    assert view.pixels.tolist() == [[[0, 255], [128, 128], [255, 255]]]
    assert view.to_8bit() is view and view.icc_profile == b"p"
    assert view.to_pil().mode == "LA"


@pytest.mark.parametrize(
    ("pixels", "mode", "telling"),
    [
        ([[[0]]], "L", "The pixels are a list: give a NumPy array"),
        (np.zeros((4, 4), np.uint8), "L", r"shape \(4, 4\) are no image: give .* pixels\[\.\.\., None\]"),
        (np.zeros((4, 4, 5), np.uint8), "L", "Mode 'L' does not fit 5 channels: give 'bands'"),
        (np.zeros((0, 4, 3), np.uint8), "RGB", r"shape \(0, 4, 3\) are an empty image"),
        (np.zeros((4, 4, 3)), "RGB", "type float64 are not supported: give uint8, uint16 or float32"),
        (np.zeros((4, 4, 4), np.uint8), "RGB", "Mode 'RGB' does not fit 4 channels: give 'RGBA'"),
        (np.full((4, 4, 1), np.nan, np.float32), "L", "The image has no known pixel, all are missing"),
    ],
)
def test_what_is_no_image(pixels, mode: str, telling: str) -> None:
    with pytest.raises(InputError, match=telling):
        Image(pixels, mode)


@pytest.mark.parametrize("given", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1)])
def test_value_ranges_that_are_none(given) -> None:
    for dtype in (np.float32, np.uint8):
        with pytest.raises(InputError, match=r"value range .* is impossible: give finite numbers"):
            Image(np.zeros((2, 2, 1), dtype), "L", value_range=given)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_in_a_range_of_their_own(dtype: str) -> None:
    image = Image(np.array([[[50], [60], [100]]], dtype=dtype), "L", value_range=(50, 100))
    assert image.values().round(6).ravel().tolist() == [0, np.float32(0.2), 1]
    assert np.array_equal(Image.from_values(image.values(), like=image).pixels, image.pixels)
    assert image.to_8bit().pixels.ravel().tolist() == [0, 51, 255]
    assert image.suffix == ".tiff"  # as the pixels are, nobody could see anything


@pytest.mark.parametrize("given", [(0, 300), (-20, 255), (-20, 300)])
def test_integers_in_a_range_beyond_their_type_do_not_wrap_around(given) -> None:
    like = Image(np.array([[[0], [255]]], dtype=np.uint8), "L", value_range=given)
    assert Image.from_values([[[0.0], [1.0]]], like=like).pixels.ravel().tolist() == [0, 255]


def test_values_on_a_logarithm_are_undone() -> None:
    pixels = np.array([[[-5], [0], [0.25], [1e30]]], dtype=np.float32)
    image = Image(pixels, "L", log_scale=0.5)
    unit = image.to_unit(pixels)
    assert unit.min() == 0 and unit.max() == 1 and np.all(np.diff(unit.ravel()) > 0.004)
    assert np.allclose(Image.from_values(unit, like=image).pixels, pixels, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_premultiplied_colours_are_divided_again(dtype: str) -> None:
    top = np.iinfo(dtype).max
    image = Image(np.array([[[top, 9, 0, 3], [40, 50, 60, top]]], dtype=dtype), "RGBA", premultiplied=True)
    assert image.values()[0].round(6).tolist() == pytest.approx([3 / top, 27 / top**2, 0, 3 / top], abs=1e-6)
    assert np.array_equal(Image.from_values(image.to_unit(image.pixels), like=image).pixels, image.pixels)
    nothing = Image.from_values(np.array([[[0.5, 0.5, 0.5, 0]]]), like=image)
    assert nothing.pixels.tolist() == [[[0, 0, 0, 0]]]


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_colours_without_any_alpha_are_resized_all_the_same(dtype: str) -> None:
    pixels = np.full((8, 8, 4), 7, dtype=dtype)
    pixels[..., 3] = 0
    assert np.allclose(resize_image(Image(pixels, "RGBA"), 4).pixels[..., :3], 7)


def test_missing_pixels_do_not_bleed_when_resized() -> None:
    pixels = np.full((8, 8, 2), 5, dtype=np.float32)
    missing = np.zeros((8, 8), bool)
    missing[:, 4:] = True
    pixels[missing] = -9999
    small = resize_image(Image(pixels, "bands", missing=missing, bands=("a", "b")), 4)
    assert small.missing is not None and small.missing.tolist() == [[False, False, True, True]] * 4
    assert small.bands == ("a", "b") and small.value_range == (5, 6)
    assert np.allclose(small.pixels[~small.missing], 5)


def test_clear_colours_do_not_bleed_beside_missing_pixels() -> None:
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[:, :4] = [200, 0, 0, 255]
    pixels[:, 4:] = [0, 255, 0, 0]
    missing = np.zeros((8, 8), bool)
    missing[0, 0] = True
    small = resize_image(Image(pixels, "RGBA", missing=missing), 3).pixels
    assert small[..., 1].max() == 0 and small[:, 0, 0].tolist() == [200] * 3


# --- resizing -----------------------------------------------------------------------------------


def test_resize_keeps_to_a_declared_depth() -> None:
    pixels = np.zeros((16, 16, 1), dtype=np.uint16)
    pixels[:, 8:] = 4095
    small = resize_image(Image(pixels, "L", value_range=(0, 4095)), 11)
    assert small.pixels.max() == 4095 and small.value_range == (0, 4095)


@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize("dtype", DEEP)
def test_resize_agrees_with_8_bit(dtype: str, mode: str) -> None:
    image = noise(mode, "uint8", 40, 31)
    deep = image.pixels.astype(np.uint16) * 257 if dtype == "uint16" else image.values().reshape(40, 31, -1)
    small, deep_small = resize_image(image, 13), resize_image(Image(deep, mode), 13)
    assert deep_small.pixels.dtype == dtype and deep_small.mode == mode
    seen: Any = slice(None)
    if mode.endswith("A"):  # where little is seen, 8 bits of colour times alpha say little of the colour
        seen = small.pixels[..., -1] > 128
    got = deep_small.pixels / (257 if dtype == "uint16" else 1 / 255)
    assert np.abs(got - small.pixels)[seen].max() < 3


@pytest.mark.parametrize("dtype", DEEP)
def test_resize_keeps_transparent_colour_out_and_the_range(dtype: str) -> None:
    top = 65535 if dtype == "uint16" else 1
    pixels = np.zeros((8, 8, 4), dtype=dtype)
    pixels[:, :4] = np.array([0.8 * top, 0, 0, top]).astype(dtype)
    pixels[:, 4:] = np.array([0, top, 0, 0]).astype(dtype)
    for size in (3, 21):
        small = resize_image(Image(pixels, "RGBA"), size).pixels
        alpha = small[0, :, 3]
        assert ((alpha > 0) & (alpha < top)).any()
        assert small[..., 1].max() == 0
        assert np.abs(small[alpha[None].repeat(len(small), 0) > 0.01 * top][:, 0] / top - 0.8).max() < 1e-3
        assert small.max() <= top


def test_resized_floats_stay_between_theirs_and_take_a_new_range() -> None:
    pixels = np.zeros((4, 16, 2), dtype=np.float32)
    pixels[:, 8:] = [50, 0.25]
    large = resize_image(Image(pixels, "LA", value_range=(-1000, 1000)), 40)
    assert large.pixels[..., 0].max() <= 50 and large.pixels[..., 1].max() <= 0.25 and large.pixels.min() >= 0
    assert large.value_range == (large.pixels.min(), large.pixels.max())


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize(
    ("dtype", "suffix"),
    [("uint16", ".png"), *((d, s) for d in HIGHEST for s in (".tif", ".TIFF")), ("float32", ".exr")],
)
def test_round_trip_is_exact(tmp_path: Path, dtype: str, suffix: str, mode: str) -> None:
    for shape in ((5, 7), (1, 9), (300, 2)):
        image = noise(mode, dtype, *shape)
        write_image(tmp_path / f"a{suffix}", image)
        back = read_image(tmp_path / f"a{suffix}")
        assert (back.mode, back.pixels.dtype, back.notes) == (mode, dtype, ())
        assert np.array_equal(back.pixels, image.pixels)
        assert back.suffix == (suffix.lower() if dtype == "float32" and suffix == ".exr" else image.suffix)


@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize("interesting", ["16 bits", "8 bits", "floats"])
def test_others_read_what_is_written(tmp_path: Path, mode: str, interesting: str) -> None:
    image = noise(mode, {"16 bits": "uint16", "8 bits": "uint8", "floats": "float32"}[interesting])
    write_image(tmp_path / "a.tiff", image)
    stored = tifffile.imread(tmp_path / "a.tiff")
    assert np.array_equal(stored.reshape(image.pixels.shape), image.pixels)
    if image.bits == 8:  # the only ones that Pillow keeps
        assert np.array_equal(np.asarray(PILImage.open(tmp_path / "a.tiff")), stored)


@pytest.mark.parametrize("mode", CHANNELS)
def test_png_of_16_bits_that_others_wrote(tmp_path: Path, mode: str) -> None:
    image = noise(mode, "uint16")
    (tmp_path / "a").write_bytes(png16(image.pixels))  # told by content
    back = read_image(tmp_path / "a")
    assert back.mode == mode and back.notes == ()
    assert np.array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_transparent_colour_of_16_bits(tmp_path: Path, mode: str) -> None:
    pixels = noise(mode, "uint16").pixels
    colour = chunk(b"tRNS", pixels[1, 2].astype(">u2").tobytes())
    (tmp_path / "a.png").write_bytes(png16(pixels, colour))
    image = read_image(tmp_path / "a.png")
    assert image.mode == mode + "A" and image.notes == (f"The transparent colour converted to {mode}A.",)
    assert np.array_equal(image.pixels[..., :-1], pixels)
    assert np.argwhere(image.pixels[..., -1] == 0).tolist() == [[1, 2]]


@pytest.mark.parametrize("mode", CHANNELS)
@pytest.mark.parametrize("dtype", HIGHEST)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzw", "predictor": True, "byteorder": ">"},
        {"compression": "deflate", "rowsperstrip": 2},
        {"compression": "packbits", "tile": (16, 16)},
        {"bigtiff": True, "compression": "zstd"},
    ],
    ids=str,
)
def test_tiff_that_others_wrote(tmp_path: Path, dtype: str, mode: str, options: dict[str, Any]) -> None:
    image = noise(mode, dtype, 20, 23)
    alpha = {"extrasamples": ["unassalpha"]} if mode.endswith("A") else {}
    for layout in [{}, {"planarconfig": "separate"}] if mode.startswith("RGB") else [{}]:
        save_tiff(tmp_path / "a", image.pixels, **options, **alpha, **layout)
        back = read_image(tmp_path / "a")
        assert back.mode == mode and back.notes == ()
        assert np.array_equal(back.pixels, image.pixels)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_become_float32(tmp_path: Path, dtype: str) -> None:
    pixels = noise("RGB", "float32").pixels.astype(dtype)
    save_tiff(tmp_path / "a.tif", pixels)
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.pixels, pixels.astype(np.float32))
    assert image.notes == (f"{dtype[5:]}-bit floats converted to 32-bit.",)
    save_tiff(tmp_path / "a.tif", np.full((2, 2, 1), 1e300))
    with pytest.raises(InputError, match="no known pixel"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_inverted_gray_and_premultiplied_alpha(tmp_path: Path, dtype: str) -> None:
    image = noise("L", dtype)
    save_tiff(tmp_path / "a.tif", image.pixels, photometric="miniswhite")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, np.iinfo(dtype).max - image.pixels)
    pixels = np.array([[[50, 100], [0, 0], [9, 0], [100, 100]]], dtype=dtype)
    save_tiff(tmp_path / "a.tif", pixels, extrasamples=["assocalpha"])
    straight = read_image(tmp_path / "a.tif")
    half, top = np.iinfo(dtype).max // 2 + 1, np.iinfo(dtype).max
    assert straight.pixels.tolist() == [[[half, 100], [0, 0], [0, 0], [top, 100]]]
    assert straight.notes == ("Premultiplied colours divided by alpha.",)


def test_tiff_that_is_refused(tmp_path: Path) -> None:
    save_tiff(tmp_path / "a.tif", np.zeros((4, 4, 1), np.complex64))
    with pytest.raises(
        InputError, match=r"holds 64-bit complex pixels of gray colours: kanfield reads .* convert"
    ):
        read_image(tmp_path / "a.tif")
    save_tiff(tmp_path / "b.tif", np.zeros((4, 4, 4), np.uint16), photometric="separated")
    with pytest.raises(InputError, match="holds 16-bit integer pixels of CMYK colours"):
        read_image(tmp_path / "b.tif")


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("names", ["Y", "YA", "RGB", "RGBA"])
def test_exr_that_others_wrote(tmp_path: Path, names: str, dtype: str) -> None:
    planes = np.random.default_rng(0).random((len(names), 20, 33)).astype(dtype)
    for compression in ("NO_COMPRESSION", "PIZ_COMPRESSION"):
        for tiles in ({}, {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()}):
            header = {"type": OpenEXR.scanlineimage, "compression": getattr(OpenEXR, compression), **tiles}
            OpenEXR.File(header, dict(zip(names, planes, strict=True))).write(str(tmp_path / "a"))
            image = read_image(tmp_path / "a")
            assert image.mode == names.replace("Y", "L")
            assert image.notes == (() if dtype == "float32" else ("16-bit floats converted to 32-bit.",))
            assert np.array_equal(image.pixels, np.moveaxis(planes, 0, 2).astype(np.float32))


def test_exr_windows_parts_and_other_channels(tmp_path: Path) -> None:
    path, plane = tmp_path / "a.exr", np.ones((4, 6), np.float32)
    window = {"dataWindow": (np.array([2, 3], np.int32), np.array([7, 6], np.int32))}
    OpenEXR.File({**window, "type": OpenEXR.scanlineimage}, {"Y": plane}).write(str(path))
    assert read_image(path).notes == ("The data window was read, which is not the display window.",)
    OpenEXR.File([OpenEXR.Part({"name": n}, {"Y": plane}) for n in "ab"]).write(str(path))
    assert read_image(path).notes == ("Only the first of 2 pictures in the file was read.",)
    OpenEXR.File({}, {"Z": plane, "R": plane}).write(str(path))
    image = read_image(path)
    assert (image.mode, image.bands, image.notes) == ("bands", ("R", "Z"), ())


@pytest.mark.parametrize("width", [6, 40])
def test_radiance_that_others_wrote(tmp_path: Path, width: int) -> None:
    pixels = np.random.default_rng(0).random((5, width, 3)).astype(np.float32) * 100
    data = imagecodecs.rgbe_encode(pixels, header=True)
    (tmp_path / "a.hdr").write_bytes(data.replace(b"\nFORMAT", b"\n# note\nEXPOSURE=2.0\nFORMAT", 1))
    image = read_image(tmp_path / "a.hdr")
    assert (image.mode, image.pixels.dtype, image.suffix, image.notes) == ("RGB", np.float32, ".exr", ())
    assert (np.abs(image.pixels - pixels) <= pixels.max(axis=2, keepdims=True) / 128).all()
    for old, new, telling in [
        (b"-Y 5", b"+Y 5", "is damaged or not stored row by row"),
        (b"rle_rgbe", b"rle_xyze", "holds XYZ colours: convert it to RGB"),
    ]:
        (tmp_path / "b.hdr").write_bytes(data.replace(old, new))
        with pytest.raises(InputError, match=telling):
            read_image(tmp_path / "b.hdr")


def test_pnm(tmp_path: Path) -> None:
    for mode, magic in (("L", b"P5"), ("RGB", b"P6")):
        image, eight = noise(mode, "uint16"), noise(mode, "uint8")
        (tmp_path / "a").write_bytes(magic + b"\n# note\n7 5\n65535\n" + image.pixels.astype(">u2").tobytes())
        assert np.array_equal(read_image(tmp_path / "a").pixels, image.pixels)
        (tmp_path / "a").write_bytes(magic + b" 7 5 255\n" + eight.pixels.tobytes())
        assert np.array_equal(read_image(tmp_path / "a").pixels, eight.pixels)
        text = " ".join(map(str, image.pixels.ravel().tolist()))
        (tmp_path / "a").write_text(f"P{int(magic[1:]) - 3} 7 5 65535\n{text}\n")
        assert np.array_equal(read_image(tmp_path / "a").pixels, image.pixels)
    (tmp_path / "a").write_bytes(b"P5 3 1 1023 " + np.array([0, 1, 1023], ">u2").tobytes())
    image = read_image(tmp_path / "a")
    assert image.pixels.ravel().tolist() == [0, 64, 65535]
    assert image.notes == ("Values up to 1023 scaled to 65535.",)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(2, lambda a: a[:, ::-1]), (6, lambda a: np.rot90(a, -1)), (7, lambda a: a[::-1, ::-1].swapaxes(0, 1))],
)
def test_orientation_of_deep_files(tmp_path: Path, orientation: int, upright) -> None:
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    image = noise("RGBA", "uint16")
    (tmp_path / "a.png").write_bytes(png16(image.pixels, chunk(b"eXIf", exif.tobytes()[6:])))
    assert np.array_equal(read_image(tmp_path / "a.png").pixels, upright(image.pixels))
    for dtype in HIGHEST:
        image = noise("RGB", dtype)
        save_tiff(tmp_path / "a.tif", image.pixels, extratags=[(274, "H", 1, orientation, True)])
        assert np.array_equal(read_image(tmp_path / "a.tif").pixels, upright(image.pixels))


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_deep_images_in_8_bit_formats(tmp_path: Path, mode: str) -> None:
    for dtype in DEEP:
        image = noise(mode, dtype)
        suffixes = [".webp"] + [".png"] * (dtype == "float32") + [".bmp", ".jpg"] * (mode == "L")
        for suffix in suffixes:
            write_image(tmp_path / f"a{suffix}", image)
            back = read_image(tmp_path / f"a{suffix}")
            assert back.bits == 8
            if suffix == ".png":
                assert np.array_equal(back.pixels, image.to_8bit().pixels)


def test_what_exr_and_hdr_do_not_hold(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"a\.exr: EXR holds floats, not 16-bit integers: use \.png or \.tiff"
    ):
        write_image(tmp_path / "a.exr", noise("RGB", "uint16"))
    with pytest.raises(InputError, match=r"Radiance HDR cannot hold the pixels exactly: use \.tiff"):
        write_image(tmp_path / "a.hdr", noise("RGB", "float32"))
    assert not list(tmp_path.iterdir())
