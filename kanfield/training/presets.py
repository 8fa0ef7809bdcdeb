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
        "frequency": 8.0,
        "lr": 5e-3,
        "adam_lr": 5e-3,
    },
    # Every 8-bit pixel exact: fine hidden grids.
    "lossless": {
        **_COMMON,
        "widths": [64, 64],
        "grids": [200, 40, 40],
        "frequency": 15.0,
        "lr": 3e-3,
        "adam_lr": 3e-3,
        "range_steps": 1000,
    },
    # At most half a parameter a pixel of a 256 x 256 image.
    "compact": {
        **_COMMON,
        "widths": [48, 48],
        "grids": [48, 8, 8],
        "frequency": 10.0,
        "lr": 1e-2,
        "adam_lr": 1e-2,
    },
}

_EPOCHS = {"smooth": 48.0, "lossless": 140.0, "compact": 48.0}


def preset_epochs(preset: str, parameters_per_pixel: float) -> float:
    """How often a preset sees every pixel when it is given no budget.

    With more than two parameters for a pixel that it may see, a field soon has its pixels and from then on
    only strays between them: ``smooth`` trains shorter in proportion.

    >>> preset_epochs("smooth", 1.0), preset_epochs("smooth", 4.0)
    (48.0, 24.0)
    """
    epochs = _EPOCHS[preset]
    return epochs * min(1.0, 2 / parameters_per_pixel) if preset == "smooth" else epochs
