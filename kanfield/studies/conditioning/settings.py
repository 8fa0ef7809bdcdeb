"""Options of ``kanfield study conditioning``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from kanfield.errors import InputError
from kanfield.studies.settings import StudySettings, require_positive


@dataclass
class Conditioning(StudySettings):
    """The Hessian of one spline layer under least squares, against a ReLU layer's (arXiv:2410.01803)."""

    NAME: ClassVar[str] = "conditioning"
    QUICK: ClassVar[dict[str, Any]] = {"grids": (5, 10, 20), "dimensions": (1, 2, 4)}

    orders: tuple[int, ...] = (1, 2, 3)
    """Orders of the splines."""
    grids: tuple[int, ...] = (5, 10, 20, 40, 80)
    """Cells of the splines' grid; units per input of the ReLU layer."""
    dimensions: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of inputs."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        require_positive(self, "orders", "grids", "dimensions")
        if not self.orders or not set(self.orders) <= {1, 2, 3}:
            raise InputError(f"--orders {self.orders}: splines have order 1, 2 or 3")
        for name in ("grids", "dimensions"):
            if len(set(getattr(self, name))) < 2:
                raise InputError(f"--{name}: give two or more, to see how the ratio grows")
