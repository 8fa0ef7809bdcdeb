"""A finished (or unfinished) run as an object: its metrics, its field, pictures of any size."""

from __future__ import annotations

import io
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage
from torch.nn.parameter import is_lazy

from kanfield.config.checks import MATRIX_PRECISIONS
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.fields import build_field
from kanfield.fields.field import Field
from kanfield.images import MAX_PIXELS, Image
from kanfield.process import default_settings, seeded
from kanfield.runs.checkpoint import Checkpoint, blank_image, load_field, read_checkpoint
from kanfield.runs.folder import RunFolder
from kanfield.runs.input_image import input_image
from kanfield.runs.rendering import Kind, derivative, evaluate_field, render

_NOTEBOOK_SIDE = 1024  # pixels of the longer side


class Run:
    """A run folder, opened by :func:`load` or returned by :func:`kanfield.fit`.

    Attributes:
        path: the folder.
        settings: those of the fit, gaps filled.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.path = folder, folder.path
        self.settings, self._image = folder.read_config()

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``.

        Raises:
            InputError: the run is unfinished.
        """
        return self.folder.read_metrics()

    @property
    def psnr(self) -> float:
        """PSNR in dB of the field's float output, on the pixels it was trained on."""
        return float(self.metrics["psnr"])

    @property
    def image_file(self) -> Path:
        """The file of the image that was fitted; it may be gone."""
        return self._image

    @cached_property
    def image(self) -> Image:
        """The image that was fitted."""
        if not self._image.is_file():
            raise InputError(
                f"{self._image}, the image of {self.path}, is gone, and no {self._image.name} lies in that "
                f"folder or one above it: put it back or edit {self.folder.config}"
            )
        return input_image(self._image, self.settings)

    @cached_property
    def blank_image(self) -> Image:
        """Size and kind of the image that was fitted, known without its file; its pixels are blank."""
        return blank_image(self._best.info.get("image_spec"), self.folder.best)

    @cached_property
    @default_settings()
    def field(self) -> Field:
        """The field with its best weights, on the CPU, values in [-1, 1]."""
        field = make_field(self.settings, self.blank_image.channels)
        load_field(field, self._best, self.folder.best)
        return field.eval()

    @cached_property
    def _best(self) -> Checkpoint:
        return read_checkpoint(self.folder.best)

    @default_settings()
    def render(
        self,
        scale: float = 1.0,
        size: tuple[int, int] | None = None,
        crop: tuple[float, float, float, float] | None = None,
    ) -> Image:
        """A picture of the field at any size.

        Args:
            scale: pixels of the picture per pixel of the image.
            size: ``(width, height)`` of the picture instead.
            crop: ``(x0, y0, x1, y1)`` in pixels of the image, or None for all of it.

        Raises:
            InputError: the picture would be empty, or the crop leaves the image.
        """
        shape, window = self._view(scale, size, crop)
        return render(self.field, self.blank_image, shape, window)

    @default_settings()
    def derivative(
        self,
        kind: Kind,
        scale: float = 1.0,
        size: tuple[int, int] | None = None,
        crop: tuple[float, float, float, float] | None = None,
    ) -> NDArray[np.float32]:
        """A derivative of the field at any size, exact, by the splines' own derivatives.

        Args:
            kind: ``"gradient"``, its length (root mean square over colours), or ``"laplacian"`` (mean over
                colours).
            scale: as for :meth:`render`.
            size: as for :meth:`render`.
            crop: as for :meth:`render`.

        Returns:
            Shape ``(height, width)``; values of the image count from 0 to 1, distances in its pixels.
        """
        shape, window = self._view(scale, size, crop)
        return derivative(self.field, self.blank_image, shape, window, kind)

    def _view(
        self,
        scale: float,
        size: tuple[int, int] | None,
        crop: tuple[float, float, float, float] | None,
    ) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
        """Rows and columns of a picture, and its window in the image; checked."""
        width, height = self.blank_image.width, self.blank_image.height
        x0, y0, x1, y1 = crop or (0, 0, width, height)
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise InputError(
                f"--crop {x0:g},{y0:g},{x1:g},{y1:g} does not lie in the image: x from 0 to {width}, "
                f"y from 0 to {height}, left before right, top before bottom"
            )
        if not 0 < scale <= MAX_PIXELS:
            raise InputError(f"--scale {scale} is impossible: give a number above zero")
        w, h = size or (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
        if min(w, h) < 1:
            raise InputError(f"--size {w}x{h} is impossible: give pixels as WIDTHxHEIGHT")
        if w * h > MAX_PIXELS:
            raise InputError(
                f"{w} x {h} is over {MAX_PIXELS:,} pixels: give a smaller --scale or --size, or draw parts "
                "with --crop"
            )
        return (h, w), (x0, y0, x1, y1)

    def __repr__(self) -> str:
        try:
            state = f"psnr={self.psnr:.2f}" if self.folder.metrics.exists() else "unfinished"
        except (InputError, KeyError, TypeError, ValueError, AssertionError, OSError):
            state = "damaged"
        return f"Run({str(self.path)!r}, {state})"

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows with the repr: the reconstruction, shrunk where it is large."""
        try:
            data = self.folder.reconstruction.read_bytes()
            with PILImage.open(io.BytesIO(data)) as picture:
                picture.load()
                if max(picture.size) <= _NOTEBOOK_SIDE:
                    return data
                picture.thumbnail((_NOTEBOOK_SIDE, _NOTEBOOK_SIDE))
                shrunk = io.BytesIO()
                picture.save(shrunk, "PNG")
                return shrunk.getvalue()
        except Exception:  # no picture yet, or a damaged one: the repr stands alone
            return None


def load(path: str | os.PathLike[str]) -> Run:
    """Open a run folder.

    Args:
        path: of the folder.

    Raises:
        InputError: it is not one, or its config.yaml is damaged.
    """
    return Run(RunFolder.open(Path(path)))


def make_field(settings: Settings, channels: int) -> Field:
    """Build the fresh field that resolved settings ask for, in their precision, from their seed.

    Args:
        settings: resolved ones.
        channels: of the image, alpha included.

    Raises:
        InputError: the field cannot be built.
    """
    options = dict(settings.options or {})
    if settings.precision in MATRIX_PRECISIONS:
        options["precision"] = settings.precision
    with seeded(settings.seed):
        field = build_field(settings.model, 2, channels, options)
        if any(map(is_lazy, field.parameters())):
            evaluate_field(field, torch.zeros(2, 2))  # layers learn their sizes and make their weights
    return field.double() if settings.precision == "fp64" else field
