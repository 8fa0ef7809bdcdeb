"""Pictures of a run at log-spaced steps, for ``--timelapse``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from kanfield.images import Image, write_image
from kanfield.monitors.base import Row

if TYPE_CHECKING:
    pass


class FrameLog:
    """Numbered pictures for ``--timelapse``; a resumed run writes the same ones again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def log(self, row: Row) -> None:
        """Numbers do not fit a picture."""

    def picture(self, step: int, image: Image) -> None:
        """Write a frame."""
        write_image(self._folder / f"{step:08d}.png", image.to_8bit())

    def close(self) -> None:
        """Nothing is open."""
