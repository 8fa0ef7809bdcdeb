"""The KAN's presets, each a point on the frontier between sharp pixels and true gaps between them."""

from __future__ import annotations

from typing import Any

_COMMON = {"order": 2, "noise": 0.05, "optimizer": "muon", "batch_size": 2048, "range_steps": 200}

PRESETS: dict[str, dict[str, Any]] = {
    # True between the pixels: a modest first grid, and a start from waves of modest frequency.
    "smooth": {
        **_COMMON,
        "widths": [64, 64, 64],
        "grids": [48, 10, 10, 10],
        "frequency": 10.0,
        "lr": 5e-3,
        "adam_lr": 5e-3,
        "epochs": 50,
    },
    # Every 8-bit pixel exact: fine hidden grids.
    "lossless": {
        **_COMMON,
        "widths": [64, 64],
        "grids": [200, 40, 40],
        "frequency": 15.0,
        "lr": 1e-2,
        "adam_lr": 1e-2,
        "epochs": 100,
    },
    # At most half a parameter a pixel of a 256 x 256 image.
    "compact": {
        **_COMMON,
        "widths": [32, 32],
        "grids": [48, 8, 8],
        "frequency": 10.0,
        "lr": 1e-2,
        "adam_lr": 1e-2,
        "epochs": 50,
    },
}
