"""Image files out, whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from kanfield.errors import InputError
from kanfield.files import replacing
from kanfield.images.image import Image

# Suffix -> Pillow's name, options of Image.save, longest side the format can hold.
_WRITERS: dict[str, tuple[str, dict[str, Any], int]] = {
    ".png": ("PNG", {}, 2**31 - 1),
    ".jpg": ("JPEG", {"quality": 95}, 65_500),
    ".jpeg": ("JPEG", {"quality": 95}, 65_500),
    # Without `exact`, WebP replaces the colour of fully transparent pixels.
    ".webp": ("WEBP", {"lossless": True, "exact": True}, 16_383),
    ".bmp": ("BMP", {}, 2**31 - 1),
}
_WRONG_PLACE = {"ENOENT", "ENOTDIR", "EISDIR", "EACCES", "EPERM", "EROFS", "ENAMETOOLONG"}


def write_image(path: str | os.PathLike[str], image: Image) -> None:
    """Write an image file in the format its suffix names, whole or not at all.

    Suffixes: .png, .webp (both lossless), .bmp, .jpg and .jpeg (quality 95). WebP has no gray:
    it is read back as RGB. Raises InputError for another suffix, for an image that the format
    cannot hold, and for a folder that is missing or not writable. Other errors, such as a full
    disk, stay OSError. On any error an old file at `path` is left as it was.

    >>> import tempfile, numpy as np
    >>> from kanfield.images import read_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     image = Image(np.zeros((2, 3, 2), dtype=np.uint8), "LA")
    ...     write_image(f"{folder}/a.png", image)
    ...     read_image(f"{folder}/a.png").mode
    'LA'
    """
    path = Path(path)
    name, options = _writer(path, image)
    try:
        with replacing(path) as temporary, open(temporary, "wb") as file:
            image.to_pil().save(file, name, **options)
    except OSError as error:
        if errno.errorcode.get(error.errno or 0) in _WRONG_PLACE:
            mend = "give a file in a folder that exists and is writable"
            raise InputError(f"{path} cannot be written ({error.strerror}): {mend}.") from None
        raise


def _writer(path: Path, image: Image) -> tuple[str, dict[str, Any]]:
    """Pillow's format name and save options for `path`, or InputError."""
    if path.suffix.lower() not in _WRITERS:
        raise InputError(f"{path} has no known image suffix: use one of {', '.join(_WRITERS)}.")
    name, options, longest = _WRITERS[path.suffix.lower()]
    if image.mode.endswith("A") and name in {"JPEG", "BMP"}:
        raise InputError(f"{path}: {name} cannot hold an alpha channel: use .png or .webp.")
    if max(image.height, image.width) > longest:
        raise InputError(f"{path}: {name} holds at most {longest:,} pixels a side: use .png.")
    return name, options
