"""Reading and writing OpenEXR files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kanfield.errors import InputError
from kanfield.images.formats.quiet import quiet_native
from kanfield.images.formats.raster import Raster, check_size, first_of, float_pixels
from kanfield.images.image import Image

_CHANNELS = {"L": "Y", "LA": "YA", "RGB": "RGB", "RGBA": "RGBA"}


def read_exr(path: Path, data: bytes, max_pixels: int) -> Raster:
    """Decode an OpenEXR file of half or float channels Y, YA, RGB or RGBA, as they are stored.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.

    Raises:
        InputError: The file is too large or of a kind that is not supported.
        RuntimeError: The file is damaged.
        ValueError: Likewise.

    >>> image = Image(np.array([[[0.5, 1], [2, 0]]], dtype=np.float32), "LA")
    >>> file = io.BytesIO()
    >>> write_exr(file, image)
    >>> read_exr(Path("a.exr"), file.getvalue(), 100).pixels.tolist()
    [[[0.5, 1.0], [2.0, 0.0]]]
    """
    import OpenEXR  # type: ignore[import-not-found]

    with quiet_native():
        file = OpenEXR.File(io.BytesIO(data), header_only=True)
        header, parts = file.parts[0].header, len(file.parts)
    (left, top), (right, bottom) = (corner.tolist() for corner in header["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    check_size(path, width, height, max_pixels)
    names = _names(
        path, {channel.name: (channel.xSampling, channel.ySampling) for channel in header["channels"]}
    )
    if header["type"] not in {OpenEXR.scanlineimage, OpenEXR.tiledimage}:
        raise InputError(f"{path} is a deep image: flatten it")
    with quiet_native():
        channels = OpenEXR.File(io.BytesIO(data), separate_channels=True).parts[0].channels
    stored = [channels[name].pixels for name in names]
    if any(channel.dtype.kind != "f" for channel in stored):
        raise InputError(f"{path} holds integer channels: convert them to float")
    pixels, notes = float_pixels(np.stack(stored, axis=2))
    if pixels.shape[:2] != (height, width):
        raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels instead of {width} x {height}")
    return Raster(pixels, (*notes, *_window_note(header), *first_of(parts)))


def write_exr(file: BinaryIO, image: Image) -> None:
    """Write a float image as OpenEXR, losslessly compressed; gray is channel Y, alpha is A."""
    import OpenEXR  # type: ignore[import-not-found]

    names = _CHANNELS[image.mode]
    channels = {name: np.ascontiguousarray(image.pixels[..., i]) for i, name in enumerate(names)}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(file)


def _names(path: Path, sampling: dict[str, tuple[int, int]]) -> str:
    """Names of the channels in the order of ours, or InputError."""
    for names in _CHANNELS.values():
        if set(names) == set(sampling):
            if any(step != (1, 1) for step in sampling.values()):
                raise InputError(f"{path} holds subsampled channels: save it at full resolution")
            return names
    listed = ", ".join(sorted(sampling)) or "none"
    raise InputError(
        f"{path} holds the channels {listed}: kanfield reads Y, YA, RGB or RGBA; save only these"
    )


def _window_note(header: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[str, ...]:
    """A note where the file says that its pixels are only part of, or more than, the picture."""
    same = all(
        np.array_equal(*corners)
        for corners in zip(header["dataWindow"], header["displayWindow"], strict=True)
    )
    return () if same else ("The data window was read, which is not the display window.",)
