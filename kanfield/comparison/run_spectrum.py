"""The spectra of one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kanfield.metrics.spectra import Bias, bias
from kanfield.monitors.spectrum_log import SpectrumCurve


@dataclass(frozen=True)
class RunSpectrum:
    """The spectra of one run; pixel values count from 0 to 1.

    Attributes:
        image: its name.
        label: name of the model; runs of one label on several images are averaged.
        path: the run's folder.
        frequencies: in cycles per pixel, shape ``(F,)``.
        original: radial spectrum of the image at those frequencies, shape ``(F,)``.
        reconstruction: radial spectrum of the field's output, shape ``(F,)``.
        error: radial spectrum of the difference, shape ``(F,)``.
        curve: what was logged while fitting, or None.
    """

    image: str
    label: str
    path: Path
    frequencies: NDArray[np.float64]
    original: NDArray[np.float64]
    reconstruction: NDArray[np.float64]
    error: NDArray[np.float64]
    curve: SpectrumCurve | None

    @property
    def bias(self) -> Bias | None:
        """How the number of steps to learn a band grows with its frequency."""
        return None if self.curve is None else bias(self.curve.centres, self.curve.learned())
