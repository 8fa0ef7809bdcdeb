"""``kanfield compare``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kanfield.cli.values import File, Flag, Names, Number, Range, Text, Whole
from kanfield.config.parse import settings_from
from kanfield.errors import InputError
from kanfield.names import printable


@dataclass
class Compare:
    """Fit several models to the same images, each with the same budget, and write a report."""

    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="[IMAGE ...]", help_behavior_hint="")] = ()
    """Image files, or folders of them."""
    models: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]", help_behavior_hint="")] = ()
    """Families (kanfield models lists them) or settings files. Default: kan siren mlp rff hashgrid."""
    seconds: Number = None
    """Training time of every fit. Default: 20, unless --steps is given."""
    steps: Whole = None
    """Training steps of every fit instead."""
    equal_parameters: Flag = False
    """Give all models as many parameters as the first has, within 5 %."""
    seeds: Whole = None
    """Fits of every model, with the seeds 0, 1, ...: initial weights, batches, and the pixels of a random
    --held-out. Tables give mean ± standard deviation over them. Default: 1."""
    held_out: Text = None
    """Pixels no fit may see: checkerboard, every-second (keeps a quarter) or a fraction."""
    size: Whole = None
    """Resize the longer side of every image to this many pixels first (Lanczos)."""
    page: Whole = None
    """Which picture of files that hold several (TIFF, GIF, WebP and others), from 1. Default: the first."""
    bands: Names = None
    """Channels to fit, by number from 1 or by name, such as 4,3,2: three are shown as red, green and blue."""
    nodata: Number = None
    """Value that stands for a missing pixel, where the file does not say so."""
    value_range: Range = None
    """Values that stand for black and white, such as 0,4095; decibels count against their difference."""
    tonemap: Text = None
    """log: fit, and count decibels, on a logarithm of the values; pictures are mapped back."""
    batch_size: Whole = None
    """Pixels per step. Default: 2048."""
    threads: Whole = None
    """CPU threads of each fit."""
    device: Text = None
    """auto, cpu, cuda, cuda:1, xpu or mps. Default: auto."""
    precision: Text = None
    """fp32 or fp64. Default: fp32."""
    spectrum: Flag = False
    """Also log the error of every fit in every octave of frequencies; kanfield spectrum draws it."""
    out: File = None
    """Folder of the comparison. Default: a new one under comparisons."""
    resume: File = None
    """Go on with the comparison in this folder."""
    json: Flag = False
    """Print compare.json on standard output, and everything else on standard error."""

    quiet: Flag = False
    """Print nothing but errors and what --json asks for."""

    def run(self) -> None:
        """Run the comparison, or the rest of it, and print its tables."""
        from kanfield.cli.printing import print_json, print_tables, progress_console
        from kanfield.comparison.compare import begin, compare, resume
        from kanfield.comparison.plan import MODELS, SHARED, Plan, expand
        from kanfield.comparison.results import terminal_tables

        shared = {name: getattr(self, name) for name in SHARED if name != "max_pixels"}
        shared["spectrum"] = self.spectrum or None
        if self.resume is not None:
            self._check_resume([name for name, value in shared.items() if value is not None])
            plan = resume(self.resume)
        else:
            settings_from({key: value for key, value in shared.items() if value is not None}, "--")
            models = list(self.models or MODELS)
            seeds = 1 if self.seeds is None else self.seeds
            images, equal = expand(self.images), self.equal_parameters
            plan = begin(Plan(images, models, seeds, equal_parameters=equal, **shared), self.out)
        result, folder = compare(plan, self.resume or self.out, progress_console(self.quiet))
        if self.json:
            print_json(result.to_plain())
        elif not self.quiet:
            print_tables(terminal_tables(result))
        if not self.quiet:
            print(printable(f"report, tables and runs: {folder / 'report.html'}"), file=sys.stderr)

    def _check_resume(self, given: list[str]) -> None:
        given += ["models"] if self.models else []
        given += ["seeds"] if self.seeds is not None else []
        given += ["equal_parameters"] if self.equal_parameters else []
        given += ["out"] if self.out else []
        names = [f"--{name.replace('_', '-')}" for name in given] + (["IMAGE"] if self.images else [])
        if names:
            raise InputError(f"--resume takes everything from the comparison: leave out {', '.join(names)}")
