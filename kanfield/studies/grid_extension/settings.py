"""Options of ``kanfield study grid-extension``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from kanfield.errors import InputError
from kanfield.studies.settings import File, StudySettings, require_positive


@dataclass
class GridExtension(StudySettings):
    """A fixed fine grid, one refined in stages, and nested levels: the error in every band of frequency."""

    NAME: ClassVar[str] = "grid-extension"
    QUICK: ClassVar[dict[str, Any]] = {"size": 48, "steps": 90, "width": 16}

    image: File = None
    """The image. Default: a generated one."""
    size: int = 256
    """Pixels of its longer side."""
    steps: int = 2000
    """Steps of every fit; the staged one is refined after a third and after two thirds of them."""
    width: int = 64
    """Units of the three hidden layers."""
    first_grid: int = 16
    """Cells of the first layer's coarse grid; the fine one has four times as many."""
    hidden_grid: int = 4
    """Cells of the other layers' coarse grids."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        require_positive(self, "size", "steps", "width", "first_grid", "hidden_grid")
        if self.size < 16 or self.steps < 3:
            raise InputError("give a --size of 16 pixels or more and 3 --steps or more")
        if self.image is not None and not self.image.exists():
            raise InputError(f"--image {self.image} is not there: give a file")
