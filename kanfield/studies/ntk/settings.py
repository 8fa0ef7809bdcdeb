"""Options of ``kanfield study ntk``."""

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
    """Families of fields (kanfield models lists them), each as at the start of a fit of the image."""
    image: File = None
    """The image. Default: a generated one of 256 x 256 pixels."""
    side: int = 24
    """Longer side of the pixel grid on which the kernel is computed; its rows are the grid's pixels."""
    runs: tuple[Path, ...] = ()
    """Run folders: kernels of their initial, last and best weights, instead of those of --models."""

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
