"""What the grid that takes up a residual is worth to every field of a comparison with hidden pixels.

    kanfield compare PHOTOS --models kan siren rff hashgrid mlp --seconds 12 --held-out checkerboard --out DIR
    python tools/residuals.py DIR

The grid is fitted to what each trained field leaves of the pixels that it saw; a KAN that has one already
is left out. The table has means over the pictures: PSNR seen and unseen, without the grid and with it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

import kanfield
from kanfield.config.settings import Settings
from kanfield.encodings import ResidualGrid
from kanfield.errors import KanfieldError
from kanfield.images import Image
from kanfield.metrics.image_quality import psnr
from kanfield.runs.rendering import CHUNK
from kanfield.training.target import make_target


def measure(field: torch.nn.Module, image: Image, settings: Settings) -> list[float]:
    """PSNR in dB: seen and unseen, without the grid and with it.

    Args:
        field: trained on the image.
        image: what it was trained on.
        settings: of the fit.
    """
    target = make_target(settings, image, torch.zeros(1))
    x, values = target.samples(torch.arange(target.count))
    hidden = np.ones(target.count, bool)
    hidden[target.seen()] = False
    seen, longest = torch.from_numpy(~hidden), max(image.width, image.height)
    extent = image.width / longest, image.height / longest
    grid = ResidualGrid((image.width, image.height), image.channels, extent=extent)
    with torch.no_grad():
        drawn = torch.cat([field(part) for part in x.split(CHUNK)])
        grid.solve(x[seen], (values - drawn)[seen])
        both = drawn, drawn + grid(x)
    errors = [((each.clamp(-1, 1) - values).double() / 2).square().mean(1) for each in both]
    return [psnr(float(error[part].mean())) for error in errors for part in (seen, ~seen)]


def main() -> None:
    """Read the command line, measure, print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("comparison", type=Path)
    given = parser.parse_args()
    found: dict[str, list[list[float]]] = defaultdict(list)
    try:
        rows = json.loads((given.comparison / "compare.json").read_text(encoding="utf-8"))["rows"]
        for row in rows:
            run = kanfield.load(row["run"])
            if run.settings.held_out is None:
                parser.error(f"{given.comparison} hides no pixels: compare with --held-out")
            if not getattr(run.field, "has_residual", False):
                found[row["model"]].append(measure(run.field, run.image, run.settings))
    except (OSError, ValueError, KeyError):
        parser.error(f"{given.comparison} holds no finished comparison: give the folder of kanfield compare")
    except KanfieldError as error:
        print(f"residuals: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    print("| field | seen | unseen | seen, with the grid | unseen, with the grid |")
    print("| --- | --- | --- | --- | --- |")
    for model, figures in found.items():
        print(f"| {model} | " + " | ".join(f"{value:.2f}" for value in np.mean(figures, axis=0)) + " |")


if __name__ == "__main__":
    main()
