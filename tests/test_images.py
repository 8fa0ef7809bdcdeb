"""Reading, writing, coordinates and held-out masks of kanfield.images."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from kanfield.errors import InputError
from kanfield.images import Image, coordinates, held_out_mask, read_image, write_image

CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
ASSETS = Path(__file__).parent.parent / "assets"


def noise(mode: str, height: int = 5, width: int = 7) -> Image:
    shape = (height, width, CHANNELS[mode])
    return Image(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), mode)


def test_import_does_not_load_torch() -> None:
    code = "import sys, kanfield.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- the image ----------------------------------------------------------------------------------


def test_values_are_row_major_in_zero_to_one() -> None:
    image = noise("RGB")
    values = image.values()
    assert values.dtype == np.float32
    assert values.shape == (35, 3)
    assert np.array_equal(values[7 * 2 + 3], image.pixels[2, 3] / np.float32(255))


@pytest.mark.parametrize("mode", CHANNELS)
def test_values_and_back_is_exact_for_every_level(mode: str) -> None:
    levels = np.arange(256, dtype=np.uint8).repeat(CHANNELS[mode])
    image = Image(levels.reshape(16, 16, CHANNELS[mode]), mode)
    back = Image.from_values(image.values(), like=image)
    assert back.mode == mode
    assert np.array_equal(back.pixels, image.pixels)


def test_from_values_clamps_rounds_and_takes_another_size() -> None:
    values = np.array([[[-1.0], [0.49 / 255], [0.5 / 255], [254.6 / 255], [np.inf]]])
    image = Image.from_values(values, like=noise("L"))
    assert image.pixels.tolist() == [[[0], [0], [1], [255], [255]]]


def test_from_values_refuses_nan_and_wrong_shapes() -> None:
    with pytest.raises(InputError, match="NaN"):
        Image.from_values(np.full((5, 7, 3), np.nan), like=noise("RGB"))
    for shape in [(34, 3), (5, 7, 4), (5, 7), (0, 7, 3)]:
        with pytest.raises(InputError, match="do not fit an image of 5 x 7 x 3"):
            Image.from_values(np.zeros(shape), like=noise("RGB"))


# --- reading and writing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "mode", "read_mode"),
    [
        *((".png", mode, mode) for mode in CHANNELS),
        *((".bmp", mode, mode) for mode in ("L", "RGB")),
        (".webp", "L", "RGB"),
        (".webp", "LA", "RGBA"),
        (".webp", "RGB", "RGB"),
        (".WEBP", "RGBA", "RGBA"),
    ],
)
def test_lossless_round_trip(tmp_path: Path, suffix: str, mode: str, read_mode: str) -> None:
    image = noise(mode)
    write_image(tmp_path / f"a{suffix}", image)
    back = read_image(tmp_path / f"a{suffix}")
    assert back.mode == read_mode
    assert back.source == tmp_path / f"a{suffix}"
    assert back.notes == ()
    expected = image.pixels
    if mode != read_mode:  # WebP has no gray: the same value in three channels
        expected = np.concatenate([image.pixels[..., [0, 0, 0]], image.pixels[..., 1:]], axis=2)
    assert np.array_equal(back.pixels, expected)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_round_trip_is_close(tmp_path: Path, suffix: str, mode: str) -> None:
    ramp = np.linspace(0, 255, 16 * 24).round().astype(np.uint8).reshape(16, 24, 1)
    image = Image(ramp.repeat(CHANNELS[mode], axis=2), mode)
    write_image(tmp_path / f"a{suffix}", image)
    back = read_image(tmp_path / f"a{suffix}")
    assert back.mode == mode
    assert np.abs(back.pixels.astype(int) - image.pixels).max() < 8


def test_bmp_with_alpha_is_read_as_rgba(tmp_path: Path) -> None:
    # BITMAPV3 header with channel masks, the form in which a BMP carries alpha.
    bgra = bytes([10, 20, 30, 40, 50, 60, 70, 80])
    fields = [56, 2, 1, 1 | 32 << 16, 3, 8, 0, 0, 0, 0]
    masks = [0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000]
    header = b"BM" + np.array([70 + 8, 0, 70, *fields, *masks], dtype="<u4").tobytes()
    (tmp_path / "a.bmp").write_bytes(header.ljust(70, b"\0") + bgra)
    image = read_image(tmp_path / "a.bmp")
    assert image.mode == "RGBA"
    assert image.pixels.tolist() == [[[30, 20, 10, 40], [70, 60, 50, 80]]]


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda a: np.rot90(a)),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_exif_orientation_is_applied(tmp_path: Path, suffix, orientation, upright) -> None:
    image = noise("RGB")
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    image.to_pil().save(tmp_path / f"a{suffix}", exif=exif, lossless=True)
    assert np.array_equal(read_image(tmp_path / f"a{suffix}").pixels, upright(image.pixels))


def palette_picture() -> PILImage.Image:
    picture = PILImage.new("P", (3, 1))
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    picture.putdata([0, 1, 2])
    return picture


def test_palette_is_read_as_rgb(tmp_path: Path) -> None:
    palette_picture().save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.mode == "RGB"
    assert image.pixels.tolist() == [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]
    assert image.notes == ("Palette colours converted to RGB.",)


@pytest.mark.parametrize(("transparency", "alpha"), [(1, [255, 0, 255]), (bytes([9, 99, 255]), [9, 99, 255])])
def test_palette_with_transparency_is_read_as_rgba(tmp_path: Path, transparency, alpha) -> None:
    palette_picture().save(tmp_path / "a.png", transparency=transparency)
    image = read_image(tmp_path / "a.png")
    assert image.mode == "RGBA"
    assert image.pixels[0, :, 3].tolist() == alpha
    assert image.notes == ("Palette colours converted to RGBA.",)


def test_one_bit_and_transparent_colour_are_noted(tmp_path: Path) -> None:
    picture = PILImage.new("1", (2, 1))
    picture.putpixel((1, 0), 1)
    picture.save(tmp_path / "bits.png")
    bits = read_image(tmp_path / "bits.png")
    assert (bits.mode, bits.pixels.ravel().tolist()) == ("L", [0, 255])
    assert bits.notes == ("1-bit pixels converted to L.",)
    PILImage.new("L", (2, 1), 7).save(tmp_path / "key.png", transparency=7)
    key = read_image(tmp_path / "key.png")
    assert (key.mode, key.pixels.tolist()) == ("LA", [[[7, 0], [7, 0]]])
    assert key.notes == ("The transparent colour converted to LA.",)


def test_animation_is_noted(tmp_path: Path) -> None:
    first, second = noise("RGB").to_pil(), PILImage.new("RGB", (7, 5))
    first.save(tmp_path / "a.webp", save_all=True, append_images=[second], lossless=True)
    image = read_image(tmp_path / "a.webp")
    assert np.array_equal(image.pixels, noise("RGB").pixels)
    assert image.notes == ("Only the first of 2 pictures in the file was read.",)


@pytest.mark.parametrize(
    ("old", "size", "new"),
    [((5, 7), 14, (10, 14)), ((7, 5), 3, (3, 2)), ((1, 40), 2, (1, 2)), ((5, 7), 7, (5, 7))],
)
def test_resize_keeps_aspect(tmp_path: Path, old, size, new) -> None:
    write_image(tmp_path / "a.png", noise("RGB", *old))
    assert read_image(tmp_path / "a.png", size=size).pixels.shape == (*new, 3)


def test_resize_does_not_bleed_colour_from_transparent_pixels(tmp_path: Path) -> None:
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    pixels[:, :4] = [200, 0, 0, 255]
    pixels[:, 4:] = [0, 255, 0, 0]
    write_image(tmp_path / "a.png", Image(pixels, "RGBA"))
    small = read_image(tmp_path / "a.png", size=3).pixels
    assert 0 < small[0, 1, 3] < 255  # a pixel that mixes both halves
    assert small[..., 1].max() == 0
    assert abs(int(small[0, 1, 0]) - 200) <= 2


def refused(path: Path, **options: int) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError) as caught:
            read_image(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_unreadable_paths(tmp_path: Path) -> None:
    missing, empty, text = (tmp_path / name for name in ("no.png", "empty.png", "text.png"))
    empty.touch()
    text.write_text("not an image")
    assert f"{missing} cannot be read (No such file or directory)" in refused(missing)
    assert f"{tmp_path} cannot be read (Is a directory)" in refused(tmp_path)
    assert f"{empty} is empty" in refused(empty)
    assert f"{text} is a text file, which kanfield does not read: give an image file" in refused(text)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_file(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, noise("RGB", 40, 50))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert f"{path} is truncated or damaged" in refused(path)


@pytest.mark.parametrize("suffix", [".tga", ".ico", ".jp2"])
def test_other_formats(tmp_path: Path, suffix: str) -> None:
    path, image = tmp_path / f"a{suffix}", noise("RGB", 16, 16)
    image.to_pil().save(path, **({"irreversible": False} if suffix == ".jp2" else {}))
    np.testing.assert_array_equal(read_image(path).pixels[..., :3], image.pixels)


def test_sizes_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dot, path = tmp_path / "dot.png", tmp_path / "a.png"
    write_image(dot, noise("L", 1, 1))
    write_image(path, noise("L"))
    assert f"{dot} is a single pixel" in refused(dot)
    for size in (1, 0, -3):
        assert f"--size {size} is too small" in refused(path, size=size)
    assert "--size 99999 makes over 178,956,970 pixels" in refused(path, size=99_999)
    assert f"{path} has 7 x 5 pixels, over 34: raise --max-pixels" in refused(path, max_pixels=34)
    monkeypatch.setattr(PILImage, "MAX_IMAGE_PIXELS", 10)  # Pillow's own limit counts for nothing
    assert read_image(path, max_pixels=35).height == 5
    assert PILImage.MAX_IMAGE_PIXELS == 10


def test_write_refuses_what_the_format_cannot_hold(tmp_path: Path) -> None:
    for suffix, mode in [(".jpg", "RGBA"), (".jpeg", "LA"), (".bmp", "RGBA"), (".bmp", "LA")]:
        with pytest.raises(InputError, match=r"cannot hold an alpha channel: use \.png or \.webp"):
            write_image(tmp_path / f"a{suffix}", noise(mode))
    for suffix, longest in [(".webp", 16_383), (".jpg", 65_500)]:
        write_image(tmp_path / f"a{suffix}", noise("L", 1, longest))
        with pytest.raises(InputError, match=f"at most {longest:,} pixels per side: use .png"):
            write_image(tmp_path / f"b{suffix}", noise("L", 1, longest + 1))
    for name in ("a.gif", "a"):
        with pytest.raises(InputError, match=r"no known image suffix: use one of \.png, "):
            write_image(tmp_path / name, noise("L"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jpg", "a.webp"]


def test_write_refuses_wrong_places(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    for path, reason in [
        (tmp_path / "no" / "a.png", "No such file"),
        (tmp_path / "file" / "a.png", "Not a directory"),
        (tmp_path / "folder.png", "Is a directory"),
    ]:
        with pytest.raises(InputError, match=f"{path} cannot be written \\({reason}"):
            write_image(path, noise("L"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EROFS, InputError), (errno.EACCES, InputError), (errno.ENOSPC, OSError)],
)
def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch, number, kind) -> None:
    path = tmp_path / "a.png"
    write_image(path, noise("RGB"))
    before = path.read_bytes()

    def fail(self, file, name):
        file.write(b"half an image")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(PILImage.Image, "save", fail)
    with pytest.raises(kind, match=os.strerror(number)) as caught:
        write_image(path, noise("L"))
    assert type(caught.value) is kind
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_bytes_reach_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, noise("RGB"))
    before = path.read_bytes()
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)

    def interrupted(source, target):
        assert len(synced) == 1
        assert Path(source).stat().st_size > 0
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_image(path, noise("L"))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_write_replaces_and_obeys_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_image(path, noise("RGB"))
    write_image(path, noise("L"))
    assert read_image(path).mode == "L"
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


# --- coordinates --------------------------------------------------------------------------------


def test_coordinates_values_and_aspect() -> None:
    grid = coordinates(2, 4)
    assert grid.dtype == torch.float32
    xs, ys = [-0.75, -0.25, 0.25, 0.75], [-0.25, 0.25]
    assert grid.tolist() == [[x, y] for y in ys for x in xs]
    tall = coordinates(4, 2)
    assert tall[::2, 1].tolist() == xs
    assert tall[:2, 0].tolist() == ys


def test_coordinates_follow_the_rule_for_every_pixel() -> None:
    n = 301
    expected = (2 * np.arange(n) + 1) / n - 1
    grid = coordinates(7, n).reshape(7, n, 2).numpy()
    assert np.allclose(grid[3, :, 0], expected, rtol=0, atol=6e-8)
    assert np.all(grid[3, :, 1] == 0)
    assert np.allclose(np.diff(grid[:, 0, 1]), 2 / n, rtol=0, atol=6e-8)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_windows_tile_exactly(scale: int) -> None:
    height, width = 6, 10
    whole = coordinates(height, width, shape=(height * scale, width * scale))
    whole = whole.reshape(height * scale, width * scale, 2)
    for x0, y0, x1, y1 in [(0, 0, 4, 6), (4, 0, 10, 1), (4, 1, 10, 6)]:
        shape = ((y1 - y0) * scale, (x1 - x0) * scale)
        tile = coordinates(height, width, window=(x0, y0, x1, y1), shape=shape)
        part = whole[y0 * scale : y1 * scale, x0 * scale : x1 * scale]
        assert torch.equal(tile.reshape(*shape, 2), part)


def test_window_defaults_and_fractions() -> None:
    whole = coordinates(6, 10).reshape(6, 10, 2)
    assert torch.equal(coordinates(6, 10, window=(2, 1, 5, 3)), whole[1:3, 2:5].reshape(-1, 2))
    # One sample in the middle of a window of a quarter pixel, at x = 2.625, y = 1.125.
    sample = coordinates(6, 10, window=(2.5, 1.0, 2.75, 1.25), shape=(1, 1))
    assert sample.tolist()[0] == pytest.approx([(5.25 - 10) / 10, (2.25 - 6) / 10], abs=1e-7)


def test_rows_in_chunks_equal_the_whole() -> None:
    options = {"window": (1.5, 0.25, 8.0, 5.0), "shape": (11, 13)}
    whole = coordinates(6, 10, **options)
    chunks = [coordinates(6, 10, rows=slice(r, r + 4), **options) for r in (0, 4, 8)]
    assert [len(chunk) for chunk in chunks] == [52, 52, 39]
    assert torch.equal(torch.cat(chunks), whole)


def test_coordinates_refuse_empty_requests() -> None:
    for window in [(3, 0, 3, 2), (0, 4, 5, 2), (0, 0, float("nan"), 2), (0, 0, float("inf"), 2)]:
        with pytest.raises(InputError, match="is empty: give x0 < x1 and y0 < y1"):
            coordinates(6, 10, window=window)
    with pytest.raises(InputError, match="0 x 4 samples of 6 x 10 pixels"):
        coordinates(6, 10, shape=(0, 4))
    with pytest.raises(InputError, match="is empty"):
        coordinates(0, 10)


# --- held-out pixels ----------------------------------------------------------------------------


def test_fixed_patterns() -> None:
    checker = held_out_mask(4, 5, "checkerboard", seed=0)
    second = held_out_mask(4, 5, "every-second", seed=0)
    assert checker.shape == second.shape == (20,)
    assert checker.dtype == second.dtype == bool
    for index in range(20):
        row, column = divmod(index, 5)
        assert checker[index] == ((row + column) % 2 == 1)
        assert second[index] == (row % 2 == 1 or column % 2 == 1)


@pytest.mark.parametrize(("text", "count"), [("0.25", 16), ("0.1", 6), ("0.99", 62)])
def test_random_fraction_is_exact_and_seeded(text: str, count: int) -> None:
    mask = held_out_mask(7, 9, text, seed=3)
    assert mask.sum() == count
    assert np.array_equal(mask, held_out_mask(7, 9, text, seed=3))
    assert not np.array_equal(mask, held_out_mask(7, 9, text, seed=4))


@pytest.mark.parametrize("pattern", ["", "half", "0", "1", "1.5", "-0.1", "nan"])
def test_unknown_patterns(pattern: str) -> None:
    with pytest.raises(InputError, match=r"--held-out .* checkerboard, every-second, or a fraction"):
        held_out_mask(4, 4, pattern, seed=0)


@pytest.mark.parametrize(
    ("height", "width", "pattern"),
    [(1, 1, "checkerboard"), (1, 1, "every-second"), (2, 2, "0.1"), (2, 2, "0.9")],
)
def test_a_pixel_must_stay_on_each_side(height: int, width: int, pattern: str) -> None:
    with pytest.raises(InputError, match=f"--held-out {pattern} on {height} x {width} pixels"):
        held_out_mask(height, width, pattern, seed=0)


# --- the images in the repository ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("camera.png", (256, 256, 1)),
        ("astronaut.png", (256, 256, 3)),
        ("coffee.png", (200, 300, 3)),
        ("zoneplate.png", (256, 256, 1)),
    ],
)
def test_assets(name: str, shape: tuple[int, int, int]) -> None:
    image = read_image(ASSETS / name)
    assert image.pixels.shape == shape
    assert image.notes == ()


def test_the_range_of_a_broadcast_image_is_that_of_its_own_values():
    values = np.array([[[0.0], [2.0]]], np.float32)
    assert Image(np.broadcast_to(values, (1000, 2, 1)), "L").value_range == (0, 2)
    with pytest.raises(InputError, match="no known pixel"):
        Image(np.broadcast_to(np.float32(np.nan), (1000, 2, 1)), "L")


def test_a_huge_blank_image_is_not_scanned():
    huge = np.broadcast_to(np.float32(0), (400_000, 400_000, 1))  # scanning it would take hours
    assert Image(huge, "L", value_range=(0, 1)).width == 400_000
