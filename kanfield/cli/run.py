"""``kanfield eval`` and ``kanfield render``: commands that take a finished run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kanfield.cli.printing import print_metrics
from kanfield.cli.values import Box, Number, Size
from kanfield.errors import InputError


@dataclass
class Eval:
    """Measure a run's best weights anew against its image."""

    path: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder."""
    json: bool = False
    """Print the metrics as JSON on standard output."""

    def run(self) -> None:
        from kanfield.training.evaluate_run import evaluate_run

        print_metrics(evaluate_run(self.path), self.json, quiet=False)


@dataclass
class Render:
    """Draw a run's field at any scale, size or crop."""

    path: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder."""
    out: Path
    """The picture to write: .png, .webp, .jpg or .bmp."""
    scale: Number = None
    """Pixels of the picture for one of the image. Default: 1."""
    size: Size = None
    """Size of the picture instead, as WIDTHxHEIGHT."""
    crop: Box = None
    """Part of the image to draw, in its pixels: left, top, right, bottom."""

    def run(self) -> None:
        from kanfield.images import write_image
        from kanfield.training.run import load

        if self.scale is not None and self.size is not None:
            raise InputError("--scale and --size contradict each other: give one")
        scale = 1.0 if self.scale is None else self.scale
        picture = load(self.path).render(scale=scale, size=self.size, crop=self.crop)
        write_image(self.out, picture)
        print(f"{self.out}: {picture.width} x {picture.height}", file=sys.stderr)
