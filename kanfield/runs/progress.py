"""How far a run has come: steps, seconds, the best PSNR and when marks were crossed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kanfield.config.parse import coerce_fields

PSNR_MARKS = range(20, 105, 5)  # dB whose first crossing is noted


@dataclass
class Progress:
    """Plain values, saved in the run's checkpoint. The PSNR of a large image is that of some of its pixels.

    Attributes:
        step: Steps done.
        seconds: Training time.
        best_psnr: Of all evaluations, in dB; None before the first.
        best_step: When it was measured.
        wrong_pixels: Trained pixels whose stored value differs, as of the last evaluation; None for floats.
        fewest_wrong: Of these at the best evaluation.
        reached_goal: Whether ``--target-psnr`` or ``--lossless`` is met, as of the last evaluation.
        subset_bias: Largest excess in dB of the PSNR of some pixels over that of all, added to the target.
        evaluated_at: Step of the last evaluation.
        seconds_to_psnr: Training time at which each mark in dB was first crossed.
        steps_to_psnr: Step at which it was.

    >>> progress = Progress(step=30, seconds=1.5)
    >>> progress.note(26.0)
    >>> progress.steps_to_psnr
    {'20': 30, '25': 30}
    """

    step: int = 0
    seconds: float = 0.0
    best_psnr: float | None = None
    best_step: int = 0
    wrong_pixels: int | None = None
    fewest_wrong: int | None = None
    reached_goal: bool = False
    subset_bias: float = 0.0
    evaluated_at: int = 0
    seconds_to_psnr: dict[str, float] = field(default_factory=dict)
    steps_to_psnr: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_checkpoint(cls, info: Mapping[str, Any], path: Path) -> Progress:
        """Take up the progress that a checkpoint's info holds.

        Args:
            info: Of the checkpoint, with other keys beside those of the progress.
            path: Of the checkpoint, for errors.

        Raises:
            InputError: A value has the wrong type.
        """
        known = {key: info[key] for key in cls.__dataclass_fields__ if key in info}
        return coerce_fields(cls, known, f"{path} is damaged: ")

    def is_best(self, psnr: float, lossless: bool) -> bool:
        """Whether an evaluation is the best so far: of a lossless fit by its wrong pixels, then by PSNR."""
        if self.best_psnr is None:
            return True
        if lossless and self.wrong_pixels is not None and self.fewest_wrong is not None:
            return (-self.wrong_pixels, psnr) > (-self.fewest_wrong, self.best_psnr)
        return psnr > self.best_psnr

    def note(self, psnr: float) -> None:
        """Note the marks in dB that are crossed for the first time."""
        for mark in PSNR_MARKS:
            if psnr >= mark and str(mark) not in self.steps_to_psnr:
                self.steps_to_psnr[str(mark)] = self.step
                self.seconds_to_psnr[str(mark)] = round(self.seconds, 3)


def is_log_spaced(before: int, step: int) -> bool:
    """Whether a power of 1.5 lies in (before, step].

    >>> is_log_spaced(20, 26), is_log_spaced(26, 30)
    (True, False)
    """
    if step < 1:
        return False
    power = math.floor(math.log(step, 1.5) + 1e-9)
    return math.ceil(1.5**power) > before
