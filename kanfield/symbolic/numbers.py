"""Numbers that people write: small rationals, and those times or over pi and roots."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import sympy

_FAMILIES = {  # what a rational is multiplied with, and how much longer that is to write
    1.0: (sympy.Integer(1), 0),
    float(sympy.pi): (sympy.pi, 3),
    float(1 / sympy.pi): (1 / sympy.pi, 6),
    float(sympy.sqrt(2)): (sympy.sqrt(2), 6),
    float(sympy.sqrt(3)): (sympy.sqrt(3), 8),
    float(1 / sympy.sqrt(2 * sympy.pi)): (1 / sympy.sqrt(2 * sympy.pi), 10),
    float(1 / sympy.sqrt(sympy.pi)): (1 / sympy.sqrt(sympy.pi), 10),
}
_LARGEST_DENOMINATOR = 24


def simple_number(value: float, tolerance: float) -> sympy.Expr | None:
    """The shortest number within a tolerance, if meeting one so short by chance is unlikely.

    Args:
        value: to be replaced.
        tolerance: how far off the number may be, 0 or more.

    Returns:
        An exact SymPy number, or None.

    >>> simple_number(3.14159265, 1e-7), simple_number(0.4999999, 1e-6), simple_number(0.271828, 1e-5)
    (pi, 1/2, None)
    """
    best, shortest = None, float("inf")
    for length, number, off in _near(value):
        chance = min(tolerance, 1.0) * length**2 / max(1.0, abs(value))
        if off <= tolerance and length < shortest and chance < 0.05:
            best, shortest = number, length
    return best


def _near(value: float) -> Iterator[tuple[float, sympy.Expr, float]]:
    yield 0.0, sympy.Integer(0), abs(value)
    for size, (factor, extra) in _FAMILIES.items():
        ratio = value / size
        if abs(ratio) > 1e6:
            continue
        for denominator in range(1, _LARGEST_DENOMINATOR + 1):
            near = Fraction(round(ratio * denominator), denominator)
            if near and near.denominator == denominator:
                length = abs(near.numerator) + denominator - 1 + extra
                number = sympy.Rational(near.numerator, near.denominator) * factor
                yield length, number, abs(float(near) * size - value)


def as_number(value: float, exact: bool) -> sympy.Expr:
    """A constant of a network for a formula.

    Args:
        value: of the constant.
        exact: whether it was chosen to be a simple number, not fitted.

    >>> as_number(0.5, True), as_number(2.0, False)
    (1/2, 2.00000000000000)
    """
    if exact:
        number = simple_number(float(value), 1e-15 * max(1.0, abs(value)))
        if number is not None:
            return number
    return sympy.Float(float(value))
