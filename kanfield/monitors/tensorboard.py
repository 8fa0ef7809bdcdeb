"""A run's progress as TensorBoard events."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from torch import nn

from kanfield.images import Image
from kanfield.monitors.base import Row
from kanfield.monitors.edge_figure import edge_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TensorBoardLog:
    """Event files beside ``config.yaml``; a resumed run's continue at its checkpoint."""

    def __init__(self, folder: Path, config: dict[str, object], resumed_at: int | None) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from torch.utils.tensorboard import SummaryWriter
        # The writer's thread would print a traceback when the disk is full; the next write says it again.
        self._excepthook, threading.excepthook = threading.excepthook, lambda _: None
        purge = None if resumed_at is None else resumed_at + 1
        self._writer = SummaryWriter(str(folder), purge_step=purge)
        if resumed_at is None:
            text = yaml.safe_dump(config, sort_keys=False)
            self._writer.add_text("config", "\n".join(f"    {line}" for line in text.splitlines()))

    def log(self, row: Row) -> None:
        """Write the row's scalars."""
        names = {
            "loss": "train/loss",
            "psnr": "psnr/seen",
            "held_out_psnr": "psnr/held_out",
            "lr": "train/learning_rate",
            "adam_lr": "train/learning_rate_adam",
            "outside": "train/out_of_range",
            "pixels_per_second": "train/pixels_per_second",
        }
        for field, tag in names.items():
            value = getattr(row, field)
            if value is not None:
                self._writer.add_scalar(tag, value, row.step)

    def picture(self, step: int, image: Image) -> None:
        """Write a reconstruction."""
        self._writer.add_image("reconstruction", image.to_8bit().pixels, step, dataformats="HWC")
        self._writer.flush()

    def edges(self, field: nn.Module, step: int) -> None:
        """Write a figure of learned edge functions, for fields that have them."""
        figure = edge_figure(field)
        if figure is not None:
            self._writer.add_figure("edges", figure, step)

    def spectrum(self, step: int, errors: Mapping[str, float]) -> None:
        """Write the error's share of the image's energy in every band of frequencies."""
        for name, error in errors.items():
            self._writer.add_scalar(f"spectrum/{name} cycles a pixel", error, step)

    def heat_map(self, figure: Figure, step: int) -> None:
        """Write the figure of the error in every band at every step."""
        self._writer.add_figure("spectrum", figure, step)

    def close(self) -> None:
        """Flush and close the event file."""
        try:
            self._writer.close()
        finally:
            threading.excepthook = self._excepthook
