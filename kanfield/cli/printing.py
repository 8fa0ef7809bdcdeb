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
    if metrics["lossless"]:
        lines.append("every 8-bit pixel is exact")
    elif metrics["target_reached"] is False:
        lines.append(f"the goal was not reached; {metrics['wrong_pixels']:,} pixels are not exact")
    similar = "" if metrics["ssim"] is None else f", SSIM {metrics['ssim']:.4f}"
    lines.append(f"{metrics['steps']} steps in {metrics['seconds']:.1f} s{similar}")
    lines.append(f"reconstruction, error map, metrics and weights: {metrics['run']}")
    print("\n".join(lines))
