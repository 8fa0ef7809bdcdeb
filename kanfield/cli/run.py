"""``kanfield eval`` and ``kanfield render``: commands for a finished run."""

from __future__ import annotations

import contextlib
import os
import secrets
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
        self._check_out(run)
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

    @property
    def _keeps_values(self) -> bool:
        """Whether the file holds a derivative's values, not a view of them."""
        return self.out.suffix.lower() in {".tif", ".tiff", ".exr"}

    def _check_out(self, run: Run) -> None:
        """Refuse before the drawing, which may take minutes, a file that could not or must not be written."""
        import numpy as np

        from kanfield.images import Image, write_image

        out = self.out
        if os.path.isdir(out):
            raise InputError(f"--out {out} is a folder: give a file")
        if os.path.exists(out) and os.path.exists(run.image_file) and out.samefile(run.image_file):
            raise InputError(f"--out {out} is the picture that {self.path} is a fit of: give another file")
        like = run.blank_image
        if self.gradient or self.laplacian:
            like = Image(np.zeros((2, 2, 1), np.float32 if self._keeps_values else np.uint8), "L")
        # Whether a small picture of the kind can be written beside it says it of the drawing, too.
        trial = out.with_name(f".{secrets.token_hex(4)}{out.suffix}")
        try:
            write_image(trial, like.with_pixels(np.zeros((2, 2, like.channels), like.pixels.dtype)))
        except InputError as error:
            raise InputError(str(error).replace(printable(str(trial)), printable(str(out)))) from None
        finally:
            with contextlib.suppress(OSError):
                trial.unlink()

    def _derivative(self, run: Run, scale: float) -> tuple[Image, str]:
        """The picture of a derivative, and what its values are."""
        from kanfield.images import Image
        from kanfield.runs.rendering import Kind, view

        kind: Kind = "gradient" if self.gradient else "laplacian"
        values = run.derivative(kind, scale=scale, size=self.size, crop=self.crop)
        if self._keeps_values:
            return Image(values[..., None], "L"), f", {kind} of values from 0 to 1, distances in pixels"
        picture, white = view(values, kind)
        return picture, f", white is {white:.3g} (values from 0 to 1, distances in pixels)"
