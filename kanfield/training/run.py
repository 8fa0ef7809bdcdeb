"""A finished (or unfinished) run as an object: its metrics, its field, pictures of any size."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kanfield.errors import InputError
from kanfield.fields import build_field
from kanfield.images import MAX_PIXELS, Image, read_image
from kanfield.training.checkpoint import load_field, read_checkpoint
from kanfield.training.config import Settings, resolve
from kanfield.training.evaluation import render
from kanfield.training.folder import RunFolder


class Run:
    """A run folder, opened by :func:`load` or returned by :func:`kanfield.fit`.

    Attributes:
        path: the folder.
        settings: what the fit was told, gaps filled.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder, self.path = folder, folder.path
        settings, self._image = folder.read_config()
        self.settings = resolve(settings)

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

    @cached_property
    def image(self) -> Image:
        """The image that was fitted."""
        if not self._image.is_file():
            raise InputError(
                f"{self._image}, the image of {self.path}, is gone: put it back or edit {self.folder.config}"
            )
        return read_image(self._image, self.settings.size)

    @cached_property
    def field(self) -> nn.Module:
        """The field with its best weights, on the CPU, values in [-1, 1]."""
        field = make_field(self.settings, self.image)
        load_field(field, read_checkpoint(self.folder.best), self.folder.best)
        return field.eval()

    def render(
        self,
        scale: float = 1.0,
        size: tuple[int, int] | None = None,
        crop: tuple[float, float, float, float] | None = None,
    ) -> Image:
        """A picture of the field at any size.

        Args:
            scale: pixels of the picture for one of the image. size: ``(width, height)`` instead.
            crop: ``(x0, y0, x1, y1)`` in pixels of the image, or None for all of it.

        Raises:
            InputError: the picture would be empty, or the crop leaves the image.
        """
        width, height = self.image.width, self.image.height
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
        return render(self.field, self.image, (h, w), (x0, y0, x1, y1))

    def __repr__(self) -> str:
        state = f"psnr={self.psnr:.2f}" if self.folder.metrics.exists() else "unfinished"
        return f"Run({str(self.path)!r}, {state})"


def load(path: str | os.PathLike[str]) -> Run:
    """Open a run folder.

    Raises:
        InputError: it is not one, or its config.yaml is damaged.
    """
    return Run(RunFolder.open(Path(path)))


def make_field(settings: Settings, image: Image) -> nn.Module:
    """The fresh field that resolved settings ask for, in their precision; its seed is theirs."""
    assert settings.widths is not None and settings.grids is not None
    assert settings.order is not None
    assert settings.noise is not None and settings.frequency is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        field = build_field(
            settings.model,
            2,
            image.channels,
            settings.widths,
            settings.grids,
            settings.order,
            settings.noise,
            settings.frequency,
        )
    return field.double() if settings.precision == "fp64" else field
