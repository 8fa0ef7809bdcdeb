"""Writing image files, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO

from PIL import Image as PILImage

from kanfield.errors import InputError
from kanfield.files import replacing
from kanfield.images.checks import BANDS
from kanfield.images.formats.exr import write_exr
from kanfield.images.formats.pillow import write_png16
from kanfield.images.formats.tiff import write_tiff
from kanfield.images.image import Image

# Suffix -> Pillow's name, options of Image.save, longest side the format can hold.
_PILLOW: dict[str, tuple[str, dict[str, Any], int]] = {
    ".png": ("PNG", {}, 2**31 - 1),
    ".jpg": ("JPEG", {"quality": 95}, 65_500),
    ".jpeg": ("JPEG", {"quality": 95}, 65_500),
    # Without `exact`, WebP replaces the colour of fully transparent pixels.
    ".webp": ("WEBP", {"lossless": True, "exact": True}, 16_383),
    ".bmp": ("BMP", {}, 2**31 - 1),
}
_OTHERS = (".tif", ".tiff", ".exr")
_WRONG_PLACE = {"ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "ENAMETOOLONG"}


def write_image(path: str | os.PathLike[str], image: Image) -> None:
    """Write an image file in the format its suffix names, whole or not at all.

    .png holds 8 and 16 bits, .tif and .tiff these and floats, .exr floats, all without loss; .webp (without
    loss), .bmp, .jpg and .jpeg (quality 95) hold 8 bits. Deeper pixels are converted for a format of fewer
    bits, and of bands only three are shown, see :meth:`Image.to_8bit`. WebP has no gray: it is read back as
    RGB. The colour profile is kept, but not in .bmp, .exr and gray .webp, which have no place for it. On any
    error an old file is left as it was.

    Args:
        path: The file, replaced if it exists.
        image: What to write.

    Raises:
        InputError: The suffix is unknown, the format cannot hold the image (integers in .exr, so as not to
            pass them off as linear light), or the folder is missing or not writable.
        OSError: Anything else, such as a full disk.

    >>> import tempfile, numpy as np
    >>> from kanfield.images import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = Image(np.zeros((2, 3, 2), dtype=np.uint16), "LA")
    ...     write_image(f"{folder}/a.png", image)
    ...     read_image(f"{folder}/a.png").bits
    16
    """
    path = Path(path)
    _check(path, image)
    try:
        with replacing(path) as temporary, open(temporary, "w+b") as file:
            _encode(file, path.suffix.lower(), image)
    except OSError as error:
        if errno.errorcode.get(error.errno or 0) in _WRONG_PLACE:
            remedy = "give a file in a folder that exists and is writable"
            raise InputError(f"{path} cannot be written ({error.strerror}): {remedy}") from None
        raise


def _check(path: Path, image: Image) -> None:
    """Raise InputError where the suffix is unknown or its format cannot hold the image."""
    suffix = path.suffix.lower()
    if suffix == ".hdr":
        raise InputError(f"{path}: Radiance HDR cannot hold the pixels exactly: use {image.suffix}")
    if suffix == ".exr" and not image.is_float:
        raise InputError(f"{path}: EXR holds floats, not {image.bits}-bit integers: use .png or .tiff")
    if suffix == ".exr" and image.mode == BANDS:
        raise InputError(f"{path}: EXR is written of gray and RGB colours, not of {image.kind}: use .tiff")
    if suffix in _OTHERS:
        return
    if suffix not in _PILLOW:
        known = ", ".join((*_PILLOW, *_OTHERS))
        raise InputError(f"{path} has no known image suffix: use one of {known}")
    name, _, longest = _PILLOW[suffix]
    if image.mode.endswith("A") and name in {"JPEG", "BMP"}:
        raise InputError(f"{path}: {name} cannot hold an alpha channel: use .png or .webp")
    if max(image.height, image.width) > longest:
        raise InputError(f"{path}: {name} holds at most {longest:,} pixels per side: use .png")


def _encode(file: BinaryIO, suffix: str, image: Image) -> None:
    """Write the image in the format of the suffix."""
    if suffix == ".exr":
        write_exr(file, image)
    elif suffix in _OTHERS:
        write_tiff(file, image)
    elif suffix == ".png" and image.bits == 16 and image.mode != BANDS:
        write_png16(file, image)
    else:
        name, options, _ = _PILLOW[suffix]
        if image.icc_profile is not None and name != "BMP" and (name, image.mode[0]) != ("WEBP", "L"):
            options = {**options, "icc_profile": image.icc_profile}
        exact = image.bits == 8 and image.mode != BANDS  # in whatever range: a view would change them
        view = image.pixels if exact else image.to_8bit().pixels
        PILImage.fromarray(view[..., 0] if view.shape[2] == 1 else view).save(file, name, **options)
