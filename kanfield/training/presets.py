"""The KAN's presets, each a point on the frontier between sharp pixels and true gaps between them."""

from __future__ import annotations

from typing import Any

# smooth: true between the pixels, the first grid and the initial noise kept small.
# lossless: fine hidden grids, every 8-bit pixel exact.
# compact: few parameters a pixel.
PRESETS: dict[str, dict[str, Any]] = {
    "smooth": {
        "widths": [64, 64, 64],
        "grids": [48, 10, 10, 10],
        "order": 3,
        "noise": 0.05,
        "optimizer": "muon",
        "lr": 5e-3,
        "adam_lr": 3e-3,
        "batch_size": 4096,
        "steps": 600,
        "range_steps": 200,
    },
    "lossless": {
        "widths": [64, 64],
        "grids": [200, 40, 40],
        "order": 3,
        "noise": 0.1,
        "optimizer": "muon",
        "lr": 1e-2,
        "adam_lr": 3e-3,
        "batch_size": 4096,
        "steps": 2000,
        "range_steps": 200,
    },
    "compact": {
        "widths": [32, 32],
        "grids": [32, 12, 12],
        "order": 3,
        "noise": 0.05,
        "optimizer": "muon",
        "lr": 1e-2,
        "adam_lr": 1e-2,
        "batch_size": 4096,
        "steps": 1000,
        "range_steps": 200,
    },
}
