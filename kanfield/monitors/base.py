"""What watches a run: the row of a log step, and the interface of a monitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kanfield.images import Image


@dataclass
class Row:
    """One log step. None where a value was not measured at this step."""

    step: int
    seconds: float  # training time
    loss: float  # mean squared error of the batch, values in [-1, 1]
    psnr: float | None  # dB, pixels trained on; of a large image, some of them
    held_out_psnr: float | None  # dB, pixels never seen
    lr: float
    adam_lr: float  # of what Muon leaves to Adam; equal to lr where Adam trains all
    out_of_range: float  # fraction of hidden values outside their grids, 0 to 1
    pixels_per_second: float  # of all training steps so far


class Monitor(Protocol):
    """What is called while a run goes on."""

    def log(self, row: Row) -> None:
        """Note a log step."""

    def picture(self, step: int, image: Image) -> None:
        """Note a reconstruction; called at log-spaced steps."""

    def close(self) -> None:
        """Release what is open; the run is over."""
