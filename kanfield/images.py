"""Images in and out of kanfield: files, pixel values, sample coordinates, held-out pixels.

An image is 8-bit pixels; a field is fitted to their values in [0, 1] at the coordinates that
`coordinates` gives. Pixels are always listed in row-major order.
"""

from __future__ import annotations

import errno
import io
import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image as PILImage
from PIL import ImageFile, ImageOps, UnidentifiedImageError

from kanfield.errors import InputError
from kanfield.files import replacing

if TYPE_CHECKING:
    import torch

_READABLE = "8-bit PNG, JPEG, WebP or BMP"
_READ_FORMATS = {"PNG", "JPEG", "MPO", "WEBP", "BMP"}  # MPO: a camera's JPEG with extra pictures
_MODES = {"L", "LA", "RGB", "RGBA"}
MAX_PIXELS = 178_956_970  # where Pillow refuses to decode: the same bound for resizing

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


@dataclass(frozen=True, eq=False)
class Image:
    """An 8-bit image.

    `pixels` is uint8 of shape (height, width, channels); `mode` is Pillow's name for the channels:
    "L" (gray), "LA", "RGB" or "RGBA", where alpha is a channel like the others, not premultiplied;
    `source` is the file it was read from; `notes` tells of conversions done while reading, each
    a short sentence for the user.

    >>> image = Image(np.array([[[0], [255]]], dtype=np.uint8), "L")
    >>> image.height, image.width, image.channels, image.levels
    (1, 2, 1, 255)
    >>> image.values().tolist()
    [[0.0], [1.0]]
    """

    pixels: NDArray[np.uint8]
    mode: str
    source: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Number of pixel rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Number of pixel columns."""
        return int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """Number of channels, alpha included: 1 to 4."""
        return int(self.pixels.shape[2])

    @property
    def levels(self) -> int:
        """The pixel value that stands for 1.0."""
        return 255

    def values(self) -> NDArray[np.float32]:
        """The pixels as float32 of shape (height * width, channels) in [0, 1]."""
        return np.divide(self.pixels, self.levels, dtype=np.float32).reshape(-1, self.channels)

    @classmethod
    def from_values(cls, values: ArrayLike, like: Image) -> Image:
        """An image with the mode of `like`, from values clamped to [0, 1] and rounded.

        `values` has shape (height, width, channels), of any size, or (height * width, channels)
        for the size of `like`. Raises InputError where the shape does not fit or a value is NaN.

        >>> gray = Image(np.zeros((1, 3, 1), dtype=np.uint8), "L")
        >>> Image.from_values([[-0.2], [0.5], [1.7]], like=gray).pixels.ravel().tolist()
        [0, 128, 255]
        """
        array = np.asarray(values)
        if array.shape == (like.height * like.width, like.channels):
            array = array.reshape(like.pixels.shape)
        if array.ndim != 3 or array.shape[2] != like.channels or array.size == 0:
            raise InputError(
                f"Values of shape {array.shape} do not fit an image of {like.height} x "
                f"{like.width} x {like.channels}: give height x width x {like.channels} values."
            )
        if np.isnan(array).any():
            raise InputError("The values hold NaN, which is no colour: fit the image again.")
        scaled = np.clip(array, 0, 1) * like.levels
        return cls(np.floor(scaled + 0.5).astype(np.uint8), like.mode)

    def to_pil(self) -> PILImage.Image:
        """The image as a Pillow image of the same mode."""
        return PILImage.fromarray(self.pixels[..., 0] if self.channels == 1 else self.pixels)


def read_image(path: str | os.PathLike[str], size: int | None = None) -> Image:
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


def resize_image(image: Image, size: int) -> Image:
    """The image with its longer side `size` (at least 2) pixels, by Lanczos; see `read_image`.

    >>> resize_image(Image(np.zeros((8, 4, 1), dtype=np.uint8), "L"), 4).pixels.shape
    (4, 2, 1)
    """
    target = _resized((image.width, image.height), size)
    picture = image.to_pil().resize(target, PILImage.Resampling.LANCZOS)
    pixels = np.asarray(picture, dtype=np.uint8).reshape(picture.height, picture.width, -1)
    return Image(pixels, image.mode, image.source, image.notes)


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


def _resized(old: tuple[int, int], size: int) -> tuple[int, int]:
    """Width and height with the longer side `size`, or InputError."""
    if size < 2:
        raise InputError(f"--size {size} is too small: give 2 pixels or more.")
    width, height = (max(1, math.floor(side * size / max(old) + 0.5)) for side in old)
    if width * height > MAX_PIXELS:
        raise InputError(f"--size {size} makes over {MAX_PIXELS:,} pixels: give a smaller size.")
    return width, height


def write_image(path: str | os.PathLike[str], image: Image) -> None:
    """Write an image file in the format its suffix names, whole or not at all.

    Suffixes: .png, .webp (both lossless), .bmp, .jpg and .jpeg (quality 95). WebP has no gray:
    it is read back as RGB. Raises InputError for another suffix, for an image that the format
    cannot hold, and for a folder that is missing or not writable. Other errors, such as a full
    disk, stay OSError. On any error an old file at `path` is left as it was.

    >>> import tempfile
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


