"""A run's spectra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kanfield.metrics.spectra import Bias, bias
from kanfield.monitors.spectrum_log import SpectrumCurve


@dataclass(frozen=True)
class RunSpectrum:
    """A run's spectra, values from 0 to 1.

    Attributes:
        image, label: names of both; runs of one label on several images are averaged.
        frequencies: in cycles a pixel. original, reconstruction, error: radial spectra there.
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
        """How the steps at which bands are learned grow with frequency."""
        return None if self.curve is None else bias(self.curve.centres, self.curve.learned())
