"""Options of ``kanfield study scaling``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from kanfield.errors import InputError
from kanfield.studies.settings import StudySettings, require_known, require_positive


@dataclass
class Scaling(StudySettings):
    """The scaling law: test error against parameters, approximation error against G (arXiv:2404.19756)."""

    NAME: ClassVar[str] = "scaling"
    QUICK: ClassVar[dict[str, Any]] = {
        "functions": ("bessel", "exp-sin"),
        "seeds": 1,
        "starts": 2,
        "grids": (5, 10, 20, 40),
        "steps": 40,
        "mlps": ("8x2",),
        "mlp_steps": 150,
        "samples": 300,
    }

    functions: tuple[str, ...] = ("bessel", "exp-sin", "product", "exp-100", "nested")
    """J0(20 x), exp(sin(pi x) + y^2), x y, and those in 100 and in 4 dimensions."""
    seeds: int = 3
    """Fits of every model, each with its own samples and weights."""
    starts: int = 5
    """Starts of a KAN on the coarsest grid, the best of which is trained further."""
    grids: tuple[int, ...] = (3, 5, 10, 20, 50, 100, 200, 500, 1000)
    """Cells of the KANs' grids, ascending."""
    steps: int = 600
    """Iterations of L-BFGS on every grid."""
    mlps: tuple[str, ...] = ("8x2", "16x2", "32x2", "64x2", "16x3", "32x3", "64x3")
    """Shapes of the MLPs: width x hidden layers."""
    mlp_steps: int = 1800
    """Iterations of L-BFGS of an MLP."""
    samples: int = 1000
    """Training points."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        require_positive(self, "seeds", "starts", "grids", "steps", "mlp_steps", "samples")
        require_known(self, "functions", ("bessel", "exp-sin", "product", "exp-100", "nested"))
        if list(self.grids) != sorted(set(self.grids)):
            raise InputError(f"--grids {self.grids}: give them from the coarsest to the finest")
        for shape in self.mlps:
            if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", shape):
                raise InputError(f"--mlps {shape} is not a shape: give width x hidden layers, such as 32x2")
