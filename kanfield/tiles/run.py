"""A tiled run as an object: its field is that of all tiles, its picture is read by windows."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image
from kanfield.images.windows import open_windows
from kanfield.names import command_line
from kanfield.process import default_settings
from kanfield.runs.checkpoint import is_whole, load_field, read_checkpoint
from kanfield.runs.run import Run, make_field
from kanfield.tiles.blend import TiledField
from kanfield.tiles.folder import Split, TiledFolder
from kanfield.tiles.picture import FileReader, Picture, image_reader, stored_reader, stored_window
from kanfield.tiles.plan import Tile

_BAND = 1 << 21  # numbers of a rendering that are held at a time


class TiledRun(Run):
    """A run folder with tiles; see :class:`kanfield.Run`.

    Args:
        folder: Of the run.
    """

    folder: TiledFolder

    def __init__(self, folder: TiledFolder) -> None:
        super().__init__(folder)
        self.split: Split = folder.read_split()

    @cached_property
    def picture(self) -> Picture:
        """The picture that is fitted, by windows.

        Raises:
            InputError: Its file is gone, or is of another size.
        """
        return open_picture(self.folder, self.settings, self._image, self.split)

    @cached_property
    def image(self) -> Image:
        """The image that was fitted, all of it in memory."""
        plan = self.split.plan
        image = self.picture.window(slice(0, plan.height), slice(0, plan.width))
        if image is None:
            raise InputError(f"{self._image} has no known pixel, all are missing: put the run's image back")
        return image

    @property
    def blank_image(self) -> Image:  # type: ignore[override]
        """Size and kind of the image that was fitted, known without its file; its pixels are blank."""
        return self.split.like

    @cached_property
    @default_settings()
    def field(self) -> TiledField:
        """The fields of all tiles as one, on the CPU, values in [-1, 1]; gray where no tile is done.

        Raises:
            InputError: Weights of a tile that is done are gone or damaged; when that tile is touched.
        """
        settings, channels = self.settings, self.split.like.channels
        blank = make_field(settings, channels)

        def load(tile: Tile) -> nn.Module | None:
            file = self.folder.tile(tile).best
            if not is_whole(file):
                if self.folder.has_no_field(tile.name):
                    return None
                raise InputError(f"{file} is damaged or missing: {self.folder.fitting_again}")
            module = copy.deepcopy(blank)
            load_field(module, read_checkpoint(file), file, assign=True)  # as mapped from disk
            return module.eval()

        return TiledField(self.split.plan, channels, load).eval()

    @property
    def left(self) -> int:
        """How many tiles are not done yet: there the field is gray."""
        return len(self.split.order) - len(self.folder.done())

    def _view(
        self,
        scale: float,
        size: tuple[int, int] | None,
        crop: tuple[float, float, float, float] | None,
    ) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
        if self.left == len(self.split.order):
            again = command_line("kanfield", "fit", "--resume", self.path)
            raise InputError(f"{self.path} has nothing to draw yet, no tile is done: go on with {again}")
        return super()._view(scale, size, crop)

    @default_settings()
    def render(
        self,
        scale: float = 1.0,
        size: tuple[int, int] | None = None,
        crop: tuple[float, float, float, float] | None = None,
    ) -> Image:
        """A picture of the field at any size; see :meth:`kanfield.Run.render`."""
        shape, window = self._view(scale, size, crop)
        like = self.split.like
        pixels = np.empty((*shape, like.channels), dtype=like.pixels.dtype)
        for rows, values in field_bands(self.field, shape, window):
            pixels[rows] = Image.from_values(values, like).pixels
        return like.with_pixels(pixels)


def picture_of(run: Run) -> Picture:
    """The picture that any run was fitted to, by windows.

    Raises:
        InputError: Its file is gone, or is another.
    """
    if isinstance(run, TiledRun):
        return run.picture
    return Picture(run.image.height, run.image.width, image_reader(run.image))


def field_bands(
    field: TiledField, shape: tuple[int, int], window: tuple[float, float, float, float]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Draw a window of a field, some rows at a time.

    Args:
        field: Of all tiles.
        shape: Rows and columns of the drawing.
        window: ``(x0, y0, x1, y1)`` in pixels of the picture.

    Yields:
        Rows, and their values in [0, 1], shape ``(rows, columns, channels)``.
    """
    (height, width), (x0, y0, x1, y1) = shape, window
    ys = torch.from_numpy(y0 + (np.arange(height) + 0.5) * (y1 - y0) / height)
    xs = torch.from_numpy(x0 + (np.arange(width) + 0.5) * (x1 - x0) / width)
    step = max(1, _BAND // (width * field.channels))
    for top in range(0, height, step):
        rows = slice(top, min(top + step, height))
        # In float32 from here on, as a single field's values are: inside a tile they are the very same.
        values = ((field.grid(ys[rows], xs).float() + 1) / 2).clamp(0, 1)
        yield rows, values.numpy()


def open_picture(folder: TiledFolder, settings: Settings, image: Path, split: Split) -> Picture:
    """The picture of a run: of the run's own copy where it has one, else of the user's file.

    Raises:
        InputError: The file is gone, or is of another size.
    """
    height, width, like = split.plan.height, split.plan.width, split.like
    if folder.pixels.is_file():
        return Picture(height, width, stored_reader(folder.pixels, folder.missing, like), like)
    image = folder.decoded if folder.decoded.is_file() else image
    if not image.is_file():
        raise InputError(
            f"{image}, the image of {folder.path}, is gone, and no {image.name} lies in that folder or one "
            f"above it: put it back or edit {folder.config}"
        )
    windows = open_windows(image, None if image == folder.decoded else settings.page)
    if windows is None or (windows.height, windows.width) != (height, width):
        raise InputError(f"{folder.config} names an image that is not the one of this run: put that one back")
    mask = partial(stored_window, folder.missing) if folder.missing.is_file() else None
    return Picture(height, width, FileReader(windows, settings, mask), like)
