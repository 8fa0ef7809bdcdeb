"""What commands print: results on standard output, progress on standard error."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from kanfield.names import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def progress_console(quiet: bool) -> Console | None:
    """Where progress goes: standard error, or None under ``--quiet``."""
    from rich.console import Console

    return None if quiet else Console(stderr=True)


def print_json(content: Any) -> None:
    """Print one JSON object; a NaN or an infinity raises ValueError."""
    print(json.dumps(content, indent=2, allow_nan=False))


def print_tables(parts: Iterable[RenderableType]) -> None:
    """Print tables and lines; where a program reads them, nothing is folded to a terminal's width."""
    from rich.console import Console

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = 10_000
    for part in parts:
        console.print(part)


def print_metrics(metrics: dict[str, Any], as_json: bool, quiet: bool) -> None:
    """Print what a run reached.

    Args:
        metrics: the content of ``metrics.json``.
        as_json: print just that.
        quiet: print nothing else.
    """
    if as_json:
        print_json(metrics)
        return
    if quiet:
        return
    lines = [f"PSNR {metrics['psnr']:.2f} dB on the pixels trained on"]
    if metrics["held_out_psnr"] is not None:
        lines.append(f"PSNR {metrics['held_out_psnr']:.2f} dB on the pixels held out")
    # Earlier versions did not write it of 8 and 16 bits, which had no other range.
    low, high = metrics.get("value_range", [0, 255])
    if metrics["wrong_pixels"] is None or [low, high] not in ([0, 255], [0, 65535]) or metrics.get("tonemap"):
        space = ", on a logarithmic scale" if metrics.get("tonemap") else ""
        lines.append(f"decibels are relative to the image's own range, {low:.6g} to {high:.6g}{space}")
    if metrics["lossless"]:
        lines.append("every known pixel is exact" if metrics["ssim"] is None else "every pixel is exact")
    elif metrics["target_reached"] is False:
        wrong = metrics["wrong_pixels"]
        lines.append("the goal was not reached" + (f"; {wrong:,} pixels are not exact" if wrong else ""))
    ssim = "" if metrics["ssim"] is None else f", SSIM {metrics['ssim']:.4f}"
    lines.append(f"{metrics['steps']} steps in {metrics['seconds']:.1f} s{ssim}")
    lines.append(f"reconstruction, error map, metrics and weights: {metrics['run']}")
    print("\n".join(map(printable, lines)))
