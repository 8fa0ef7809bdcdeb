"""Options of ``kanfield study pde``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from tyro.conf import arg

from kanfield.studies.pde.rows import ROWS, WAYS
from kanfield.studies.settings import StudySettings, require_known, require_positive


@dataclass
class Pde(StudySettings):
    """The poster's differential equations: its errors, ours with its settings guessed, our best, floors."""

    NAME: ClassVar[str] = "pde"
    QUICK: ClassVar[dict[str, Any]] = {
        "rows": ("darcy-kan-10",),
        "adam_steps": 20,
        "lm_steps": 8,
        "lbfgs_steps": 20,
        "points": 1000,
    }

    rows: tuple[str, ...] = tuple(ROWS)
    """Rows of the poster; the times of all together are hours."""
    ways: tuple[str, ...] = WAYS
    """guess: Adam alone, as the poster says; best: the best optimiser; floor: a fit of the reference."""
    adam_steps: int = 20_000
    """Steps of Adam, ten times as many in rows of ten times the training."""
    lm_steps: int = 300
    """Steps of Levenberg-Marquardt, ten times as many in rows of ten times the training."""
    lbfgs_steps: int = 3000
    """Steps of L-BFGS, for KANs of more than 3,000 parameters."""
    points: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Points of the equation. Default: as many as kanfield solve takes for each field."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        require_known(self, "rows", list(ROWS))
        require_known(self, "ways", list(WAYS))
        require_positive(self, "adam_steps", "lm_steps", "lbfgs_steps", "points")
