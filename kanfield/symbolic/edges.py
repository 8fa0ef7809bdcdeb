"""What stands on an edge: a cubic spline, or a named function with four constants."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kanfield.splines.basis import active_basis, locate
from kanfield.splines.refine import two_scale_matrix
from kanfield.symbolic.functions import CONSTANTS, Function
from kanfield.symbolic.numbers import as_number

Array = NDArray[np.float64]

ORDER = 3
_CACHED_POINTS = 4096


def spline_basis(x: Array, lower: float, upper: float, size: int, derivative: int = 0) -> Array:
    """All cubic B-splines of a grid at some points; outside the grid they continue linearly.

    Args:
        x: points, shape ``(N,)``.
        lower: left border of the grid.
        upper: its right border.
        size: cells.
        derivative: 0 for values, 1 for slopes.

    Returns:
        Shape ``(N, size + 3)``.

    >>> spline_basis(np.array([0.0]), 0.0, 1.0, 1).round(3).tolist()
    [[0.167, 0.667, 0.167, 0.0]]
    """
    # A fit asks for the same basis twice a step, and for that of the inputs in every step.
    if len(x) <= _CACHED_POINTS:
        return _cached_basis(np.ascontiguousarray(x).tobytes(), lower, upper, size, derivative)
    return _basis(x, lower, upper, size, derivative)


@functools.lru_cache(maxsize=128)
def _cached_basis(x: bytes, lower: float, upper: float, size: int, derivative: int) -> Array:
    return _basis(np.frombuffer(bytearray(x)), lower, upper, size, derivative)


def _basis(x: Array, lower: float, upper: float, size: int, derivative: int) -> Array:
    with torch.no_grad():
        scale = torch.tensor([size / (upper - lower)], dtype=torch.float64)
        start = torch.tensor([lower], dtype=torch.float64)
        cells = locate(torch.from_numpy(np.ascontiguousarray(x))[:, None], start, scale, size)
        taps = active_basis(cells, scale, ORDER, derivative)
        basis = torch.zeros(len(x), size + ORDER, dtype=torch.float64)
        basis.scatter_(1, cells.cell + torch.arange(ORDER + 1), torch.cat(taps, 1))
    return basis.numpy()


@dataclass(frozen=True)
class Spline:
    """A cubic spline on a uniform grid.

    Attributes:
        lower: left border of its grid.
        upper: right border.
        coef: coefficients, shape ``(G + 3,)``.
    """

    lower: float
    upper: float
    coef: Array

    @property
    def size(self) -> int:
        """Cells of the grid."""
        return len(self.coef) - ORDER

    @property
    def parameters(self) -> Array:
        """Its coefficients."""
        return self.coef

    def with_parameters(self, p: Array) -> Spline:
        """The same grid with other coefficients."""
        return dataclasses.replace(self, coef=p)

    def __call__(self, x: Array) -> Array:
        """Values at ``x``, shape ``(N,)``."""
        return self.jacobian(x) @ self.coef

    def slope(self, x: Array) -> Array:
        """Derivatives at ``x``, shape ``(N,)``."""
        return spline_basis(x, self.lower, self.upper, self.size, 1) @ self.coef

    def jacobian(self, x: Array) -> Array:
        """Derivatives of the values by the coefficients, shape ``(N, P)``."""
        return spline_basis(x, self.lower, self.upper, self.size)

    def refine(self, factor: int) -> Spline:
        """The same function on a grid of ``factor`` times the cells, exactly."""
        matrix = two_scale_matrix(self.size, factor, ORDER).numpy()
        return dataclasses.replace(self, coef=matrix @ self.coef)

    def moved(self, lower: float, upper: float) -> Spline:
        """The nearest spline, by least squares, on a grid of as many cells between other borders."""
        x = np.linspace(lower, upper, 4 * self.size + ORDER + 1)
        coef = np.linalg.lstsq(spline_basis(x, lower, upper, self.size), self(x), rcond=None)[0]
        return Spline(lower, upper, coef.astype(np.float64))


@dataclass(frozen=True)
class Named:
    """``c * f(a * x + b) + d`` with a function ``f`` of the table.

    Attributes:
        function: the function ``f``.
        constants: ``(a, b, c, d)``.
        free: those of them that a fit may change.
    """

    function: Function
    constants: Array = field(default_factory=lambda: np.array([1.0, 0.0, 1.0, 0.0]))
    free: str = ""

    @property
    def _free(self) -> list[int]:
        return [CONSTANTS.index(letter) for letter in self.free]

    @property
    def parameters(self) -> Array:
        """The free constants, in the order of ``free``."""
        return self.constants[self._free]

    def with_parameters(self, p: Array) -> Named:
        """The same function with other free constants."""
        constants = self.constants.copy()
        constants[self._free] = p
        return dataclasses.replace(self, constants=constants)

    def __call__(self, x: Array) -> Array:
        """Values at ``x``, shape ``(N,)``; NaN outside the function's domain."""
        a, b, c, d = self.constants
        values: Array = c * self.function(a * x + b) + d
        return values

    def slope(self, x: Array) -> Array:
        """Derivatives at ``x``, shape ``(N,)``."""
        a, b, c, _ = self.constants
        slopes: Array = a * c * self.function.slope(a * x + b)
        return slopes

    def jacobian(self, x: Array) -> Array:
        """Derivatives of the values by the free constants, shape ``(N, P)``."""
        a, b, c, _ = self.constants
        u = a * x + b
        inner = c * self.function.slope(u) if {"a", "b"} & set(self.free) else None
        columns: dict[str, Any] = {"d": lambda: np.ones_like(x), "c": lambda: self.function(u)}
        if inner is not None:
            columns |= {"a": lambda: inner * x, "b": lambda: inner}
        return (
            np.stack([columns[letter]() for letter in self.free], 1) if self.free else np.empty((len(x), 0))
        )

    def expression(self, x: Any) -> Any:
        """The SymPy expression of the edge at the expression ``x``."""
        a, b, c, d = (
            as_number(value, letter not in self.free)
            for letter, value in zip(CONSTANTS, self.constants, strict=True)
        )
        (symbol,) = self.function.formula.free_symbols
        return c * self.function.formula.subs(symbol, a * x + b) + d


EdgeFunction = Spline | Named
