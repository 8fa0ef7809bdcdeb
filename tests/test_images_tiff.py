"""TIFF files of science, satellites, microscopes and cameras: bands, missing pixels, the right picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PILImage

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image, read_image, write_image
from kanfield.runs.input_image import input_image

RANDOM = np.random.default_rng(0)


def read(tmp_path: Path, pixels: np.ndarray, **options: Any) -> Image:
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    return read_image(tmp_path / "a.tif")


def integers(*shape: int, dtype: str = "uint16", low: int = 0) -> np.ndarray:
    return RANDOM.integers(low, np.iinfo(dtype).max, shape, dtype=dtype)


# --- which picture ------------------------------------------------------------------------------


def test_the_picture_below_a_preview(tmp_path: Path) -> None:
    small, large = integers(6, 8, 3, dtype="uint8"), integers(48, 64, 3)
    with tifffile.TiffWriter(tmp_path / "a.dng") as file:
        file.write(small, photometric="rgb", subfiletype=1, subifds=1)
        file.write(large, photometric="rgb")
    image = read_image(tmp_path / "a.dng")
    assert np.array_equal(image.pixels, large)
    assert image.notes == ("The file begins with a preview of 8 x 6 pixels: its largest picture was read.",)


def test_the_picture_behind_a_preview(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(integers(6, 8), photometric="minisblack", subfiletype=1, metadata=None)
        file.write(np.eye(20, 30, dtype=np.uint8), photometric="minisblack", metadata=None)
    assert read_image(tmp_path / "a.tif").pixels.shape == (20, 30, 1)


def test_smaller_levels_are_no_other_pictures(tmp_path: Path) -> None:
    large = integers(16, 20)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(large, photometric="minisblack", metadata=None)
        for step in (2, 4):
            file.write(large[::step, ::step], photometric="minisblack", subfiletype=1, metadata=None)
    image = read_image(tmp_path / "a.tif")
    assert np.array_equal(image.pixels[..., 0], large) and image.notes == ()


def test_a_broken_second_page_leaves_the_first(tmp_path: Path) -> None:
    first = integers(6, 8)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([first, first]), photometric="minisblack", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        place = file.pages[1].offset
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[place : place + 40] = b"\xff" * 40
    (tmp_path / "a.tif").write_bytes(data)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels[..., 0], first)


def test_what_a_sensor_saw(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a raw camera file: develop it"):
        read(tmp_path, integers(8, 8), photometric="cfa", extratags=[(33421, "H", 2, (2, 2), True)])


@pytest.mark.parametrize("kind", [{"imagej": True}, {"ome": True}])
def test_the_first_plane_of_a_hyperstack(tmp_path: Path, kind: dict[str, Any]) -> None:
    stack = integers(4, 3, 2, 8, 9)
    image = read(tmp_path, stack, metadata={"axes": "TZCYX"}, **kind)
    assert image.mode == "bands" and np.array_equal(image.pixels, np.moveaxis(stack[0, 0], 0, 2))
    assert image.notes == ("Only the first of 12 planes in the file was read (T 4, Z 3).",)


def test_the_names_of_a_microscopes_channels(tmp_path: Path) -> None:
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}}
    image = read(tmp_path, integers(3, 8, 9), ome=True, photometric="minisblack", metadata=metadata)
    assert (image.mode, image.bands, image.notes) == ("bands", ("DAPI", "GFP", "Cy5"), ())


def test_pictures_in_colour_are_not_channels(tmp_path: Path) -> None:
    stack = integers(4, 8, 9, 3, dtype="uint8")
    image = read(tmp_path, stack, imagej=True)
    assert image.mode == "RGB" and np.array_equal(image.pixels, stack[0])


@pytest.mark.parametrize("kind", ["TIFF", "deep TIFF", "palette TIFF", "GIF", "WEBP", "stack"])
def test_a_page_that_is_asked_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    levels = (10, 90, 200)
    if kind == "stack":
        stack = np.array(levels, np.uint16)[:, None, None, None] + np.zeros((3, 2, 8, 9), np.uint16)
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "ZCYX"})
    elif kind == "deep TIFF":
        planes = np.array(levels, np.uint16)[:, None, None] + np.zeros((3, 8, 9), np.uint16)
        tifffile.imwrite(path, planes, photometric="minisblack")
    else:
        frames = [PILImage.new("L", (9, 8), level) for level in levels]
        if kind == "palette TIFF":
            frames = [frame.convert("P") for frame in frames]
        options = {"lossless": True} if kind == "WEBP" else {}
        name = kind.removeprefix("palette ")
        frames[0].save(path, name, save_all=True, append_images=frames[1:], **options)
    for number, level in enumerate(levels, 1):
        image = read_image(path, page=number)
        assert (image.pixels == level).all()
        assert image.notes[-1] == f"Picture {number} of 3 in the file was read."
    with pytest.raises(InputError, match="a holds 3 pictures: give --page 1 to 3"):
        read_image(path, page=4)


def test_a_page_where_there_is_one(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", Image(integers(4, 5, 3, dtype="uint8"), "RGB"))
    assert read_image(tmp_path / "a.png", page=1).notes == ()
    with pytest.raises(InputError, match=r"a\.png holds one picture: leave out --page"):
        read_image(tmp_path / "a.png", page=2)
    write_image(tmp_path / "a.exr", Image(np.ones((4, 5, 3), np.float32), "RGB"))
    with pytest.raises(InputError, match=r"a\.exr: of this format the first picture alone is read"):
        read_image(tmp_path / "a.exr", page=2)


def test_a_fit_of_a_page(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(0, 9, (3, 8, 9), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="minisblack")
    image = input_image(tmp_path / "a.tif", Settings(page=3))
    assert np.array_equal(image.pixels[..., 0], planes[2])


# --- bands --------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"bigtiff": True, "byteorder": ">"}], ids=str)
def test_any_number_of_bands(tmp_path: Path, layout: str, options: dict[str, Any]) -> None:
    pixels = integers(20, 23, 13)
    stored = pixels if layout == "contig" else np.moveaxis(pixels, 2, 0)
    image = read(tmp_path, stored, photometric="minisblack", planarconfig=layout, metadata=None, **options)
    assert image.mode == "bands" and np.array_equal(image.pixels, pixels)


def test_three_bands_are_colours_and_others_only_as_the_file_says(tmp_path: Path) -> None:
    plain: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    image = read(tmp_path, integers(4, 5, 3), **plain)
    assert image.mode == "RGB" and image.notes == ("Three bands taken for red, green and blue.",)
    assert read(tmp_path, integers(4, 5, 4), extrasamples=["unspecified"] * 3, **plain).mode == "bands"
    assert read(tmp_path, integers(4, 5, 2), extrasamples=["unspecified"], **plain).mode == "bands"
    assert read(tmp_path, integers(4, 5, 2), extrasamples=["unassalpha"], **plain).mode == "LA"
    image = read(tmp_path, integers(4, 5, 4), photometric="rgb", extrasamples=["unspecified"])
    assert image.mode == "bands" and image.channels == 4


def test_alpha_beside_bands_marks_missing_pixels(tmp_path: Path) -> None:
    pixels = integers(4, 5, 6)
    pixels[..., 5] = np.arange(20).reshape(4, 5) % 3
    extra = ["unspecified"] * 4 + ["unassalpha"]
    image = read(tmp_path, pixels, photometric="minisblack", planarconfig="contig", extrasamples=extra)
    assert image.channels == 5 and np.array_equal(image.missing, pixels[..., 5] == 0)


def test_names_and_colours_that_gdal_notes(tmp_path: Path) -> None:
    def metadata(role: str, names: tuple[str, ...]) -> tuple[int, str, int, str, bool]:
        items = (f'<Item name="X" sample="{i}" role="{role}">{name}</Item>' for i, name in enumerate(names))
        return (42112, "s", 0, f"<GDALMetadata>{''.join(items)}</GDALMetadata>", True)

    pixels = integers(4, 5, 3)
    plain: dict[str, Any] = {"photometric": "minisblack", "planarconfig": "contig", "metadata": None}
    image = read(tmp_path, pixels, extratags=[metadata("colorinterp", ("Blue", "Green", "Red"))], **plain)
    assert np.array_equal(image.pixels, pixels[..., ::-1])
    image = read(tmp_path, integers(4, 5, 2), extratags=[metadata("description", ("nir", "swir"))], **plain)
    assert image.bands == ("nir", "swir")
    broken = (42112, "s", 0, "<GDALMetadata><Item", True)
    assert read(tmp_path, pixels, extratags=[broken], **plain).mode == "RGB"


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint32", "int64"])
def test_other_integers_become_floats(tmp_path: Path, dtype: str) -> None:
    pixels = integers(6, 7, dtype=dtype, low=np.iinfo(dtype).min)
    image = read(tmp_path, pixels)
    assert np.array_equal(image.pixels[..., 0], pixels.astype(np.float32))
    how = "exactly" if np.dtype(dtype).itemsize <= 2 else "to 24 binary digits"
    sign = "signed" if dtype.startswith("i") else "unsigned"
    bits = 8 * np.dtype(dtype).itemsize
    assert image.notes == (f"{bits}-bit {sign} integers converted to floats, {how}.",)


def test_12_bits_have_their_own_range(tmp_path: Path) -> None:
    pixels = integers(6, 8) // 16
    for space in ("minisblack", "miniswhite"):
        image = read(tmp_path, pixels, bitspersample=12, photometric=space)
        assert image.value_range == (0, 4095)
        assert np.array_equal(image.pixels[..., 0], pixels if space == "minisblack" else 4095 - pixels)


# --- missing pixels -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("int16", "-9999"), ("float32", "-3.39999999999999996e+38"), ("float32", "nan"), ("uint16", "0")],
)
def test_no_data_as_gdal_declares_it(tmp_path: Path, dtype: str, value: str) -> None:
    pixels = np.full((5, 6), 7, dtype=dtype)
    pixels[1, 2] = np.float64(value).astype(dtype)
    image = read(tmp_path, pixels, extratags=[(42113, "s", 0, value, True)])
    assert image.missing is not None and np.argwhere(image.missing).tolist() == [[1, 2]]
    tifffile.imwrite(
        tmp_path / "b.tif", pixels[1:2, 2:3].repeat(4, 1), extratags=[(42113, "s", 0, value, True)]
    )
    with pytest.raises(InputError, match="has no known pixel, all are missing"):
        read_image(tmp_path / "b.tif")


def test_no_data_of_several_bands(tmp_path: Path) -> None:
    tag = {"extratags": [(42113, "s", 0, "0", True)], "metadata": None}
    pixels = np.ones((3, 4, 3), np.uint8)
    pixels[0, 1], pixels[2, 2, 0] = 0, 0  # the second is a colour
    image = read(tmp_path, pixels, photometric="rgb", **tag)
    assert image.missing is not None and np.argwhere(image.missing).tolist() == [[0, 1]]
    image = read(tmp_path, pixels.astype(np.float32), photometric="rgb", **tag)
    assert image.missing is not None and np.argwhere(image.missing).tolist() == [[0, 1], [2, 2]]


def test_a_mask_in_the_file(tmp_path: Path) -> None:
    known = np.arange(12).reshape(3, 4) % 5 > 0
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(integers(3, 4, 3, dtype="uint8"), photometric="rgb", metadata=None)
        file.write(known, photometric="mask", subfiletype=4, metadata=None)
    image = read_image(tmp_path / "a.tif")
    assert image.notes == () and np.array_equal(image.missing, ~known)


def test_a_mask_beside_a_picture_that_pillow_reads(tmp_path: Path) -> None:
    known = np.arange(1200).reshape(30, 40) % 7 > 0
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        colours = np.arange(3 * 256, dtype=np.uint16).reshape(3, 256) * 85
        file.write(integers(30, 40, dtype="uint8"), photometric="palette", colormap=colours, metadata=None)
        file.write(known, photometric="mask", subfiletype=4, metadata=None)
    image = read_image(tmp_path / "a.tif")
    assert image.mode == "RGB" and np.array_equal(image.missing, ~known)
    assert image.notes == ("Palette colours converted to RGB.",)


# --- written ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_bands_names_and_missing_pixels_come_back(tmp_path: Path, dtype: str, channels: int) -> None:
    pixels = (RANDOM.random((5, 7, channels)) * 200).astype(dtype)
    missing = np.zeros((5, 7), bool)
    missing[1, 2] = missing[3] = True
    names = tuple(f"B<{number}>" for number in range(channels))
    image = Image(pixels, "bands", missing=missing, bands=names)
    write_image(tmp_path / "a.tiff", image)
    back = read_image(tmp_path / "a.tiff")
    assert back.notes == () and back.bands == names
    assert back.mode == ("bands" if channels > 1 else "L")
    assert np.array_equal(back.missing, missing)
    assert np.array_equal(back.pixels[~missing], pixels[~missing])


def test_a_file_that_claims_more_than_its_bytes_can_hold_is_refused_before_it_is_decoded():
    # 5 kB of deflate whose tags claim 2 GB of pixels, within the usual limit of pixels.
    path = Path(__file__).parent / "corpus/images/009642-float.tif"
    with pytest.raises(InputError, match=r"cannot hold [\d,]{9,} bytes of pixels"):
        read_image(path)


@pytest.mark.parametrize("compression", ["deflate", "lzw", "packbits", None])
def test_the_emptiest_pixels_are_no_claim(tmp_path, compression):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((600, 800), np.uint16), compression=compression)
    assert not read_image(tmp_path / "a.tif").pixels.any()
