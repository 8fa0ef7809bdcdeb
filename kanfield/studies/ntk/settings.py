"""Options of the study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kanfield.errors import InputError
from kanfield.fields.registry import family_names
from kanfield.studies.settings import File, StudySettings, require_known


@dataclass
class Ntk(StudySettings):
    """The empirical neural tangent kernel of fields on an image's pixels."""

    NAME: ClassVar[str] = "ntk"
    QUICK: ClassVar[dict[str, Any]] = {"side": 8, "models": ("siren", "mlp")}

    models: tuple[str, ...] = ("kan", "siren", "mlp", "rff", "hashgrid")
    """Families of fields (kanfield models lists them), each as a fit of the image begins with it."""
    image: File = None
    """The image. Default: a generated one of 256 pixels a side."""
    side: int = 24
    """Pixels of the longer side that the kernel is taken on; it has the square of as many rows."""
    runs: tuple[Path, ...] = ()
    """Run folders: their kernels at the start, at the last and at the best weights, instead of models'."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        require_known(self, "models", family_names())
        if not 8 <= self.side <= 96:
            raise InputError(f"--side {self.side} is impossible: give 8 to 96 pixels")
        if self.runs and self.image:
            raise InputError("--runs and --image contradict each other: a run has its own image")
        for path in (*self.runs, *([self.image] if self.image else [])):
            if not path.exists():
                raise InputError(f"{path} is not there: give a run folder to --runs, a file to --image")
