"""What watches a run: the row of a log step, and the interface of a monitor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from kanfield.images import Image

if TYPE_CHECKING:
    pass


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
    outside: float  # fraction of hidden values outside their grids
    pixels_per_second: float


class Monitor(Protocol):
    """Something that watches a run."""

    def log(self, row: Row) -> None:
        """A log step."""

    def picture(self, step: int, image: Image) -> None:
        """A reconstruction, at log-spaced steps."""

    def close(self) -> None:
        """The run is over."""
