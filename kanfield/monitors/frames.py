"""Pictures of a run at log-spaced steps, for ``--timelapse``."""

from __future__ import annotations

from pathlib import Path

from kanfield.images import Image, write_image
from kanfield.monitors.base import Row


class FrameLog:
    """Numbered pictures for ``--timelapse``; a resumed run writes the same ones again.

    Args:
        folder: Where they go, made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def log(self, row: Row) -> None:
        """Do nothing: a folder of pictures holds no numbers."""

    def picture(self, step: int, image: Image) -> None:
        """Write a picture, named by its step."""
        write_image(self._folder / f"{step:08d}.png", image.to_8bit())

    def close(self) -> None:
        """Do nothing: no file is open."""
