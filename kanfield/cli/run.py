"""``kanfield eval`` and ``kanfield render``: commands for a finished run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from kanfield.cli.printing import print_metrics
from kanfield.cli.values import Box, Flag, Number, Size, Whole
from kanfield.errors import InputError
from kanfield.names import printable

if TYPE_CHECKING:
    from kanfield.images import Image
    from kanfield.runs.run import Run


@dataclass
class Eval:
    """Measure a run's best weights again, on its image as it is now."""

    path: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder."""
    threads: Whole = None
    """CPU threads."""
    json: Flag = False
    """Print the metrics as JSON on standard output."""

    def run(self) -> None:
        """Measure, and print the metrics; no file is written."""
        from kanfield.process import limit_threads
        from kanfield.tiles.entry import evaluate_run

        with limit_threads(self.threads):
            metrics = evaluate_run(self.path)
        print_metrics(metrics, self.json, quiet=False)


@dataclass
class Render:
    """Draw a run's field at any scale, size or crop."""

    path: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder."""
    out: Path
    """The picture to write: .png, .tiff, .exr, .webp, .jpg or .bmp."""
    scale: Number = None
    """Pixels of the picture per pixel of the image. Default: 1."""
    size: Size = None
    """Size of the picture instead, as WIDTHxHEIGHT."""
    crop: Box = None
    """Part of the image to draw, in its pixels: left, top, right, bottom."""
    gradient: Flag = False
    """Draw the magnitude of the field's gradient instead (.tiff and .exr keep its values)."""
    laplacian: Flag = False
    """Draw the field's Laplacian instead, gray where it is zero (.tiff and .exr keep its values)."""

    threads: Whole = None
    """CPU threads."""
    quiet: Flag = False
    """Print nothing but errors."""

    def run(self) -> None:
        """Draw the picture and write it."""
        from kanfield.images import write_image
        from kanfield.process import limit_threads
        from kanfield.tiles.entry import load
        from kanfield.tiles.run import TiledRun

        if self.scale is not None and self.size is not None:
            raise InputError("--scale and --size contradict each other: give one")
        if self.gradient and self.laplacian:
            raise InputError("--gradient and --laplacian are two pictures: give one at a time")
        scale = 1.0 if self.scale is None else self.scale
        run, note = load(self.path), ""
        with limit_threads(self.threads):
            if self.gradient or self.laplacian:
                picture, note = self._derivative(run, scale)
            else:
                picture = run.render(scale=scale, size=self.size, crop=self.crop)
        write_image(self.out, picture)
        if isinstance(run, TiledRun) and run.left:
            note += f"; {run.left:,} of {len(run.split.order):,} tiles are not done yet and gray"
        if not self.quiet:
            print(printable(f"{self.out}: {picture.width} x {picture.height}{note}"), file=sys.stderr)

    def _derivative(self, run: Run, scale: float) -> tuple[Image, str]:
        """The picture of a derivative, and what its values are."""
        from kanfield.images import Image
        from kanfield.runs.rendering import Kind, view

        kind: Kind = "gradient" if self.gradient else "laplacian"
        values = run.derivative(kind, scale=scale, size=self.size, crop=self.crop)
        if self.out.suffix.lower() in {".tif", ".tiff", ".exr"}:
            return Image(values[..., None], "L"), f", {kind} of values from 0 to 1, distances in pixels"
        picture, white = view(values, kind)
        return picture, f", white is {white:.3g} (values from 0 to 1, distances in pixels)"
