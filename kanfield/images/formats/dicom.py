"""Reading DICOM files, where pydicom is installed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from kanfield.errors import InputError
from kanfield.images.formats.raster import Raster, check_size, first_of

_SPACES = {"MONOCHROME1", "MONOCHROME2", "RGB"}


def read_dicom(path: Path, data: bytes, max_pixels: int) -> Raster:
    """Decode the first frame of a DICOM file, in the units that its rescaling gives, such as Hounsfield's.

    Args:
        path: The file's name, for errors.
        data: Its content.
        max_pixels: The largest size to decode.

    Raises:
        InputError: pydicom is not installed, or the file is too large or of a kind that is not supported.

    >>> read_dicom(Path("a.dcm"), bytes(128) + b"DICM", 100)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    kanfield.errors.InputError: a.dcm is DICOM...
    """
    try:
        import pydicom  # type: ignore[import-not-found]
    except ImportError:
        raise InputError(f"{path} is DICOM: pip install pydicom, or convert it to PNG or TIFF") from None

    try:
        file = pydicom.dcmread(io.BytesIO(data))
        size = (int(file.Columns), int(file.Rows))
    except Exception:  # of many types, for a file without pixels or a damaged one
        raise InputError(
            f"{path} is DICOM without a picture, or damaged: convert it to PNG or TIFF"
        ) from None
    check_size(path, *size, max_pixels)
    space, frames = str(file.get("PhotometricInterpretation", "")), int(file.get("NumberOfFrames") or 1)
    if space not in _SPACES:
        raise InputError(f"{path} is DICOM of {space} colours: convert it to PNG or TIFF")
    check_size(path, size[0], size[1] * frames, max_pixels)  # all of them are decoded
    try:
        stored = file.pixel_array
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is DICOM that cannot be decoded ({reason}): convert it to TIFF") from None
    pixels = (stored[0] if frames > 1 else stored).reshape(size[1], size[0], -1)
    notes = first_of(frames)
    padding = file.get("PixelPaddingValue")
    missing = None if padding is None else (pixels == int(padding)).all(axis=2)
    slope, intercept = float(file.get("RescaleSlope") or 1), float(file.get("RescaleIntercept") or 0)
    if pixels.dtype not in (np.uint8, np.uint16) or (slope, intercept) != (1, 0):
        pixels = (pixels * slope + intercept).astype(np.float32)
        notes = ("Pixels converted to floats in the file's units.", *notes)
    highest = 2 ** int(file.BitsStored) - 1
    if space == "MONOCHROME1":  # the lowest is white
        top = pixels.max() + pixels.min() if pixels.dtype == np.float32 else highest
        pixels = (top - pixels).astype(pixels.dtype)
        notes = ("Inverted, since its lowest values are white.", *notes)
    deep = pixels.dtype == np.uint16 and highest < 65535
    return Raster(pixels, notes, missing=missing, max_value=highest if deep else None)
