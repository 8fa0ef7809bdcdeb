"""Settings of a fit: one schema for flags, configuration files and the run's own ``config.yaml``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Alpha = Literal["premultiplied", "straight"]  # of 8 and 16 bits: are colours fitted times alpha?
Encoding = Literal["grid", "directions", "both", "none"]  # of the coordinates that a KAN sees


@dataclass
class Phase:
    """A stretch of training at one learning rate, with a fresh optimiser: ``{steps: 5000, lr: 0.001}``."""

    steps: int
    lr: float


@dataclass
class Settings:
    """What a fit is asked for. None leaves the choice to the preset, or switches a thing off.

    ``configs/example.yaml`` explains every setting; ``options`` are those of the family of fields
    (:attr:`kanfield.fields.Family.options`).
    """

    model: str = "kan"
    preset: str | None = None
    encoding: Encoding | None = None
    parameters: int | None = None
    size: int | None = None
    max_pixels: int | None = None
    page: int | None = None
    tiles: int | None = None
    held_out: str | None = None
    mask: str | None = None
    bands: list[str] | None = None
    nodata: float | None = None
    value_range: list[float] | None = None
    tonemap: Literal["log"] | None = None
    alpha: Alpha | None = None
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

    @property
    def title(self) -> str:
        """The family of fields, with the preset and encoding of a KAN.

        >>> Settings(preset="smooth", encoding="grid").title
        'kan smooth grid'
        """
        return " ".join([self.model, *(word for word in (self.preset, self.encoding) if word)])
