"""The variants that the search for a recipe tries: named changes to what each group starts from."""

from __future__ import annotations

from typing import Any

# What each group starts from, spelled out: the presets' own constants follow this search.
BETWEEN = {"widths": [64] * 3, "grids": [40, 9, 9, 9], "order": 2, "frequency": 3.2, "directions": 0}
BETWEEN |= {"lr": 1e-2, "adam_lr": 1e-2, "range_steps": 200, "noise": 0.05, "steps": 1000, "batch_size": 2048}
ON = {**BETWEEN, "widths": [64] * 2, "grids": [200, 40, 40], "frequency": 15.0, "lr": 3e-3, "adam_lr": 3e-3}
ON |= {"range_steps": 500}

EIGHT = {"directions": 8}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "between": {
        "before": {},
        "4 directions": {"directions": 4},
        "8 directions": EIGHT,
        "16 directions": {"directions": 16},
        "8 directions, order 3": {**EIGHT, "order": 3},
        "8 directions, order 1": {**EIGHT, "order": 1},
        "8 directions, hidden 5": {**EIGHT, "grids": [40, 5, 5, 5]},
        "8 directions, hidden 14": {**EIGHT, "grids": [40, 14, 14, 14]},
        "8 directions, order 3, hidden 5": {**EIGHT, "order": 3, "grids": [40, 5, 5, 5]},
        "8 directions, order 3, hidden 7": {**EIGHT, "order": 3, "grids": [40, 7, 7, 7]},
        "8 directions, first 20": {**EIGHT, "grids": [20, 9, 9, 9]},
        "8 directions, first 80": {**EIGHT, "grids": [80, 9, 9, 9]},
        "8 directions, frequency 2": {**EIGHT, "frequency": 2.0},
        "8 directions, frequency 4.5": {**EIGHT, "frequency": 4.5},
        "8 directions, noise 0.2": {**EIGHT, "noise": 0.2},
        "8 directions, 2 layers": {**EIGHT, "widths": [64] * 2, "grids": [40, 9, 9]},
        "8 directions, 4 layers": {**EIGHT, "widths": [64] * 4, "grids": [40, 9, 9, 9, 9]},
        "8 directions, width 96": {**EIGHT, "widths": [96] * 3},
        "8 directions, width 40": {**EIGHT, "widths": [40] * 3},
        "8 directions, nested hidden 3 + 9": {**EIGHT, "grids": [40, [3, 9], [3, 9], [3, 9]]},
        "8 directions, nested first 10 + 40": {**EIGHT, "grids": [[10, 40], 9, 9, 9]},
        "8 directions, rates halved": {**EIGHT, "lr": 5e-3, "adam_lr": 5e-3},
        "8 directions, Adam's rate halved": {**EIGHT, "adam_lr": 5e-3},
        "8 directions, Adam alone": {**EIGHT, "optimizer": "adam", "lr": 3e-3},
        "8 directions, batch 1024": {**EIGHT, "batch_size": 1024, "steps": 2000},
        "8 directions, batch 4096": {**EIGHT, "batch_size": 4096, "steps": 500},
        "8 directions, refined at half": {**EIGHT, "grids": [20, 5, 5, 5], "change": "refined-once"},
        "8 directions, refined twice": {**EIGHT, "grids": [10, 3, 3, 3], "change": "refined-twice"},
        "8 directions, batch grows": {**EIGHT, "change": "batch-growth"},
        "8 directions, Muon of 3 steps": {**EIGHT, "change": "muon-3-steps"},
        "8 directions, Polar Express, 5": {**EIGHT, "change": "polar-express-5"},
        "8 directions, Polar Express, 3": {**EIGHT, "change": "polar-express-3"},
        "8 directions, rows of Muon equal": {**EIGHT, "change": "rows-normalized"},
        "8 directions, momentum 0.9": {**EIGHT, "change": "momentum-0.9"},
        "8 directions, momentum 0.98": {**EIGHT, "change": "momentum-0.98"},
        "8 directions, SOAP": {**EIGHT, "lr": 3e-3, "change": "soap"},
        "8 directions, Shampoo": {**EIGHT, "lr": 1e-2, "change": "shampoo"},
        "8 directions, schedule-free": {**EIGHT, "change": "schedule-free"},
        "8 directions, periodic edges": {**EIGHT, "change": "mirrored"},
        "8 directions, cosine": {**EIGHT, "change": "cosine"},
        "8 directions, late decay": {**EIGHT, "change": "late-decay"},
        "8 directions, square decay": {**EIGHT, "change": "square-decay"},
        "8 directions, smoothness 0.001": {**EIGHT, "smoothness": 1e-3},
        "8 directions, smoothness 0.01": {**EIGHT, "smoothness": 1e-2},
        "8 directions, two groups": {**EIGHT, "model": "kan-grouped", "widths": [90] * 3},
        "1 layer of 128, 8 directions": {**EIGHT, "widths": [128], "grids": [40, 9]},
        "1 layer of 128, 16 directions": {"directions": 16, "widths": [128], "grids": [40, 9]},
        "1 layer of 128, 16 directions, last 30": {"directions": 16, "widths": [128], "grids": [40, 30]},
        "1 layer of 128, 16 directions, order 3": {
            **{"directions": 16, "widths": [128], "grids": [40, 9], "order": 3}
        },
        "2-D spline grid of 64 cells": {
            "model": "kan-plane",
            "options": {"cells": 64},
            "widths": [64] * 2,
            "grids": [9, 9, 9],
        },
    },
    "on": {
        "before": {},
        "8 directions": EIGHT,
        "16 directions": {"directions": 16},
        "32 directions": {"directions": 32},
        "32 directions, first 100": {"directions": 32, "grids": [100, 40, 40]},
        "16, Adam's rate 1e-2": {"directions": 16, "adam_lr": 1e-2},
        "16, Adam's rate 2e-2": {"directions": 16, "adam_lr": 2e-2},
        "16, Muon's rate 1e-2": {"directions": 16, "lr": 1e-2},
        "16, first 400, frequency 25": {"directions": 16, "grids": [400, 40, 40], "frequency": 25.0},
        "16, frequency 25": {"directions": 16, "frequency": 25.0},
        "16, hidden 80": {"directions": 16, "grids": [200, 80, 40]},
        "16, width 96": {"directions": 16, "widths": [96] * 2},
        "16, order 1": {"directions": 16, "order": 1},
        "16, order 3": {"directions": 16, "order": 3},
        "16, 3 layers of 20 cells": {"directions": 16, "widths": [64] * 3, "grids": [200, 20, 20, 20]},
        "16, batch 1024": {"directions": 16, "batch_size": 1024, "steps": 2000},
        "16, refined at half": {"directions": 16, "grids": [100, 20, 20], "change": "refined-once"},
        "16, nested hidden 10 + 40": {"directions": 16, "grids": [200, [10, 40], [10, 40]]},
        "16, nested first 50 + 200": {"directions": 16, "grids": [[50, 200], 40, 40]},
        "16, rows of Muon equal": {"directions": 16, "change": "rows-normalized"},
        "16, momentum 0.9": {"directions": 16, "change": "momentum-0.9"},
        "16, Muon of 3 steps": {"directions": 16, "change": "muon-3-steps"},
        "16, SOAP": {"directions": 16, "lr": 1e-3, "change": "soap"},
        "16, batch grows": {"directions": 16, "change": "batch-growth"},
        "16, cosine": {"directions": 16, "change": "cosine"},
        "16, square decay": {"directions": 16, "change": "square-decay"},
        "2-D spline grid of 128 cells": {
            "model": "kan-plane",
            "options": {"cells": 128},
            "grids": [40, 40, 40],
        },
        "2-D spline grid of 64 cells": {
            "model": "kan-plane",
            "options": {"cells": 64},
            "grids": [40, 40, 40],
        },
        "hash grid, tuned": {"model": "hashgrid"},
    },
}
WIDE: dict[str, Any] = {"widths": [128], "grids": [200, 100], "directions": 32}
VARIANTS["on"] |= {
    "1 layer of 128": WIDE,
    "1 of 128, 16 directions, first 100": {**WIDE, "directions": 16, "grids": [100, 100]},
    "1 of 128, 8 directions": {**WIDE, "directions": 8},
    "1 of 128, 8 directions, first 240, last 30": {**WIDE, "directions": 8, "grids": [240, 30]},
    "1 of 64, 16 directions": {**WIDE, "widths": [64], "directions": 16},
    "1 of 64, 16 directions, first 240, last 30": {
        **{**WIDE, "widths": [64], "directions": 16, "grids": [240, 30]}
    },
    "1 of 128, 4 directions, first 400": {**WIDE, "directions": 4, "grids": [400, 100]},
    "1 of 200, 8 directions, first 150": {**WIDE, "widths": [200], "directions": 8, "grids": [150, 100]},
    "1 of 96, 24 directions, first 100": {**WIDE, "widths": [96], "directions": 24, "grids": [100, 100]},
    "1 of 64, 32 directions, first 100": {**WIDE, "widths": [64], "grids": [100, 100]},
    "1 of 128, 32 directions, first 50": {**WIDE, "grids": [50, 100]},
    "1 of 128, 16 directions": {**WIDE, "directions": 16},
    "1 of 128, 64 directions, first 100": {**WIDE, "directions": 64, "grids": [100, 100]},
    "1 of 128, last 40": {**WIDE, "grids": [200, 40]},
    "1 of 128, last 200": {**WIDE, "grids": [200, 200]},
    "1 of 128, first 100": {**WIDE, "grids": [100, 100]},
    "1 of 128, first 400": {**WIDE, "grids": [400, 100]},
    "1 of 128, Adam's rate 1e-2": {**WIDE, "adam_lr": 1e-2},
    "1 of 128, Adam's rate 1e-3": {**WIDE, "adam_lr": 1e-3},
    "1 of 128, frequency 25": {**WIDE, "frequency": 25.0},
    "1 of 128, frequency 8": {**WIDE, "frequency": 8.0},
    "1 of 128, order 1": {**WIDE, "order": 1},
    "1 of 128, order 3": {**WIDE, "order": 3},
    "1 of 128, noise 0.01": {**WIDE, "noise": 0.01},
    "1 of 128, noise 0.2": {**WIDE, "noise": 0.2},
    "1 of 128, batch 1024": {**WIDE, "batch_size": 1024, "steps": 2000},
    "1 of 64": {**WIDE, "widths": [64]},
    "1 of 64, 64 directions": {**WIDE, "widths": [64], "directions": 64},
    "1 of 256": {**WIDE, "widths": [256]},
    "1 of 128, nested first 50 + 200": {**WIDE, "grids": [[50, 200], 100]},
    "1 of 128, late decay": {**WIDE, "change": "late-decay"},
    "1 of 128, square decay": {**WIDE, "change": "square-decay"},
}
FINE: dict[str, Any] = {**WIDE, "directions": 8, "grids": [200, 200], "noise": 0.01}
VARIANTS["on"] |= {
    "1 of 128, 8, last 200, noise 0.01": FINE,
    "the same, order 1": {**FINE, "order": 1},
    "the same, order 1, frequency 8": {**FINE, "order": 1, "frequency": 8.0},
    "the same, last 400": {**FINE, "grids": [200, 400]},
    "the same, order 1, last 400": {**FINE, "order": 1, "grids": [200, 400]},
    "the same, 16 directions": {**FINE, "directions": 16},
    "the same, 16 directions, order 1": {**FINE, "directions": 16, "order": 1},
    "the same, Adam's rate 2e-3": {**FINE, "adam_lr": 2e-3},
    "the same, Adam's rate 5e-3": {**FINE, "adam_lr": 5e-3},
    "the same, noise 0": {**FINE, "noise": 0.0},
    "the same, ranges follow for 200 steps": {**FINE, "range_steps": 200},
    "the same, first 400, 4 directions": {**FINE, "directions": 4, "grids": [400, 200]},
}
LINEAR: dict[str, Any] = {**FINE, "order": 1, "frequency": 8.0, "range_steps": 200}
VARIANTS["on"] |= {
    "order 1, frequency 8": LINEAR,
    "order 1, frequency 8, Adam's rate 2e-3": {**LINEAR, "adam_lr": 2e-3},
    "order 1, frequency 5": {**LINEAR, "frequency": 5.0},
    "order 1, frequency 12": {**LINEAR, "frequency": 12.0},
    "order 1, 6 directions, last 300": {**LINEAR, "directions": 6, "grids": [200, 300]},
    "order 1, 96 wide, last 350": {**LINEAR, "widths": [96], "grids": [200, 350]},
    "order 1, 8 directions, first 160, last 300": {**LINEAR, "grids": [160, 300]},
    "order 1, 96 wide, 10 directions, last 250": {
        **{**LINEAR, "widths": [96], "directions": 10, "grids": [200, 250]}
    },
    "order 1, 160 wide, 6 directions, last 200": {
        **{**LINEAR, "widths": [160], "directions": 6, "grids": [200, 200]}
    },
    "order 1, 64 wide, 16 directions, last 200": {
        **{**LINEAR, "widths": [64], "directions": 16, "grids": [200, 200]}
    },
    "order 1, 2 layers of 64, 12 directions": {
        **{**LINEAR, "widths": [64, 64], "directions": 12, "grids": [200, 20, 100]}
    },
}
SOFT: dict[str, Any] = {**EIGHT, "grids": [45, 8, 8, 8], "adam_lr": 5e-3, "smoothness": 1.5e-3}
SLOW: dict[str, Any] = {**SOFT, "steps": 3200}  # what 12 s on two cores are
VARIANTS["between"] |= {
    "as adopted": SOFT,
    "as adopted, without smoothness": {**SOFT, "smoothness": 0.0},
    "as adopted, axes instead of directions": {**SOFT, "directions": 0},
    "3200 steps, before": {"steps": 3200},
    "3200 steps, as adopted": SLOW,
    "3200 steps, without smoothness": {**SLOW, "smoothness": 0.0},
    "3200 steps, axes instead of directions": {**SLOW, "directions": 0},
    "3200 steps, smoothness 0.0007": {**SLOW, "smoothness": 7e-4},
    "3200 steps, Adam's rate 2.5e-3": {**SLOW, "adam_lr": 2.5e-3},
    "3200 steps, rates halved": {**SLOW, "lr": 5e-3, "adam_lr": 2.5e-3},
    "3200 steps, momentum 0.98": {**SLOW, "change": "momentum-0.98"},
    "3200 steps, hidden 14": {**SLOW, "grids": [45, 14, 14, 14]},
    "1600 steps of 4096": {**SLOW, "steps": 1600, "batch_size": 4096},
}
# Waves are drawn on grids of one length and stretched with those along slanted directions, or are not; then
# they have as many cycles along all directions as before along the axes, or as before on the mean.
SHORT: dict[str, Any] = {**SOFT, "steps": 500}
EXACT: dict[str, Any] = {**LINEAR, "widths": [160], "directions": 6, "grids": [200, 200]}
VARIANTS["between"] |= {
    "stretched waves": SHORT,
    "isotropic waves": {**SHORT, "change": "isotropic"},
    "isotropic waves, frequency 2.6": {**SHORT, "frequency": 2.6, "change": "isotropic"},
}
VARIANTS["on"] |= {
    "stretched waves": EXACT,
    "isotropic waves": {**EXACT, "change": "isotropic"},
    "isotropic waves, frequency 6.6": {**EXACT, "frequency": 6.6, "change": "isotropic"},
}
# The variants of a stage, if not all; the first is what the others are compared with.
CHOSEN: dict[str, dict[str, list[str]]] = {
    "judge": {
        "between": ["before", "8 directions", "as adopted", "3200 steps, before", "3200 steps, as adopted"],
        "on": ["before", "8 directions", "order 1, 160 wide, 6 directions, last 200", "hash grid, tuned"],
    },
    "waves": {group: [name for name in VARIANTS[group] if "waves" in name] for group in VARIANTS},
}


def variants_of(stage: str, group: str) -> list[str]:
    """The variants of a stage, what they are compared with first."""
    return CHOSEN.get(stage, {}).get(group) or list(VARIANTS[group])


def settings_of(group: str, variant: str) -> dict[str, Any]:
    """All settings of a variant's fit."""
    change = VARIANTS[group][variant]
    base = BETWEEN if group == "between" else ON
    if change.get("model") == "hashgrid":
        return {"model": "hashgrid", "steps": base["steps"], "batch_size": base["batch_size"]}
    settings = {**base, **change}
    if settings.get("model") == "kan-plane":
        settings = {k: v for k, v in settings.items() if k not in ("directions", "frequency", "noise")}
    if settings.get("model") == "kan-grouped":
        del settings["noise"]
    return settings
