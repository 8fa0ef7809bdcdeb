"""The PSNR that each precision of a GPU's matrix units allows, by emulation on the CPU.

    python tools/precision_table.py assets/camera.png [--size 128] [--steps N] [--presets smooth lossless]
        [--encoding directions] [--json FILE]

The same fit, once in each precision: products inside the splines, forward and backward, take operands that
are rounded as the units round them (kanfield/splines/precision.py), and everything else is float32. Fits
have no goal, so that none stops before the others.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import kanfield
from kanfield.splines import PRECISIONS


def fits(image: Path, size: int, preset: str, **settings: Any) -> list[dict[str, Any]]:
    """Fit in each precision.

    Args:
        image: the file.
        size: longer side in pixels.
        preset: of each fit.
        settings: of each fit beside these.

    Returns:
        One row for each precision.
    """
    rows = []
    for precision in PRECISIONS:
        with tempfile.TemporaryDirectory() as folder:
            same = {"out": folder, "size": size, "preset": preset, "device": "cpu", **settings}
            run = kanfield.fit(image, precision=precision, **same)
            kept = ("psnr", "wrong_pixels", "steps", "seconds")
            rows.append({"preset": preset, "precision": precision, **{key: run.metrics[key] for key in kept}})
        row = rows[-1]
        print(
            f"{preset:10}{precision:8}{row['psnr']:8.2f} dB{row['psnr'] - rows[0]['psnr']:+8.2f}"
            f"{row['wrong_pixels']:8} wrong pixels{row['steps']:6} steps",
            flush=True,
        )
    return rows


def main() -> None:
    """Read the command line, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument("--presets", nargs="+", default=["smooth", "lossless"])
    parser.add_argument("--encoding", help="default: the preset's")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    arguments = parser.parse_args()
    settings = {"steps": arguments.steps, "encoding": arguments.encoding}
    rows = [
        row
        for preset in arguments.presets
        for row in fits(arguments.image, arguments.size, preset, **settings)
    ]
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
