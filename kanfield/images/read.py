"""Image files in."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from kanfield.errors import InputError
from kanfield.images.image import Image, resize_image

_READABLE = "8-bit PNG, JPEG, WebP or BMP"
_READ_FORMATS = {"PNG", "JPEG", "MPO", "WEBP", "BMP"}  # MPO: a camera's JPEG with extra pictures
_MODES = {"L", "LA", "RGB", "RGBA"}


def read_image(path: str | os.PathLike[str], size: int | None = None, max_pixels: int = 0) -> Image:
    """Read an 8-bit PNG, JPEG, WebP or BMP file, upright and fully decoded.

    Palette colours become RGB or RGBA, 1-bit images gray, a transparent colour an alpha channel;
    `notes` tells of each. Colour profiles are not applied. `size` (at least 2) resizes the longer
    side to that many pixels with Lanczos and keeps the aspect ratio; colour does not bleed out of
    transparent pixels. Raises InputError where the file cannot be read as such an image.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     PILImage.new("P", (6, 4)).save(f"{folder}/a.png")
    ...     image = read_image(f"{folder}/a.png", size=3)
    >>> image.mode, image.pixels.shape, image.notes
    ('RGB', (2, 3, 3), ('Palette colours converted to RGB.',))
    """
    path = Path(path)
    data = _read_bytes(path)
    with warnings.catch_warnings():
        # Pillow warns of metadata and large pictures; what matters here is raised or noted.
        warnings.simplefilter("ignore")
        picture, frames = _decode(path, data)
        picture, notes = _to_plain_mode(picture)
    if frames > 1:
        notes = (*notes, f"Only the first of {frames} pictures in the file was read.")
    if picture.size == (1, 1):
        raise InputError(f"{path} is a single pixel: give an image of at least two pixels.")
    pixels = np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, -1)
    image = Image(pixels, picture.mode, path, notes)
    return image if size is None else resize_image(image, size)


def _read_bytes(path: Path) -> bytes:
    """The whole file, or InputError where there is nothing to read."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path} cannot be read ({reason}): give an image file.") from None
    if not data:
        raise InputError(f"{path} is empty: give a {_READABLE} image.")
    return data


def _decode(path: Path, data: bytes) -> tuple[PILImage.Image, int]:
    """The first picture in the file, upright, and the number of pictures."""
    try:
        picture = PILImage.open(io.BytesIO(data))
        _check_kind(path, picture)
        frames = int(getattr(picture, "n_frames", 1))
        picture.load()
        return ImageOps.exif_transpose(picture), frames
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(
            f"{path} is not an image, or its header is damaged: give a {_READABLE} image."
        ) from None
    except PILImage.DecompressionBombError:
        raise InputError(f"{path} has too many pixels: give a smaller image.") from None
    except Exception as error:  # a damaged file: OSError, SyntaxError, struct.error and others
        raise InputError(f"{path} is truncated or damaged ({error}): save it again.") from None


def _check_kind(path: Path, picture: ImageFile.ImageFile) -> None:
    """Raise InputError for a format, depth or colour space that is not read."""
    mend = f"kanfield reads {_READABLE}; convert it to one of these."
    if picture.format not in _READ_FORMATS:
        raise InputError(f"{path} is a {picture.format} file: {mend}")
    # Pillow opens 16-bit colour PNG as RGB and drops the low byte; only its raw mode tells.
    if ";16" in f"{picture.mode} {picture.tile}" and picture.format == "PNG":
        raise InputError(f"{path} has 16 bits per channel: {mend}")
    if picture.mode not in _MODES | {"1", "P", "PA"}:
        raise InputError(
            f"{path} holds {picture.mode} pixels: kanfield reads gray and RGB colours, "
            "with or without alpha; convert it to RGB."
        )


def _to_plain_mode(picture: PILImage.Image) -> tuple[PILImage.Image, tuple[str, ...]]:
    """The picture in one of L, LA, RGB, RGBA, and a note on each conversion."""
    gray = picture.mode in {"1", "L", "LA"}
    alpha = picture.has_transparency_data
    mode = ("LA" if alpha else "L") if gray else ("RGBA" if alpha else "RGB")
    if picture.mode == mode:
        return picture, ()
    what = {"P": "Palette colours", "PA": "Palette colours", "1": "1-bit pixels"}
    note = f"{what.get(picture.mode, 'The transparent colour')} converted to {mode}."
    return picture.convert(mode), (note,)
