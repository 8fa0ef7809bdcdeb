"""Spectra of images and of errors: frequency bands, when each is learned, and the bias to low ones.

Pure functions of arrays. Frequencies are radial, in cycles per pixel; the corners of the spectrum beyond 1/2,
the Nyquist frequency of rows and columns, are left out.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NYQUIST = 0.5
LEARNED = 0.1  # of a band's energy left in the error: the band counts as 90 % learned
_SHORTEST = 8  # pixels of the shortest side that has a spectrum
_NAME = re.compile(r"1/([1-9]\d*)-1/([1-9]\d*)")


@dataclass(frozen=True)
class Bands:
    """Octaves up to the Nyquist frequency of an image of some size.

    The lowest octave starts at two cycles or more across the shorter side: below, a window of the image's
    size cannot separate frequencies.

    Attributes:
        height: Pixel rows of the image.
        width: Pixel columns of the image.

    >>> Bands(64, 64).edges
    (0.03125, 0.0625, 0.125, 0.25, 0.5)
    >>> Bands(64, 64).names
    ['1/32-1/16', '1/16-1/8', '1/8-1/4', '1/4-1/2']
    """

    height: int
    width: int

    @property
    def edges(self) -> tuple[float, ...]:
        """Edges of the bands in cycles per pixel, ascending, one more than there are bands.

        Raises:
            ValueError: No side has 8 pixels.
        """
        sides = [side for side in (self.height, self.width) if side >= _SHORTEST]
        if not sides:
            raise ValueError(
                f"a spectrum needs a side of {_SHORTEST} pixels, got {self.height} x {self.width}"
            )
        octaves = math.floor(math.log2(NYQUIST * min(sides) / 2) + 1e-9)
        return tuple(NYQUIST / 2**n for n in range(octaves, -1, -1))

    @property
    def names(self) -> list[str]:
        """The bands' names, such as ``1/4-1/2``: exact, since every edge is one over a power of two."""
        ends = [f"1/{round(1 / edge)}" for edge in self.edges]
        return [f"{low}-{high}" for low, high in itertools.pairwise(ends)]

    @staticmethod
    def parse_name(name: str) -> tuple[float, float]:
        """The edges in a band's name.

        Raises:
            ValueError: It is not a band's name.

        >>> Bands.parse_name("1/4-1/2")
        (0.25, 0.5)
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{name!r} is not a band of frequencies such as 1/4-1/2")
        return 1 / int(match[1]), 1 / int(match[2])

    def energies(self, values: NDArray[np.floating]) -> Floats:
        """Energy in every band, summed over channels.

        Args:
            values: Shape ``(height, width, c)``.

        Returns:
            Shape ``(bands,)``, in squared units of the values: all frequencies together hold the windowed
            values' variance.
        """
        energy, radius = power(values), frequencies(self.height, self.width)
        edges = np.array([*self.edges[:-1], np.nextafter(NYQUIST, 1)])  # the last band holds its border
        number = np.digitize(radius, edges) - 1
        inside = (number >= 0) & (number < len(edges) - 1)
        energies: Floats = np.bincount(number[inside], energy[inside], len(edges) - 1).astype(np.float64)
        return energies


def power(values: NDArray[np.floating]) -> Floats:
    """Energy at every frequency of the FFT, summed over channels.

    A Hann window is applied, and the mean under the window subtracted; the sum over all frequencies is the
    mean square of the rest, weighted by the window's square.

    Args:
        values: Shape ``(H, W, c)``.

    Returns:
        Shape ``(H, W)``, in squared units of the values.

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
    """Radial frequency of every entry of :func:`power`, in cycles per pixel, shape ``(height, width)``."""
    radius: Floats = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    return radius


def radial_spectrum(values: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Mean energy on rings of one frequency step each.

    Args:
        values: Shape ``(H, W, c)``.

    Returns:
        Frequencies of the rings in cycles per pixel, ascending up to 1/2, and energies, both ``(rings,)``.
    """
    side = max(values.shape[:2])
    energy, radius = power(values), frequencies(*values.shape[:2])
    ring = np.rint(radius * side).astype(np.int64)
    inside = (ring > 0) & (radius <= NYQUIST)
    count = np.bincount(ring[inside])
    total = np.bincount(ring[inside], energy[inside])
    filled = count > 0
    return np.flatnonzero(filled) / side, total[filled] / count[filled]


def learned_at(steps: Sequence[float], errors: Sequence[float]) -> float | None:
    """The step at which a band's error, as a fraction of its energy, first falls to a tenth.

    Interpolated between two evaluations, linearly in the logarithms.

    Args:
        steps: Of the evaluations, ascending.
        errors: Fractions of the band's energy at these steps.

    Returns:
        The step; None where it never falls that far.

    >>> round(learned_at([1, 10, 100], [1.0, 0.5, 0.02]), 6)
    31.622777
    """
    for number, (step, error) in enumerate(zip(steps, errors, strict=True)):
        if error <= LEARNED:
            if number == 0:
                return float(step)
            before, high = max(steps[number - 1], 0.5), errors[number - 1]
            fraction = math.log(high / LEARNED) / math.log(high / max(error, 1e-300))
            return float(before * (step / before) ** fraction)
    return None


@dataclass(frozen=True)
class Bias:
    """How the step at which a band is learned grows with its frequency: ``step ~ frequency^slope``.

    Attributes:
        slope: By least squares in the logarithms; the larger, the more biased to low frequencies. None where
            fewer than three bands were learned.
        error: Standard error of the slope.
        learned: Number of bands that were learned.
        bands: Number of all bands.
    """

    slope: float | None
    error: float | None
    learned: int
    bands: int


def bias(centres: Sequence[float], steps: Sequence[float | None]) -> Bias:
    """The bias of a fit from the steps at which its bands were learned.

    Args:
        centres: Frequencies of the bands.
        steps: When each was learned; None where it was not.

    >>> bias([0.1, 0.2, 0.4], [10, 20, 40]).slope
    1.0
    """
    pairs = [(f, s) for f, s in zip(centres, steps, strict=True) if s is not None]
    if len(pairs) < 3:
        return Bias(None, None, len(pairs), len(centres))
    return Bias(*log_slope(*zip(*pairs, strict=True)), len(pairs), len(centres))


def log_slope(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope of log y against log x by least squares, and its standard error (0 for two points).

    >>> log_slope([1.0, 10.0, 100.0], [1.0, 0.01, 0.0001])
    (-2.0, 0.0)
    """
    a, b = np.log(x), np.log(y)
    a, b = a - a.mean(), b - b.mean()
    slope = float(a @ b / (a @ a))
    rest = float(np.square(b - slope * a).sum())
    error = math.sqrt(rest / (len(a) - 2) / float(a @ a)) if len(a) > 2 else 0.0
    return round(slope, 9), round(error, 9)
