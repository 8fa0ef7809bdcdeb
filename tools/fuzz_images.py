"""The pictures that ``fuzz.py`` damages: a few kilobytes each, of every format and variant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage
from PIL import ImageCms

_HEIGHT, _WIDTH = 20, 27
_EXIF_ORIENTATION = 0x0112


def write_images(folder: Path) -> None:
    """Write them all, under names that say what they are."""
    y, x, c = np.mgrid[:_HEIGHT, :_WIDTH, :4]
    waves = 128 + 100 * np.sin(x / 3 + c) * np.cos(y / 4)
    _write_with_pillow(folder, waves.astype(np.uint8))
    _write_tiffs(folder, waves)
    _write_exrs(folder, (waves / 100).astype(np.float32))
    _write_others(folder, waves)


def _write_with_pillow(folder: Path, pixels: NDArray[np.uint8]) -> None:
    rgb, rgba = PILImage.fromarray(pixels[..., :3]), PILImage.fromarray(pixels)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = PILImage.Exif()
    exif[_EXIF_ORIENTATION] = 6
    for mode in ("L", "LA", "RGB", "RGBA", "P", "1"):
        rgba.convert(mode).save(folder / f"{mode}.png")
    rgb.save(folder / "profile.png", icc_profile=profile, exif=exif)
    rgb.convert("P").save(folder / "transparent.png", transparency=3)
    rgb.save(folder / "colour.png", transparency=(1, 2, 3))
    for mode in ("L", "RGB", "CMYK"):
        rgb.convert(mode).save(folder / f"{mode}.jpg", quality=60)
    rgb.save(folder / "progressive.jpg", progressive=True, exif=exif, icc_profile=profile, comment=b"hello")
    rgb.save(folder / "mpo.jpg", "MPO", save_all=True, append_images=[rgb.rotate(90)])
    rgba.save(folder / "lossless.webp", lossless=True, exif=exif)
    rgb.save(folder / "lossy.webp", quality=50)
    rgba.save(folder / "moving.webp", save_all=True, append_images=[rgba.rotate(180)])
    for mode in ("1", "L", "P", "RGB"):
        rgb.convert(mode).save(folder / f"{mode}.bmp")
    rgb.convert("P").save(folder / "still.gif", transparency=5)
    rgb.convert("P").save(folder / "moving.gif", save_all=True, append_images=[rgb.rotate(180).convert("P")])
    rgb.save(folder / "rgb.ppm")
    rgb.convert("L").save(folder / "gray.pgm")
    rgb.convert("1").save(folder / "bits.pbm")


def _write_tiffs(folder: Path, waves: NDArray[np.float64]) -> None:
    import tifffile

    rgb = PILImage.fromarray(waves[..., :3].astype(np.uint8))
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        rgb.save(folder / f"{compression}.tif", compression=compression)
    rgb.convert("1").save(folder / "group4.tif", compression="group4")
    rgb.convert("CMYK").save(folder / "cmyk.tif")
    rgb.convert("P").save(folder / "palette.tif")
    deep, floats = (waves * 257).astype(np.uint16), waves.astype(np.float32)
    variants: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "gray16": (deep[..., 0], {}),
        "rgb16": (deep[..., :3], {"compression": "lzw", "predictor": True}),
        "rgba16-big": (deep, {"byteorder": ">", "extrasamples": ["assocalpha"]}),
        "tiled": (deep[..., :3], {"tile": (16, 16), "compression": "deflate"}),
        "planar": (np.moveaxis(deep[..., :3], 2, 0), {"planarconfig": "separate"}),
        "bigtiff": (floats[..., 0], {"bigtiff": True}),
        "float": (floats[..., :3], {"compression": "deflate", "predictor": True}),
        "half": (floats[..., 0].astype(np.float16), {}),
        "double": (waves[..., 0], {"compression": "zstd"}),
        "strips": (deep[..., 0], {"rowsperstrip": 3, "compression": "packbits"}),
    }
    for name, (pixels, options) in variants.items():
        options = {
            "photometric": "rgb" if name in ("planar",) or pixels.ndim == 3 else "minisblack",
            **options,
        }
        tifffile.imwrite(folder / f"{name}.tif", pixels, metadata=None, **options)
    tifffile.imwrite(folder / "pages.tif", np.stack([deep[..., 0]] * 3), photometric="minisblack")
    tifffile.imwrite(folder / "imagej.tif", np.stack([deep[..., 0]] * 2), imagej=True)


def _write_exrs(folder: Path, waves: NDArray[np.float32]) -> None:
    import OpenEXR  # type: ignore[import-not-found]

    kinds = {
        name: getattr(OpenEXR, f"{name}_COMPRESSION")
        for name in ("NO", "RLE", "ZIP", "PIZ", "PXR24", "B44", "DWAA")
    }
    for name, compression in kinds.items():
        pixels = waves.astype(np.float16) if name in ("B44", "PIZ") else waves
        channels = {letter: np.ascontiguousarray(pixels[..., i]) for i, letter in enumerate("RGBA")}
        header = {"compression": compression, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, channels).write(str(folder / f"{name.lower()}.exr"))
    gray = {"Y": np.ascontiguousarray(waves[..., 0])}
    OpenEXR.File({"type": OpenEXR.scanlineimage}, gray).write(str(folder / "gray.exr"))
    tiled = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()}
    OpenEXR.File(tiled, gray).write(str(folder / "tiled.exr"))


def _write_others(folder: Path, waves: NDArray[np.float64]) -> None:
    import imagecodecs

    deep = (waves * 257).astype(np.uint16)
    for name, pixels in {"gray16": deep[..., 0], "rgb16": deep[..., :3], "rgba16": deep}.items():
        (folder / f"{name}.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    size = b"%d %d\n" % (_WIDTH, _HEIGHT)
    (folder / "deep.pgm").write_bytes(
        b"P5\n# deep\n" + size + b"4095\n" + (deep[..., 0] >> 4).astype(">u2").tobytes()
    )
    (folder / "deep.ppm").write_bytes(b"P6\n" + size + b"65535\n" + deep[..., :3].astype(">u2").tobytes())
    words = b" ".join(b"%d" % value for value in deep[..., 0].ravel())
    (folder / "text.pgm").write_bytes(b"P2\n" + size + b"65535\n" + words)
    words = b" ".join(b"%d" % value for value in waves[..., :3].astype(np.uint8).ravel())
    (folder / "text.ppm").write_bytes(b"P3\n" + size + b"255\n" + words)
    light = (waves[..., :3] / 100).astype(np.float32)
    (folder / "packed.hdr").write_bytes(imagecodecs.rgbe_encode(light, rle=True, header=True))
    (folder / "plain.hdr").write_bytes(imagecodecs.rgbe_encode(light, rle=False, header=True))
