"""A run's progress as TensorBoard events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from torch import nn

from kanfield.images import Image
from kanfield.monitors.base import Row
from kanfield.monitors.edge_figure import edge_figure
from kanfield.monitors.event_file import EventFile
from kanfield.monitors.tolerant import closed_on_failure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TAGS = {
    "loss": "train/loss",
    "psnr": "psnr/seen",
    "held_out_psnr": "psnr/held_out",
    "lr": "train/learning_rate",
    "adam_lr": "train/learning_rate_adam",
    "out_of_range": "train/out_of_range",
    "pixels_per_second": "train/pixels_per_second",
}


class TensorBoardLog:
    """An event file beside ``config.yaml``; a resumed run's goes on from its checkpoint.

    Args:
        folder: The run folder.
        config: The run's settings, shown as text.
        resumed_at: Step of the checkpoint that the run goes on from, or None.
    """

    def __init__(self, folder: Path, config: Mapping[str, object], resumed_at: int | None) -> None:
        self._events = EventFile(folder, None if resumed_at is None else resumed_at + 1)
        if resumed_at is None:
            text = yaml.safe_dump(dict(config), sort_keys=False)
            with closed_on_failure(self._events):
                self._events.text("config", "\n".join(f"    {line}" for line in text.splitlines()))

    def log(self, row: Row) -> None:
        """Write the row's scalars."""
        for field, tag in _TAGS.items():
            value = getattr(row, field)
            if value is not None:
                self._events.scalar(tag, value, row.step)
        self._events.flush()

    def picture(self, step: int, image: Image) -> None:
        """Write a reconstruction."""
        self._events.image("reconstruction", image.to_8bit().pixels, step)
        self._events.flush()

    def edges(self, field: nn.Module, step: int) -> None:
        """Write a figure of learned edge functions, for fields that have them."""
        figure = edge_figure(field)
        if figure is not None:
            self._events.figure("edges", figure, step)

    def spectrum(self, step: int, errors: Mapping[str, float]) -> None:
        """Write the error as a fraction of the image's energy in every band of frequencies."""
        for name, error in errors.items():
            self._events.scalar(f"spectrum/{name} cycles per pixel", error, step)

    def heat_map(self, figure: Figure, step: int) -> None:
        """Write the figure of the error in every band at every step."""
        self._events.figure("spectrum", figure, step)

    def close(self) -> None:
        """Flush and close the event file."""
        self._events.close()
