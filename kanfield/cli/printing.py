"""What several commands print."""

from __future__ import annotations

import json
from typing import Any


def print_metrics(metrics: dict[str, Any], as_json: bool, quiet: bool) -> None:
    """What a run reached, in words or as the content of ``metrics.json``."""
    if as_json:
        print(json.dumps(metrics, indent=2, allow_nan=False))
        return
    if quiet:
        return
    lines = [f"PSNR {metrics['psnr']:.2f} dB on the pixels trained on"]
    if metrics["held_out_psnr"] is not None:
        lines.append(f"PSNR {metrics['held_out_psnr']:.2f} dB on the pixels held out")
    if metrics["wrong_pixels"] is None:
        low, high = metrics["value_range"]
        lines.append(f"decibels are relative to the image's own range, {low:.6g} to {high:.6g}")
    if metrics["lossless"]:
        lines.append("every known pixel is exact" if metrics["ssim"] is None else "every pixel is exact")
    elif metrics["target_reached"] is False:
        wrong = metrics["wrong_pixels"]
        lines.append("the goal was not reached" + (f"; {wrong:,} pixels are not exact" if wrong else ""))
    similar = "" if metrics["ssim"] is None else f", SSIM {metrics['ssim']:.4f}"
    lines.append(f"{metrics['steps']} steps in {metrics['seconds']:.1f} s{similar}")
    lines.append(f"reconstruction, error map, metrics and weights: {metrics['run']}")
    print("\n".join(lines))
