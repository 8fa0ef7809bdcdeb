"""Reading image files."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import UnidentifiedImageError

from kanfield.errors import InputError
from kanfield.images.checks import BANDS, MODES
from kanfield.images.formats.codecs import codec_of, read_with_codec
from kanfield.images.formats.dicom import read_dicom
from kanfield.images.formats.exr import read_exr
from kanfield.images.formats.foreign import foreign_format, remedy
from kanfield.images.formats.npy import NPY, read_npy
from kanfield.images.formats.pillow import read_with_pillow
from kanfield.images.formats.pnm import is_deep_pnm, is_pfm, read_deep_pnm, read_pfm
from kanfield.images.formats.radiance import read_radiance
from kanfield.images.formats.raster import READABLE, Raster
from kanfield.images.formats.tiff import read_tiff
from kanfield.images.image import Image
from kanfield.images.resize import MAX_PIXELS, resize_image
from kanfield.process import quiet_warnings

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_EXR = b"v/1\x01"
_RADIANCE = (b"#?RADIANCE", b"#?RGBE")


def read_image(
    path: str | os.PathLike[str],
    size: int | None = None,
    max_pixels: int = MAX_PIXELS,
    page: int | None = None,
) -> Image:
    """Read an image file, upright and fully decoded, without losing depth.

    Files of up to 8 bits give uint8, of up to 16 uint16, of floats and other numbers float32. The format is
    recognised by content, not by suffix. Palette colours become RGB or RGBA, 1-bit images gray, a transparent
    colour an alpha channel, CMYK RGB, by its profile where it has one; three bands are taken for RGB, other
    numbers of channels stay bands; of several pictures the first is read unless ``page`` says which; the
    image's ``notes`` list each of these. Pixels that the file declares to have no value are missing. Other
    colour profiles are kept, not applied, and floats are kept as they are stored, premultiplied or not.

    Args:
        path: The file.
        size: Pixels of the longer side to resize to, at least 2 (see :func:`resize_image`); None keeps the
            size.
        max_pixels: A file of more pixels is refused before it is decoded.
        page: Which of a file's pictures, from 1; None for the first, with a note on the others.

    Returns:
        The image, with ``path`` as its source.

    Raises:
        InputError: The file cannot be read as such an image, or none of its pixels has a value.

    >>> import tempfile
    >>> from PIL import Image as PILImage
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PILImage.new("P", (6, 4)).save(f"{folder}/a.png")
    ...     image = read_image(f"{folder}/a.png", size=3)
    >>> image.mode, image.pixels.shape, image.notes
    ('RGB', (2, 3, 3), ('Palette colours converted to RGB.',))
    """
    path = Path(path)
    data = _read_bytes(path)
    raster = _decode(path, data, max_pixels, page)
    del data
    image = image_of(path, raster.upright())
    return image if size is None else resize_image(image, size)


def image_of(path: Path, raster: Raster) -> Image:
    """The image in a raster that is upright."""
    mode = raster.mode or MODES.get(raster.pixels.shape[2], BANDS)
    image = Image(
        raster.pixels,
        mode,
        path,
        raster.notes,
        _fitting(raster.icc_profile, mode),
        missing=raster.missing,
        # Names are no reason to refuse whole pixels.
        bands=raster.bands if len(raster.bands) == raster.pixels.shape[2] else (),
    )
    # A file that uses more than it declares is believed in what it uses.
    if raster.max_value is None or image.is_float or raster.pixels.max() > raster.max_value:
        return image
    return replace(image, value_range=(0, raster.max_value))


def _read_bytes(path: Path) -> bytes:
    """The whole file, or InputError where there is nothing to read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be read ({reason}): give an image file") from None
    if not data:
        raise InputError(f"{path} is empty: give a {READABLE} image")
    return data


def _decode(path: Path, data: bytes, max_pixels: int, page: int | None) -> Raster:
    """The picture in the file, or InputError whatever the decoder raises."""
    try:
        # Decoders warn of metadata and the like; what matters here is raised or noted.
        with quiet_warnings():
            decoder = _decoder(data)
            if decoder is read_tiff or decoder is read_with_pillow:
                return decoder(path, data, max_pixels, page)
            if page not in {None, 1}:
                raise InputError(f"{path}: of this format the first picture alone is read: leave out --page")
            return decoder(path, data, max_pixels)
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(_unknown(path, data)) from None
    except MemoryError:
        raise InputError(f"{path} does not fit in memory: give a smaller image") from None
    except Exception as error:  # a damaged file: OSError, SyntaxError, struct.error and others
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path} is truncated or damaged ({reason}): {_again(data)}") from None


def _unknown(path: Path, data: bytes) -> str:
    """What to say of a file that no decoder knows."""
    name = foreign_format(data)
    if name is None:
        return f"{path} is not an image, or its header is damaged: give a {READABLE} image"
    return f"{path} is {name}, which kanfield does not read: {remedy(name)}"


def _again(data: bytes) -> str:
    """What to do about a damaged file."""
    name = foreign_format(data) if codec_of(data) else None
    return f"save the {name} again or convert it to PNG or TIFF" if name else "save it again"


def _decoder(data: bytes) -> Callable[..., Raster]:
    """The function that reads a file which begins like this one."""
    if data.startswith(b"DICM", 128):  # some begin like TIFF
        return read_dicom
    if data.startswith(TIFF):
        return read_tiff
    if data.startswith(_EXR):
        return read_exr
    if data.startswith(_RADIANCE):
        return read_radiance
    if data.startswith(NPY):
        return read_npy
    if is_pfm(data):
        return read_pfm
    if is_deep_pnm(data):
        return read_deep_pnm
    return read_with_codec if codec_of(data) else read_with_pillow


def _fitting(profile: bytes | None, mode: str) -> bytes | None:
    """The colour profile, if it is one for such colours."""
    kind = {"L": b"GRAY", "R": b"RGB "}.get(mode[0])
    return profile if profile is not None and profile[16:20] == kind else None
