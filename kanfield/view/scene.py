"""A run as something to look at: squares of its field, of its image and of what lies between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from kanfield import metrics
from kanfield.errors import InputError
from kanfield.images import Image, read_image
from kanfield.runs.run import Run
from kanfield.tiles.run import picture_of
from kanfield.training.evaluation import error_map

SIDE = 256  # pixels of a square
DEEPER = 6  # levels beyond the image's own: 64 pixels of the screen for one of the image
_WHOLE = 1 << 24  # pixels of the image that a square may need: more of them take seconds to read
_SAMPLES = 1 << 16  # pixels that PSNR in view is measured on
_FINER = 4  # samples across a pixel of the screen that covers several of the image
_MARGIN = 3  # pixels that bicubic interpolation sees around a square

Box: TypeAlias = tuple[float, float, float, float]


class Scene:
    """A run that is looked at.

    Squares are those of a pyramid: at level ``deepest`` a pixel of the image is ``2**DEEPER`` pixels across,
    at every level above half as many.

    Args:
        run: The run; its best weights are drawn.

    Raises:
        InputError: Nothing of the run is fitted yet, or its weights are damaged.

    Attributes:
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        deepest: The last level.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.width, self.height = run.blank_image.width, run.blank_image.height
        self.deepest = math.ceil(math.log2(max(self.width, self.height))) + DEEPER
        run.render(size=(1, 1))  # refuses a run of which nothing is fitted yet
        self._layers: dict[str, Callable[[Box, int, int], PILImage.Image]] = {
            "field": self._field,
            "image": self._nearest,
            "bicubic": self._bicubic,
            "error": self._error,
            "gradient": self._gradient,
        }

    @cached_property
    def missing_image(self) -> str | None:
        """Why the fitted image cannot be shown; None where it can."""
        try:
            self._read((0, 0, 1, 1))
        except InputError as error:
            return str(error)
        return None

    @property
    def layers(self) -> list[str]:
        """What can be drawn."""
        without = {"image", "bicubic", "error"} if self.missing_image else set()
        return [name for name in self._layers if name not in without]

    def square(self, layer: str, level: int, column: int, row: int) -> PILImage.Image:
        """Draw a square of a layer.

        Args:
            layer: One of :attr:`layers`.
            level: Of the pyramid, 0 to :attr:`deepest`.
            column: Of the square in its level.
            row: Of the square in its level.

        Returns:
            An RGB picture of at most ``SIDE`` pixels a side.

        Raises:
            InputError: There is no such square.
        """
        missing = InputError(f"there is no square {column}, {row} of {layer} at level {level}")
        if layer not in self.layers or not 0 <= level <= self.deepest:
            raise missing
        scale = 2.0 ** (level - self.deepest + DEEPER)
        width = min(SIDE, math.ceil(self.width * scale) - column * SIDE)
        height = min(SIDE, math.ceil(self.height * scale) - row * SIDE)
        if min(width, height, column + 1, row + 1) < 1:
            raise missing
        x, y = column * SIDE / scale, row * SIDE / scale
        box = x, y, min(x + width / scale, self.width), min(y + height / scale, self.height)
        return self._layers[layer](box, width, height)

    def psnr(self, box: Box) -> float | None:
        """PSNR in dB of a part of the picture, as its pixels are stored.

        Of large parts, some 65,000 pixels at equal distances are taken.

        Args:
            box: ``(left, top, right, bottom)`` in pixels of the image; what lies outside is left out.

        Returns:
            Infinite where every pixel is exact; None where nothing can be compared.
        """
        if self.missing_image:
            return None
        left, top = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
        right, bottom = min(self.width, math.ceil(box[2])), min(self.height, math.ceil(box[3]))
        if min(right - left, bottom - top) < 1 or (right - left) * (bottom - top) > _WHOLE:
            return None
        step = math.isqrt((right - left) * (bottom - top) // _SAMPLES) | 1
        truth, drawn = self._compared((left, top, right, bottom), step)
        if truth is None:
            return None
        squared = np.square(_values(drawn) - _values(truth))
        if truth.missing is not None:
            squared = squared[~truth.missing]
        error = float(squared.mean())
        return math.inf if error == 0 else metrics.psnr(error)

    # ---- layers: (box in pixels of the image, width and height of the drawing) -------------------

    def _field(self, box: Box, width: int, height: int) -> PILImage.Image:
        scale = width / (box[2] - box[0])
        overview = self._overview
        if overview is not None and scale <= overview.width / self.width:
            across, down = overview.width / self.width, overview.height / self.height
            part = box[0] * across, box[1] * down, box[2] * across, box[3] * down
            return overview.resize((width, height), PILImage.Resampling.BOX, box=part)
        finer = min(_FINER, max(1, math.floor(1 / scale)))
        drawn = _shown(self.run.render(size=(width * finer, height * finer), crop=box))
        return drawn.reduce(finer) if finer > 1 else drawn

    def _nearest(self, box: Box, width: int, height: int) -> PILImage.Image:
        larger = width >= box[2] - box[0]
        return self._image(
            box, width, height, PILImage.Resampling.NEAREST if larger else PILImage.Resampling.BOX
        )

    def _bicubic(self, box: Box, width: int, height: int) -> PILImage.Image:
        return self._image(box, width, height, PILImage.Resampling.BICUBIC)

    def _error(self, box: Box, width: int, height: int) -> PILImage.Image:
        outer = self._around(box, 0)
        if _area(outer) > _WHOLE:
            return _blank(width, height)
        scale = width / (box[2] - box[0])
        truth, drawn = self._compared(outer, (max(1, round(1 / scale)) - 1) | 1)
        if truth is None:
            return _blank(width, height)
        picture = error_map(truth, drawn).to_pil().convert("RGB")
        if scale < 1:
            return picture.resize((width, height), PILImage.Resampling.BOX)
        return picture.resize((width, height), PILImage.Resampling.NEAREST, box=_inside(box, outer))

    def _gradient(self, box: Box, width: int, height: int) -> PILImage.Image:
        values = self.run.derivative("gradient", size=(width, height), crop=box)
        gray = (values / self._steepest).clip(0, 1)
        return PILImage.fromarray((gray * 255 + 0.5).astype(np.uint8)).convert("RGB")

    def _image(self, box: Box, width: int, height: int, how: PILImage.Resampling) -> PILImage.Image:
        outer = self._around(box, _MARGIN)
        image = self._read(outer) if _area(outer) <= _WHOLE else None
        if image is None:
            return _blank(width, height)
        return _shown(image).resize((width, height), how, box=_inside(box, outer))

    # ---- what layers are made of -----------------------------------------------------------------

    def _around(self, box: Box, margin: int) -> tuple[int, int, int, int]:
        """The whole pixels that a box touches, and some around them."""
        return (
            max(0, math.floor(box[0]) - margin),
            max(0, math.floor(box[1]) - margin),
            min(self.width, math.ceil(box[2]) + margin),
            min(self.height, math.ceil(box[3]) + margin),
        )

    def _read(self, box: tuple[int, int, int, int]) -> Image | None:
        """Pixels of the fitted image; None where none of them is known."""
        return picture_of(self.run).window(slice(box[1], box[3]), slice(box[0], box[2]))

    def _compared(self, box: tuple[int, int, int, int], step: int) -> tuple[Image | None, Image]:
        """Pixels of the image at equal distances, and the field there; no image where none is known.

        The field is drawn at the middles of cells of ``step`` pixels, which are pixels where that is odd.
        """
        step = min(step, (box[2] - box[0] - 1) | 1, (box[3] - box[1] - 1) | 1)
        columns, rows = (box[2] - box[0]) // step, (box[3] - box[1]) // step
        part = box[0], box[1], box[0] + columns * step, box[1] + rows * step
        drawn = self.run.render(size=(columns, rows), crop=part)
        truth, middle = self._read(part), slice(step // 2, None, step)
        if truth is not None and step > 1:
            missing = None if truth.missing is None else truth.missing[middle, middle]
            if missing is not None and missing.all():
                return None, drawn
            truth = replace(truth, pixels=np.ascontiguousarray(truth.pixels[middle, middle]), missing=missing)
        return truth, drawn

    @cached_property
    def _overview(self) -> PILImage.Image | None:
        """The finished picture as the run folder has it, at full size or smaller."""
        try:
            return _shown(read_image(self.run.folder.reconstruction))
        except InputError:
            return None

    @cached_property
    def _steepest(self) -> float:
        """The gradient that is white: all squares have one scale."""
        across, down = min(self.width, SIDE), min(self.height, SIDE)
        left, top = (self.width - across) // 2, (self.height - down) // 2
        middle = self.run.derivative(
            "gradient", size=(across, down), crop=(left, top, left + across, top + down)
        )
        return float(np.quantile(middle, 0.999)) or 1.0


def _values(image: Image) -> NDArray[Any]:
    """Values in [0, 1], shape ``(height, width, channels)``."""
    return image.values().reshape(image.height, image.width, -1)


def _shown(image: Image) -> PILImage.Image:
    return image.to_8bit().to_pil().convert("RGB")


def _blank(width: int, height: int) -> PILImage.Image:
    return PILImage.new("RGB", (width, height), (128, 128, 128))


def _area(box: tuple[int, int, int, int]) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _inside(box: Box, outer: tuple[int, int, int, int]) -> Box:
    """A box in the pixels of the one around it."""
    return box[0] - outer[0], box[1] - outer[1], box[2] - outer[0], box[3] - outer[1]
