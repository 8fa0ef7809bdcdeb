"""Options of ``kanfield study waves``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from kanfield.fields.registry import family_names
from kanfield.studies.settings import Flag, StudySettings, require_known, require_positive


@dataclass
class Waves(StudySettings):
    """Ten waves from 5 to 50 Hz: which amplitudes a field has recovered at which step (arXiv:2410.01803)."""

    NAME: ClassVar[str] = "waves"
    QUICK: ClassVar[dict[str, Any]] = {"steps": 150, "repeats": 2, "mlp_width": 32}

    models: tuple[str, ...] = ("kan", "mlp")
    """Families of fields (kanfield models lists them); kan and mlp have the paper's shapes."""
    amplitudes: tuple[str, ...] = ("equal", "increasing")
    """equal: all 1; increasing: 0.1, 0.2, ... 1."""
    steps: int = 8000
    """Steps of Adam (the paper gives its MLPs 80000)."""
    repeats: int = 10
    """Fits, each with phases and weights of its own."""
    lr: float = 3e-4
    """Rate of Adam."""
    width: int = 10
    """Units of the KAN's hidden layers: the paper has 3 and 10."""
    depth: int = 4
    """Layers of the KAN: 2, 3 or 4."""
    grid: int = 10
    """Cells of the KAN's grids: 5, 10, 20 or 40."""
    mlp_width: int = 256
    """Units of the MLP's hidden layers: 32, 64, 128 or 256."""
    mlp_depth: int = 6
    """Layers of the MLP: 6 or 10."""
    as_published: Flag = False
    """Leave times in [0, 1), for all models, and the KAN's grids on [-1, 1], as the authors' code does by
    mistake."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        require_positive(self, "steps", "repeats", "lr", "width", "depth", "grid", "mlp_width", "mlp_depth")
        require_known(self, "models", family_names())
        require_known(self, "amplitudes", ("equal", "increasing"))