def coordinates(
    height: int,
    width: int,
    *,
    window: tuple[float, float, float, float] | None = None,
    shape: tuple[int, int] | None = None,
    rows: slice | None = None,
) -> torch.Tensor:
    """Sample positions of a `height` x `width` image, as float32 (samples, 2), columns (x, y).

    The longer side spans [-1, 1] and its pixel i of n lies at (2 * i + 1) / n - 1; the shorter
    side is centred, with the same spacing. `window` = (x0, y0, x1, y1) takes a part, in pixels of
    the image (0 is the left or top edge; it may reach beyond the image). `shape` = (h, w) is the
    number of samples in it, by default one for each pixel: sample (r, c) lies at pixel position
    x0 + (c + 0.5) * (x1 - x0) / w, and likewise down. `rows` keeps some of the h rows, so that
    a large rendering can be made in pieces. Raises InputError for an empty image, window or shape.

    >>> coordinates(1, 4).tolist()
    [[-0.75, 0.0], [-0.25, 0.0], [0.25, 0.0], [0.75, 0.0]]
    >>> coordinates(4, 4, window=(0, 0, 4, 2), shape=(1, 2)).tolist()
    [[-0.5, -0.5], [0.5, -0.5]]
    """
    import torch

    x0, y0, x1, y1 = window or (0, 0, width, height)
    if not (0 < x1 - x0 < math.inf and 0 < y1 - y0 < math.inf):
        raise InputError(f"The window {x0} {y0} {x1} {y1} is empty: give x0 < x1 and y0 < y1.")
    h, w = shape or (max(1, round(y1 - y0)), max(1, round(x1 - x0)))
    if min(height, width, h, w) < 1:
        raise InputError(f"{h} x {w} samples of {height} x {width} pixels: all must be 1 or more.")
    columns = x0 + (np.arange(w) + 0.5) * (x1 - x0) / w
    lines = y0 + (np.arange(h)[rows or slice(None)] + 0.5) * (y1 - y0) / h
    longest = max(height, width)
    # Worked out in float64, so that a window and the whole image agree, and stored as float32.
    grid = np.empty((len(lines), w, 2), dtype=np.float32)
    grid[..., 0] = (2 * columns - width) / longest
    grid[..., 1] = (2 * lines[:, None] - height) / longest
    return torch.from_numpy(grid.reshape(-1, 2))


def held_out_mask(height: int, width: int, pattern: str, seed: int) -> NDArray[np.bool_]:
    """Which pixels a fit must not see: bool (height * width,), True = held out.

    Patterns: "checkerboard" (where row + column is odd), "every-second" (all but the pixels with
    even row and even column), or a fraction such as "0.25": that share of the pixels, rounded,
    drawn at random from `seed` (0 or more). Raises InputError for another pattern, and where one
    of the two sides would be empty.

    >>> held_out_mask(2, 3, "checkerboard", seed=0).tolist()
    [False, True, False, True, False, True]
    """
    row, column = np.ogrid[:height, :width]
    mask: NDArray[np.bool_]
    if pattern == "checkerboard":
        mask = (row + column) % 2 == 1
    elif pattern == "every-second":
        mask = (row % 2 == 1) | (column % 2 == 1)
    else:
        mask = np.zeros((height, width), dtype=bool)
        count = round(_fraction(pattern) * mask.size)
        mask.flat[np.random.default_rng(seed).choice(mask.size, count, replace=False)] = True
    if mask.all() or not mask.any():
        raise InputError(
            f"--held-out {pattern} on {height} x {width} pixels leaves none seen or none held "
            "out: give another value or a larger image."
        )
    return mask.ravel()


def _fraction(pattern: str) -> float:
    """The number in `pattern`, between 0 and 1, or InputError."""
    try:
        fraction = float(pattern)
    except ValueError:
        fraction = math.nan
    if not 0 < fraction < 1:
        raise InputError(
            f"--held-out {pattern} is not known: give checkerboard, every-second, or a fraction "
            "between 0 and 1 such as 0.25."
        )
    return fraction
