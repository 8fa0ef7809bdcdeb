"""Settings of a fit: one schema for flags, configuration files and the run's own ``config.yaml``.

Knows nothing of torch, so the command line can show its help at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Levels = int | list[int]


# The settings that a family may take when it is built; what else it takes stands in ``options``.
FIELD_SETTINGS = ("widths", "grids", "order", "noise", "frequency", "directions")


@dataclass
class Phase:
    """A stretch of training at one rate, with a fresh optimiser: ``{steps: 5000, lr: 0.001}``."""

    steps: int
    lr: float


@dataclass
class Settings:
    """What a fit can be told. None leaves the choice to the preset, or switches a thing off."""

    model: str = "kan"
    preset: str | None = None
    size: int | None = None
    max_pixels: int | None = None
    held_out: str | None = None
    mask: str | None = None
    widths: list[int] | None = None
    grids: list[Levels] | None = None
    order: int | None = None
    noise: float | None = None
    frequency: float | None = None
    directions: int | None = None
    options: dict[str, Any] | None = None
    steps: int | None = None
    seconds: float | None = None
    phases: list[Phase] | None = None
    target_psnr: float | None = None
    lossless: bool = False
    batch_size: int | None = None
    optimizer: Literal["muon", "adam"] | None = None
    lr: float | None = None
    adam_lr: float | None = None
    range_steps: int | None = None
    smoothness: float | None = None
    seed: int = 0
    threads: int | None = None
    device: str = "auto"
    precision: Literal["fp32", "fp64", "tf32x3", "tf32", "bf16"] = "fp32"
    compile: bool = False
    checkpoint_seconds: float = 10.0
    timelapse: bool = False
    spectrum: bool = False
