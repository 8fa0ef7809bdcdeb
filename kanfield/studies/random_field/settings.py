"""Options of ``kanfield study random-field``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from kanfield.errors import InputError
from kanfield.fields.registry import family_names
from kanfield.studies.settings import StudySettings, require_known, require_positive


@dataclass
class RandomField(StudySettings):
    """Gaussian random fields in two and three dimensions: train and test error (arXiv:2410.01803)."""

    NAME: ClassVar[str] = "random-field"
    QUICK: ClassVar[dict[str, Any]] = {
        "dimensions": (2,),
        "sigmas": (0.5,),
        "samples": 400,
        "grids": (5, 10),
        "depths": (2,),
        "activations": ("tanh",),
        "steps": 20,
        "mlp_width": 24,
        "overfit_sigmas": (),
    }

    models: tuple[str, ...] = ("kan", "mlp")
    """Families of fields (kanfield models lists them); kan and mlp have the paper's shapes."""
    dimensions: tuple[int, ...] = (2, 3)
    """Numbers of coordinates, up to 4."""
    sigmas: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    """Length scales of the random field, on [-1, 1]."""
    samples: int = 5000
    """Points, four fifths of them to train on."""
    grids: tuple[int, ...] = (10, 20, 30, 40, 50)
    """Cells of the KAN's grids, from coarse to fine."""
    depths: tuple[int, ...] = (2, 3)
    """Layers of the KANs, 10 units wide; the paper has 2, 3 and 4."""
    activations: tuple[str, ...] = ("tanh", "relu")
    """Of the MLPs."""
    steps: int = 60
    """Iterations of L-BFGS on every grid; other models get as many as the KAN in all."""
    mlp_width: int = 256
    """Units of the MLP's five hidden layers."""
    overfit_sigmas: tuple[float, ...] = (0.125,)
    """Length scales that are fitted again with ten times the samples, in the highest dimension."""

    def cases(self) -> list[tuple[int, float, int]]:
        """What every model is fitted to: dimension, length scale, and the factor on ``samples``."""
        once = [(d, sigma, 1) for d in self.dimensions for sigma in self.sigmas]
        return once + [(max(self.dimensions), sigma, 10) for sigma in self.overfit_sigmas]

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        require_positive(self, "sigmas", "samples", "grids", "depths", "steps", "mlp_width")
        require_known(self, "models", family_names())
        require_known(self, "activations", ("tanh", "relu", "silu", "gelu"))
        if not self.dimensions or not set(self.dimensions) <= {1, 2, 3, 4}:
            raise InputError(f"--dimensions {self.dimensions}: give some of 1, 2, 3, 4")
        for sigma in (*self.sigmas, *self.overfit_sigmas):
            if sigma < 0.05:
                raise InputError(f"--sigmas {sigma:g} is too fine: give 0.05 or more")
        if max(self.dimensions) == 4 and min(*self.sigmas, *self.overfit_sigmas, 1) < 0.25:
            raise InputError("--dimensions 4 has too many modes for length scales below 0.25")
        if self.samples < 10 or list(self.grids) != sorted(set(self.grids)):
            raise InputError("give --samples of 10 or more and --grids from the coarsest to the finest")


def trial_key(dimension: int, sigma: float, factor: int, model: str) -> str:
    """The name of the trial of a model on a case.

    >>> trial_key(2, 0.125, 1, "kan-2")
    'd2-sigma0.125-x1-kan-2'
    """
    return f"d{dimension}-sigma{sigma:g}-x{factor}-{model}"
