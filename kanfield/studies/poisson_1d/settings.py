"""Options of ``kanfield study poisson-1d``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from kanfield.errors import InputError
from kanfield.fields.registry import family_names
from kanfield.studies.settings import StudySettings, require_known, require_positive


@dataclass
class Poisson1d(StudySettings):
    """The Poisson equation in one dimension by Deep Ritz: L2 and H1 errors (arXiv:2410.01803)."""

    NAME: ClassVar[str] = "poisson-1d"
    QUICK: ClassVar[dict[str, Any]] = {"frequencies": (4,), "steps": 55, "points": 100}

    models: tuple[str, ...] = ("kan", "mlp")
    """Families of fields (kanfield models lists them); kan and mlp have the paper's shapes."""
    frequencies: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Values of w, even numbers: the solution has sines of frequency 1 and w."""
    steps: int = 300
    """Iterations of L-BFGS on each of the KAN's two grids; others get twice as many."""
    grid: int = 20
    """Cells of the KAN's first grid; the second has twice as many."""
    points: int = 2000
    """Equispaced points of the integral."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        require_positive(self, "frequencies", "steps", "grid", "points")
        require_known(self, "models", family_names())
        if any(w % 2 for w in self.frequencies):
            raise InputError(
                f"--frequencies {self.frequencies}: give even numbers, for which u' is 0 at the ends"
            )
        if self.points <= 2 * max(self.frequencies) + 1:
            raise InputError(
                f"--points {self.points} is too few for sines of {max(self.frequencies)} half turns"
            )
        if self.steps <= 50:
            raise InputError(f"--steps {self.steps} is too few: the grids move in the first 50")
