"""A study's curves and figures as TensorBoard events."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kanfield.process import quiet_warnings

if TYPE_CHECKING:
    from kanfield.reports.findings import Picture


def write_curves(folder: Path, name: str, curves: Mapping[str, Sequence[tuple[int, float | None]]]) -> None:
    """Write the curves of a trial.

    Args:
        folder: of the study.
        name: of the trial.
        curves: ``[(step, value), ...]`` by tag; values that are None are left out.
    """
    if not curves:
        return
    with _Events(folder / "tensorboard" / name) as writer:
        for tag, points in curves.items():
            for step, value in points:
                if value is not None:
                    writer.add_scalar(tag, value, step)


def write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    """Write figures, replacing older ones."""
    with _Events(folder / "tensorboard" / "figures") as writer:
        for picture in pictures:
            writer.add_figure(picture.name, picture.figure, close=False)


class _Events:
    """A folder with one event file; older ones are removed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Any:
        with quiet_warnings():
            from torch.utils.tensorboard import SummaryWriter
        shutil.rmtree(self._folder, ignore_errors=True)
        self._writer = SummaryWriter(str(self._folder))
        return self._writer

    def __exit__(self, *_: object) -> None:
        self._writer.close()
