"""Spectra of images and of errors: frequency bands, when each is learned, and the bias to low ones.

Pure functions of arrays. Frequencies count in cycles a pixel, from the centre of the spectrum outwards; the
corners beyond 1/2, the Nyquist frequency of rows and columns, are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NYQUIST = 0.5
LEARNED = 0.1  # of a band's energy is in the error when the band counts as 90 % learned
_SHORTEST = 8  # pixels of a side that has a spectrum


@dataclass(frozen=True)
class Bands:
    """Octaves up to the Nyquist frequency of an image of a shape; ``edges`` ascend, in cycles a pixel.

    The lowest octave starts at two cycles or more across the shorter side: below, a window of the image's
    size cannot tell frequencies apart.

    Raises:
        ValueError: no side has 8 pixels.

    >>> Bands(64, 64).edges
    (0.03125, 0.0625, 0.125, 0.25, 0.5)
    >>> Bands(64, 64).names()[-1]
    '0.25-0.5'
    """

    height: int
    width: int

    @property
    def edges(self) -> tuple[float, ...]:
        """Borders of the bands, one more than bands."""
        sides = [side for side in (self.height, self.width) if side >= _SHORTEST]
        if not sides:
            raise ValueError(
                f"a spectrum needs a side of {_SHORTEST} pixels, got {self.height} x {self.width}"
            )
        octaves = math.floor(math.log2(NYQUIST * min(sides) / 2) + 1e-9)
        return tuple(NYQUIST / 2**n for n in range(octaves, -1, -1))

    def names(self, form: str = "g") -> list[str]:
        """Such as ``0.25-0.5``; ``form`` is that of the numbers."""
        pairs = zip(self.edges[:-1], self.edges[1:], strict=True)
        return [f"{low:{form}}-{high:{form}}" for low, high in pairs]

    def energies(self, values: NDArray[np.floating]) -> Floats:
        """Energy of values ``(height, width, c)`` in every band, summed over channels.

        Normalised so that all frequencies together hold the windowed values' variance.
        """
        energy, radius = power(values), frequencies(self.height, self.width)
        edges = np.array([*self.edges[:-1], np.nextafter(NYQUIST, 1)])  # the last band holds its border
        number = np.digitize(radius, edges) - 1
        inside = (number >= 0) & (number < len(edges) - 1)
        energies: Floats = np.bincount(number[inside], energy[inside], len(edges) - 1).astype(np.float64)
        return energies


def power(values: NDArray[np.floating]) -> Floats:
    """Energy of values ``(H, W, c)`` at every frequency of the FFT, shape ``(H, W)``, summed over channels.

    Under a Hann window, the mean under the window taken off; the sum over all frequencies is the mean square
    of the rest, weighted by the window's square.

    >>> bool(np.isclose(power(np.ones((16, 16, 1))).sum(), 0))
    True
    """
    height, width = values.shape[:2]
    window = _hann(height)[:, None, None] * _hann(width)[None, :, None]
    values = values.astype(np.float64)
    mean = (window * values).sum((0, 1)) / window.sum()
    spectrum = np.fft.fft2(window * (values - mean), axes=(0, 1))
    energy: Floats = np.square(np.abs(spectrum)).sum(2) / (height * width * np.square(window).sum())
    return energy


def _hann(side: int) -> Floats:
    """A Hann window over pixel centres; flat where a side is too short for a spectrum."""
    if side < _SHORTEST:
        return np.ones(side)
    return np.square(np.sin(np.pi * (np.arange(side) + 0.5) / side))


def frequencies(height: int, width: int) -> Floats:
    """Radial frequency of every entry of :func:`power`, in cycles a pixel, shape ``(height, width)``."""
    radius: Floats = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    return radius


def radial_spectrum(values: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Mean energy of values ``(H, W, c)`` on rings of one frequency step each.

    Returns:
        Frequencies of the rings in cycles a pixel, ascending up to 1/2, and energies.
    """
    side = max(values.shape[:2])
    energy, radius = power(values), frequencies(*values.shape[:2])
    ring = np.rint(radius * side).astype(np.int64)
    inside = (ring > 0) & (radius <= NYQUIST)
    count = np.bincount(ring[inside])
    total = np.bincount(ring[inside], energy[inside])
    there = count > 0
    return np.flatnonzero(there) / side, total[there] / count[there]


def learned_at(steps: Sequence[float], errors: Sequence[float]) -> float | None:
    """The step at which a band's error, as a share of its energy, first falls to a tenth; None for never.

    Interpolated between two looks, linearly in the logarithms.

    >>> round(learned_at([1, 10, 100], [1.0, 0.5, 0.02]), 6)
    31.622777
    """
    for number, (step, error) in enumerate(zip(steps, errors, strict=True)):
        if error <= LEARNED:
            if number == 0:
                return float(step)
            before, high = max(steps[number - 1], 0.5), errors[number - 1]
            share = math.log(high / LEARNED) / math.log(high / max(error, 1e-300))
            return float(before * (step / before) ** share)
    return None


@dataclass(frozen=True)
class Bias:
    """How the step at which a band is learned grows with its frequency: ``step ~ frequency^slope``.

    Attributes:
        slope: by least squares in the logarithms; the larger, the more biased to low frequencies. None where
            fewer than three bands were learned.
        error: its standard error. learned, bands: how many were learned, of how many.
    """

    slope: float | None
    error: float | None
    learned: int
    bands: int


def bias(centres: Sequence[float], steps: Sequence[float | None]) -> Bias:
    """The bias of a fit from the steps at which its bands were learned (None: not).

    >>> bias([0.1, 0.2, 0.4], [10, 20, 40]).slope
    1.0
    """
    pairs = [(f, s) for f, s in zip(centres, steps, strict=True) if s is not None]
    if len(pairs) < 3:
        return Bias(None, None, len(pairs), len(centres))
    return Bias(*log_slope(*zip(*pairs, strict=True)), len(pairs), len(centres))


def log_slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope of log y against log x by least squares, and its standard error (0 of two points).

    >>> log_slope([1.0, 10.0, 100.0], [1.0, 0.01, 0.0001])
    (-2.0, 0.0)
    """
    a, b = np.log(x), np.log(y)
    a, b = a - a.mean(), b - b.mean()
    slope = float(a @ b / (a @ a))
    rest = float(np.square(b - slope * a).sum())
    error = math.sqrt(rest / (len(a) - 2) / float(a @ a)) if len(a) > 2 else 0.0
    return round(slope, 9), round(error, 9)
