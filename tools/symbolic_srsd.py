"""The easy set of SRSD-Feynman (arXiv:2206.10540): formulae, and the published ranges of their inputs.

From the authors' code (omron-sinicx/srsd-benchmark, datasets/feynman.py), with their values of the constants.
Columns that the target does not depend on are drawn as their dummy_column_mixer.py draws them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Range:
    """How an input is drawn.

    Attributes:
        low: the smallest value, or the smallest magnitude where it is drawn by magnitude.
        high: the largest.
        log: whether logarithms of magnitudes are uniform, else values.
        signed: whether signs are random, of magnitudes.
        whole: whether values are whole numbers.
    """

    low: float
    high: float
    log: bool = True
    signed: bool = False
    whole: bool = False

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.float64]:
        """Values, shape ``(count,)``."""
        if not self.log:
            return random.uniform(self.low, self.high, count)
        values = 10 ** random.uniform(np.log10(self.low), np.log10(self.high), count)
        values = np.round(values) if self.whole else values
        return values * random.choice([-1.0, 1.0], count) if self.signed else values


def with_dummies(ranges: dict[str, Range], random: np.random.Generator) -> dict[str, Range]:
    """Inputs and one to three that the target does not depend on, in random places.

    Magnitudes of such a one are within two decades somewhere between 1e-33 and 1e33, its signs random or not.
    """
    inputs = list(ranges.items())
    for number in range(random.integers(1, 4)):
        middle = int(random.integers(-32, 33))
        dummy = Range(10.0 ** (middle - 1), 10.0 ** (middle + 1), signed=bool(random.random() < 0.5))
        inputs.insert(int(random.integers(0, len(ranges) + 1)), (f"dummy{number}", dummy))
    return dict(inputs)


def _plus(low: float, high: float) -> Range:
    return Range(low, high)


def _both(low: float, high: float) -> Range:
    return Range(low, high, signed=True)


_ANGLE = Range(0.0, 2 * np.pi, log=False)
_TENTH, _CENT = _plus(0.1, 10), _plus(0.01, 1)
_E, _C, _H = "8.854e-12", "2.99792458e8", "6.626e-34"

SRSD_EASY: dict[str, tuple[str, dict[str, Range]]] = {
    "I.12.1": ("m*n", {"m": _CENT, "n": _CENT}),
    "I.12.4": (f"q*r/(4*pi*{_E}*r**3)", {"q": _both(0.1, 10), "r": _TENTH}),
    "I.12.5": ("q*e", {"q": _both(0.1, 10), "e": _both(0.1, 10)}),
    "I.14.3": ("9.80665*m*z", {"m": _CENT, "z": _both(0.01, 1)}),
    "I.14.4": ("k*x**2/2", {"k": _plus(1e2, 1e4), "x": _both(0.01, 1)}),
    "I.18.12": ("r*f*sin(t)", {"r": _TENTH, "f": _TENTH, "t": _ANGLE}),
    "I.18.16": ("m*r*v*sin(t)", {"m": _TENTH, "r": _TENTH, "v": _TENTH, "t": _ANGLE}),
    "I.25.13": ("q/c", {"q": _both(1e-5, 1e-3), "c": _plus(1e-5, 1e-3)}),
    "I.26.2": ("sin(a)/sin(b)", {"a": _ANGLE, "b": _ANGLE}),
    "I.27.6": ("1/(1/a + n/b)", {"a": _plus(1e-3, 1e-1), "n": _TENTH, "b": _plus(1e-3, 10)}),
    "I.30.5": ("l/(n*sin(t))", {"l": _plus(1e-11, 1e-9), "n": Range(1, 100, whole=True), "t": _ANGLE}),
    "I.43.16": (
        "u*q*v/d",
        {"u": _both(1e-6, 1e-4), "q": _both(1e-11, 1e-9), "v": _both(0.1, 10), "d": _plus(1e-3, 1e-1)},
    ),
    "I.47.23": (
        "sqrt(g*p/r)",
        {"g": Range(1, 2, log=False), "p": Range(5e-6, 1.5e-5, log=False), "r": Range(1, 2, log=False)},
    ),
    "II.2.42": (
        "k*(s - t)*a/d",
        {"k": _TENTH, "s": _plus(10, 1e3), "t": _plus(10, 1e3), "a": _plus(1e-4, 1e-2), "d": _CENT},
    ),
    "II.3.24": ("p/(4*pi*r**2)", {"p": _both(1, 100), "r": _CENT}),
    "II.4.23": (f"q/(4*pi*{_E}*r)", {"q": _both(1e-3, 1e-1), "r": _CENT}),
    "II.8.31": (f"{_E}*f**2/2", {"f": _plus(10, 1e3)}),
    "II.10.9": (f"s/({_E}*(1 + c))", {"s": _both(1e-3, 1e-1), "c": _plus(1, 100)}),
    "II.13.17": (f"2*i/(4*pi*{_E}*{_C}**2*r)", {"i": _both(1e-3, 1e-1), "r": _plus(1e-3, 1e-1)}),
    "II.15.4": ("-m*b*cos(t)", {"m": _both(1e-25, 1e-23), "b": _both(1e-3, 1e-1), "t": _ANGLE}),
    "II.15.5": ("-p*f*cos(t)", {"p": _both(1e-22, 1e-20), "f": _both(10, 1e3), "t": _ANGLE}),
    "II.27.16": (f"{_E}*{_C}*f**2", {"f": _TENTH}),
    "II.27.18": (f"{_E}*f**2", {"f": _TENTH}),
    "II.34.11": (
        "g*q*b/(2*m)",
        {
            "g": Range(-1, 1, log=False),
            "q": _both(1e-11, 1e-9),
            "b": _both(1e-9, 1e-7),
            "m": _plus(1e-30, 1e-28),
        },
    ),
    "II.34.29b": (
        f"g*9.2740100783e-24*b*j*2*pi/{_H}",
        {"g": Range(-1, 1, log=False), "b": _both(1e-3, 1e-1), "j": _both(1e-26, 1e-22)},
    ),
    "II.38.3": ("y*a*x/d", {"y": _TENTH, "a": _plus(1e-4, 1e-2), "x": _both(1e-3, 1e-1), "d": _CENT}),
    "II.38.14": ("y/(2*(1 + s))", {"y": _TENTH, "s": _CENT}),
    "III.7.38": (f"4*pi*m*b/{_H}", {"m": _both(1e-11, 1e-9), "b": _both(1e-3, 1e-1)}),
    "III.12.43": (f"n*{_H}/(2*pi)", {"n": Range(1, 100, whole=True)}),
    "III.15.27": (
        "2*pi*a/(n*d)",
        {
            "a": Range(1, 100, signed=True, whole=True),
            "n": Range(1, 100, whole=True),
            "d": _plus(1e-10, 1e-8),
        },
    ),
}
