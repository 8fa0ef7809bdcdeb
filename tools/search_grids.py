"""The constants of presets on grids, each changed by itself: PSNR, and what twice the budget gains.

    python tools/search_grids.py kodim03.png kodim05.png --share 0.25
    python tools/search_grids.py kodim05.png --share 0.25 --held-out 0.5

A fit has a share of the preset's own steps; all variants of a picture run before the next one. The table has
decibels on the pixels trained on, or on the hidden ones, against the preset as it is, and its seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

import kanfield
from kanfield.config.grid_presets import CELLS, COARSEST, LEVELS, WIDTH, choose_resolutions
from kanfield.config.presets import PRESETS
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import KanfieldError
from kanfield.images import Image, read_image
from kanfield.training.target import image_stats, make_target


def variants(base: Settings, image: Image) -> Iterator[tuple[str, Settings]]:
    """Named changes to a preset.

    Args:
        base: its settings for the image.
        image: to fit.
    """
    assert base.options is not None and base.steps and base.batch_size and base.lr and base.adam_lr
    given, finest = base.options, max(base.options["resolutions"][-1])

    def options(**changes: Any) -> Settings:
        return replace(base, options={**given, **changes})

    def levels(count: int, coarsest: int) -> Settings:
        return options(resolutions=choose_resolutions(count, coarsest, finest, image.width, image.height))

    yield "as it is", base
    yield f"{LEVELS - 4} levels", levels(LEVELS - 4, COARSEST)
    yield f"{LEVELS + 4} levels", levels(LEVELS + 4, COARSEST)
    yield "coarsest level halved", levels(LEVELS, COARSEST // 2)
    yield "coarsest level doubled", levels(LEVELS, COARSEST * 2)
    yield "4 features a level", options(features=4)
    yield f"{WIDTH // 2} units", options(widths=[WIDTH // 2])
    yield f"{WIDTH * 2} units", options(widths=[WIDTH * 2])
    yield "two hidden layers", options(widths=[WIDTH] * 2, grids=[CELLS] * 3)
    yield f"{CELLS // 2} cells in the layers", options(grids=[CELLS // 2] * 2)
    yield f"{CELLS * 2} cells in the layers", options(grids=[CELLS * 2] * 2)
    yield "Muon's rate halved", replace(base, lr=base.lr / 2)
    yield "Muon's rate doubled", replace(base, lr=base.lr * 2)
    yield "Adam's rate halved", replace(base, adam_lr=base.adam_lr / 2)
    yield "Adam's rate doubled", replace(base, adam_lr=base.adam_lr * 2)
    yield "batch halved, steps doubled", replace(base, batch_size=base.batch_size // 2, steps=base.steps * 2)
    yield "batch doubled, steps halved", replace(base, batch_size=base.batch_size * 2, steps=base.steps // 2)
    yield "half of the steps", replace(base, steps=base.steps // 2)
    yield "twice the steps", replace(base, steps=base.steps * 2)


def search(image: Image, share: float, preset: str, held_out: str | None) -> dict[str, tuple[float, float]]:
    """Decibels and seconds of every variant, by name.

    Args:
        image: to fit.
        share: of the preset's steps.
        preset: on grids.
        held_out: pixels to hide, which are scored then; None for none.
    """
    asked = Settings(preset=preset, encoding="grid", held_out=held_out, tiles=1)
    base = resolve(asked, image_stats(make_target(asked, image, torch.zeros(1))))
    assert base.steps is not None
    base = replace(base, steps=max(1, round(base.steps * share)))
    found = {}
    for name, settings in variants(base, image):
        with tempfile.TemporaryDirectory() as folder:
            metrics = kanfield.fit(image, settings, out=folder).metrics
        found[name] = metrics["held_out_psnr" if held_out else "psnr"], metrics["seconds"]
        print(f"{image.source}: {name}: {found[name][0]:.2f} dB, {found[name][1]:.1f} s", file=sys.stderr)
    return found


def main() -> None:
    """Read the command line, fit, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--size", type=int, help="longer side in pixels")
    parser.add_argument("--share", type=float, default=1.0, help="of the preset's steps")
    parser.add_argument("--preset", default="smooth", choices=list(PRESETS))
    parser.add_argument("--held-out", help="pixels to hide and to score")
    given = parser.parse_args()
    try:
        results = [
            search(read_image(file, given.size), given.share, given.preset, given.held_out)
            for file in given.images
        ]
    except KanfieldError as error:
        print(f"search_grids: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    first = next(iter(results[0]))
    print("| change | " + " | ".join(f"{file}, dB" for file in given.images) + " | seconds |")
    print("| --- " * (len(results) + 2) + "|")
    for name in results[0]:
        cells = [
            f"{each[name][0]:.2f}" if name == first else f"{each[name][0] - each[first][0]:+.2f}"
            for each in results
        ]
        seconds = sum(each[name][1] for each in results) / sum(each[first][1] for each in results)
        print(f"| {name} | {' | '.join(cells)} | x {seconds:.2f} |")


if __name__ == "__main__":
    main()
