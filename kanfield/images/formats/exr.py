"""Reading and writing OpenEXR files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError
from kanfield.images.checks import BANDS
from kanfield.images.formats.quiet import quiet_native
from kanfield.images.formats.raster import Raster, check_size, first_of, supported_pixels
from kanfield.images.image import Image

_CHANNELS = {"RGBA": "RGBA", "RGB": "RGB", "LA": "YA", "L": "Y"}
_CHROMA = "luminance and chroma"
_REC709 = (0.2126, 0.7152, 0.0722)  # what red, green and blue weigh in luminance


def read_exr(path: Path, data: bytes, max_pixels: int) -> Raster:
    """Decode an OpenEXR file of any channels, as they are stored.

    Of RGB, RGBA, Y or YA among others these are read; luminance and chroma become RGB; one channel of any
    name is gray, and several are bands.

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
    if header["type"] not in {OpenEXR.scanlineimage, OpenEXR.tiledimage}:
        raise InputError(f"{path} is a deep image: flatten it")
    sampling = {channel.name: (channel.xSampling, channel.ySampling) for channel in header["channels"]}
    names, mode, notes = _chosen(path, sampling)
    with quiet_native():
        channels = OpenEXR.File(io.BytesIO(data), separate_channels=True).parts[0].channels
    stored = [channels[name].pixels for name in names]
    if mode == _CHROMA:
        stored, mode = _rgb(stored, height, width), "RGB"
    pixels, converted = supported_pixels(np.stack(stored, axis=2))
    if pixels.shape[:2] != (height, width):
        raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels instead of {width} x {height}")
    notes = (*converted, *notes, *_window_note(header), *first_of(parts))
    return Raster(pixels, notes, mode=mode, bands=() if mode != BANDS else tuple(names))


def write_exr(file: BinaryIO, image: Image) -> None:
    """Write a float image as OpenEXR, losslessly compressed; gray is channel Y, alpha is A."""
    import OpenEXR  # type: ignore[import-not-found]

    names = _CHANNELS[image.mode]
    channels = {name: np.ascontiguousarray(image.pixels[..., i]) for i, name in enumerate(names)}
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, channels).write(file)


def _chosen(path: Path, sampling: dict[str, tuple[int, int]]) -> tuple[list[str], str, tuple[str, ...]]:
    """The channels to read, what they are, and a note on the others; InputError where none can be."""
    whole = [name for name, step in sampling.items() if step == (1, 1)]
    # The picture itself has no layer; of layers and views the first is read.
    for layer in sorted({name.rpartition(".")[0] for name in sampling}):
        prefix = f"{layer}." if layer else ""
        for mode, letters in _CHANNELS.items():
            names = [prefix + letter for letter in letters]
            if set(names) <= set(whole) and mode != "L":
                if len(_chroma(prefix, sampling)) == 3 and mode == "LA":
                    continue
                return names, mode, _left(names, sampling)
        names = _chroma(prefix, sampling)
        if len(names) == 3:
            weights = "Luminance and chroma converted to RGB by the weights of Rec. 709."
            return names, _CHROMA, (weights, *_left(names, sampling))
        if f"{prefix}Y" in whole and f"{prefix}X" not in sampling:  # otherwise it is no luminance
            return [f"{prefix}Y"], "L", _left([f"{prefix}Y"], sampling)
    if len(whole) == 1:
        return whole, "L", (f"The channel {whole[0]} was read as gray.", *_left(whole, sampling))
    if not whole:
        listed = ", ".join(sorted(sampling)) or "none"
        raise InputError(f"{path} holds the channels {listed}, none at full resolution: save it with such")
    return sorted(whole), BANDS, _left(whole, sampling)


def _chroma(prefix: str, sampling: dict[str, tuple[int, int]]) -> list[str]:
    """Luminance and chroma of a layer, if it has them."""
    names = [prefix + name for name in ("RY", "Y", "BY")]
    steps = [sampling.get(name) for name in names]
    return names if steps[1] == (1, 1) and steps[0] == steps[2] and steps[0] in {(1, 1), (2, 2)} else []


def _left(names: list[str], sampling: dict[str, tuple[int, int]]) -> tuple[str, ...]:
    """A note on the channels that are not read, empty where all are."""
    others = sorted(set(sampling) - set(names))
    return (f"Only the channels {', '.join(names)} were read, not {', '.join(others)}.",) if others else ()


def _rgb(stored: list[NDArray[Any]], height: int, width: int) -> list[NDArray[np.float32]]:
    """Red, green and blue from red minus luminance and blue minus luminance, both over luminance."""
    red, luminance, blue = (_full(plane.astype(np.float32), height, width) for plane in stored)
    red, blue = (red + 1) * luminance, (blue + 1) * luminance
    return [red, (luminance - _REC709[0] * red - _REC709[2] * blue) / _REC709[1], blue]


def _full(plane: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """A channel that may have every second row and column, with the others halfway between them."""
    for axis, length in enumerate((height, width)):
        if plane.shape[axis] < length:
            last = np.take(plane, [-1], axis)
            shifted = np.concatenate([np.delete(plane, 0, axis), last], axis)
            both = np.stack([plane, (plane + shifted) / 2], axis + 1)
            doubled = both.reshape(*plane.shape[:axis], -1, *plane.shape[axis + 1 :])
            plane = np.take(doubled, range(length), axis)
    return plane


def _window_note(header: dict[str, tuple[np.ndarray, np.ndarray]]) -> tuple[str, ...]:
    """A note where the file says that its pixels are only part of, or more than, the picture."""
    same = all(
        np.array_equal(*corners)
        for corners in zip(header["dataWindow"], header["displayWindow"], strict=True)
    )
    return () if same else ("The data window was read, which is not the display window.",)
