"""Which named functions an edge may be: one function, or a chain or product of two."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kanfield.least_squares import levenberg_marquardt
from kanfield.symbolic.edges import Named
from kanfield.symbolic.functions import FUNCTIONS, Function
from kanfield.symbolic.network import Edge, Node

Array = NDArray[np.float64]

_GRID_POINTS = 64  # at which windows are compared, before the best are refined on all samples
_WINDOWS = 3  # far from each other, that are refined
_BITS = 6.0  # what a unit of complexity, or a constant, has to save
# Half as many bits as a halved squared error saves: of 60 samples, since a spline's misfits go together.
_EVIDENCE = 30.0


@dataclass(frozen=True)
class Candidate:
    """What an edge may become.

    Attributes:
        name: such as ``"sin"`` or ``"exp(x^2)"``.
        function: on the edge itself.
        inner: nodes between the edge's source and it, see ``Network.with_chain``; none for one function.
        error: root of the weighted mean squared misfit, relative to the spread of the edge's values.
        bits: misfit and complexity together; the smaller, the better.
    """

    name: str
    function: Named
    inner: tuple[Node, ...]
    error: float
    bits: float


def single(
    x: Array, y: Array, functions: Iterable[Function], weight: Array, offset: bool = True, floor: float = 1e-5
) -> list[Candidate]:
    """Every function of the table that can be ``c * f(a * x + b) + d`` on some samples, the best first.

    ``c`` and ``d`` have closed forms, or stay 1 and 0 where they are not free; ``a`` and ``b`` are tried on a
    grid that keeps to the function's domain, and the best of them refined by Levenberg-Marquardt.

    Args:
        x: where the edge is seen, ``(N,)``.
        y: its values there, ``(N,)``.
        functions: the table.
        weight: how much every sample matters, ``(N,)``, 0 or more.
        offset: whether ``d`` may be used.
        floor: misfit below which two candidates fit equally well.

    Returns:
        Candidates without those that fit no better than a constant.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> x = np.linspace(0.5, 3, 80)
    >>> single(x, 3 * np.log(x + 1) - 2, FUNCTIONS.values(), np.ones(80))[0].name
    'log'
    """
    weight = weight / max(weight.max(), 1e-300)
    centre = np.average(y, weights=weight) if offset else 0.0
    spread = math.sqrt(np.average((y - centre) ** 2, weights=weight)) or 1.0
    rough = [
        (error, function, constants)
        for function in functions
        for error, constants in _windows_that_fit(function, x, y, weight, offset)
    ]
    rough.sort(key=lambda entry: entry[0])
    best = rough[0][0] if rough else 0.0
    found: dict[str, Candidate] = {}
    for error, function, constants in rough[:16]:
        if error > max(30 * best, 0.05 * spread) or error > 0.7 * spread:
            break
        free = function.free if offset else function.free.replace("d", "")
        named = _refined(Named(function, constants, free), x, y, weight)
        error = math.sqrt(np.average((named(x) - y) ** 2, weights=weight)) / spread
        if not np.isfinite(error):
            continue
        cost = _BITS * (function.complexity + len(free))
        bits = _EVIDENCE * math.log2(error**2 + floor**2) + cost
        if function.name not in found or bits < found[function.name].bits:
            found[function.name] = Candidate(function.name, named, (), error, bits)
    return sorted(found.values(), key=lambda c: c.bits)


def _refined(named: Named, x: Array, y: Array, weight: Array) -> Named:
    w = np.sqrt(weight)
    found = levenberg_marquardt(
        lambda p: w * (named.with_parameters(p)(x) - y),
        lambda p: w[:, None] * named.with_parameters(p).jacobian(x),
        named.parameters,
        iterations=20,
        tolerance=1e-6,
    )
    return named.with_parameters(found.parameters)


def _windows_that_fit(
    function: Function, x: Array, y: Array, weight: Array, offset: bool
) -> list[tuple[float, Array]]:
    """Misfit and constants of a function's best window, and for waves of other ones far from it."""
    order = np.argsort(x, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(x) - 1, _GRID_POINTS).astype(int))]
    x, y, w = x[chosen], y[chosen], weight[chosen] + 1e-12
    w = w / w.sum()
    a, b = windows(function, float(x[0]), float(x[-1]))
    if not len(a):
        return []
    values = function(a[:, None] * x + b[:, None])
    with np.errstate(all="ignore"):
        shifted = offset and "d" in function.free
        mean_f, mean_y = (values @ w, w @ y) if shifted else (np.zeros(len(a)), 0.0)
        f, g = values - mean_f[:, None], y - mean_y
        norm = (f**2) @ w
        c = (f * g) @ w / norm if "c" in function.free else np.ones(len(a))
        errors = np.sqrt(np.maximum(((g - c[:, None] * f) ** 2) @ w, 0))
        errors[~np.isfinite(errors) | (norm < 1e-20 * (1 + mean_f**2))] = np.inf
    chosen_windows: list[int] = []
    centres, halves = a * (x[0] + x[-1]) / 2 + b, np.abs(a) * (x[-1] - x[0]) / 2
    for place in np.argsort(errors):
        if not np.isfinite(errors[place]) or len(chosen_windows) == (_WINDOWS if _is_wavy(function) else 1):
            break
        if all(abs(centres[place] - centres[other]) > halves[other] / 2 for other in chosen_windows):
            chosen_windows.append(int(place))
    return [
        (float(errors[place]), np.array([a[place], b[place], c[place], mean_y - c[place] * mean_f[place]]))
        for place in chosen_windows
    ]


def _is_wavy(function: Function) -> bool:
    """Whether windows far apart may fit: for waves, and for functions of the user that may be waves."""
    return "b" in function.free and (function.name == "sin" or function.name not in FUNCTIONS)


def windows(function: Function, low: float, high: float) -> tuple[Array, Array]:
    """Values of ``a`` and ``b`` to try: where in the function's domain the range of x may lie.

    Args:
        function: of the table.
        low: least x.
        high: greatest x, above ``low``.

    Returns:
        Pairs, as two arrays of one shape.
    """
    half, middle = max((high - low) / 2, 1e-9), (high + low) / 2
    left, right = function.domain
    widths = np.geomspace(0.1, 40, 48) if "a" in function.free else np.array([half])
    if function.name == "sin":
        widths = np.geomspace(0.2, 60, 96)
    elif "b" not in function.free and "a" in function.free:  # room for a finer grid of the only constant
        widths = np.geomspace(0.02, 40, 500)
    a, b = [], []
    mirrored = function.symmetric and "c" in function.free  # a negative a is then a negative c, or the same
    for width in widths:
        for sign in (1,) if mirrored or function.free == "cd" else (1, -1):
            slope = sign * width / half
            if "b" in function.free:
                centres = _centres(function, width)
                a += [slope] * len(centres)
                b += list(centres - slope * middle)
            a.append(slope)
            b.append(0.0)
    a_array, b_array = np.array(a), np.array(b)
    ends = np.stack([a_array * low + b_array, a_array * high + b_array])
    inside = (ends > left).all(0) & (ends < right).all(0)
    return a_array[inside], b_array[inside]


def _centres(function: Function, width: float) -> Array:
    left, right = function.domain
    if function.name == "sin":
        return np.arange(8) * math.pi / 4
    if math.isfinite(left) and math.isfinite(right):
        room = (right - left) / 2 - width
        return (left + right) / 2 + room * np.linspace(-0.98, 0.98, 9) if room > 0 else np.empty(0)
    if math.isfinite(left):
        return left + width * (1 + np.geomspace(3e-3, 300, 24))
    if math.isfinite(right):
        return right - width * (1 + np.geomspace(3e-3, 300, 24))
    scale = 1.0 if "a" in function.free else width
    return scale * np.linspace(-4, 4, 25)


def inverted(function: Function, y: Array) -> Array | None:
    """The ``t`` with ``function(t) = y``, for outer functions of formulae; None where there is none.

    Args:
        function: of the table.
        y: values, ``(N,)``.
    """
    least, greatest = y.min(), y.max()
    inverse = _INVERSES.get(function.name)
    if inverse is None or not (inverse[0] < least and greatest < inverse[1]):
        return None
    with np.errstate(all="ignore"):
        t = inverse[2](y)
    good = np.isfinite(t).all() and np.ptp(t) > 0 and np.abs(t).max() < 1e8
    return t if good else None


_TINY = 1e-9
_INVERSES: dict[str, tuple[float, float, Callable[[Array], Array]]] = {
    "exp": (_TINY, math.inf, np.log),
    "1/x": (_TINY, math.inf, lambda y: 1 / y),
    "sqrt": (-_TINY, math.inf, np.square),
    "x^2": (-_TINY, math.inf, lambda y: np.sqrt(np.maximum(y, 0))),
    "1/sqrt": (_TINY, math.inf, lambda y: y**-2),
    "1/x^2": (_TINY, math.inf, lambda y: y**-0.5),
    "arcsin": (-math.pi / 2, math.pi / 2, np.sin),
    "tanh": (-1.0, 1.0, np.arctanh),
    "sin": (-1.0, 1.0, np.arcsin),
    "log": (-math.inf, 30.0, np.exp),
    "arctan": (-math.pi / 2, math.pi / 2, np.tan),
}
OUTER = tuple(_INVERSES)


def unit(function: Function, sign: float = 1.0, free: str = "", scale: float = 1.0) -> Named:
    """The function itself, or its negative, without constants to fit."""
    return Named(function, np.array([scale, 0.0, sign, 0.0]), free)


def pairs(
    x: Array, y: Array, functions: Mapping[str, Function], weight: Array, floor: float = 1e-5
) -> list[Candidate]:
    """Chains ``F(c * f(a * x + b) + d)`` and products ``x^p * (c * f(a * x + b) + d)``, the best first.

    Args:
        x: where the edge is seen, ``(N,)``.
        y: its values there, ``(N,)``.
        functions: the table.
        weight: how much every sample matters, ``(N,)``.
        floor: see :func:`single`.

    >>> from kanfield.symbolic.functions import FUNCTIONS
    >>> x = np.linspace(0.1, 0.9, 80)
    >>> pairs(x, 1 / np.sqrt(1 - x**2), FUNCTIONS, np.ones(80))[0].name
    '1/sqrt(x^2)'
    """
    found = []
    sign = -1.0 if y.max() <= 0 else 1.0
    for name in OUTER:
        outer = functions.get(name)
        t = inverted(outer, sign * y) if outer is not None else None
        if outer is None or t is None:
            continue
        sensitivity = np.nan_to_num(np.abs(outer.slope(t)), posinf=0.0)
        inner = [f for f in functions.values() if f.name != "x"]
        for candidate in single(x, t, inner, weight * sensitivity**2, floor=floor)[:2]:
            node = Node((Edge(-1, candidate.function),))
            found.append(
                _scored(
                    f"{name}({candidate.name})", unit(outer, sign), (node,), x, y, weight, candidate, floor
                )
            )
    for name, power in _POWERS.items():
        factor = functions.get(name)
        if factor is None or (name != "x" and name != "x^2" and x.min() <= 0) or np.abs(x).min() < 1e-6:
            continue
        inner = [f for f in functions.values() if f.name not in _POWERS]
        for candidate in single(x, y / x**power, inner, weight * x ** (2 * power), floor=floor)[:2]:
            node = Node((Edge(-1, unit(factor)), Edge(-1, candidate.function)), product=True)
            whole = unit(functions["x"])
            found.append(
                _scored(f"{name} * {candidate.name}", whole, (node,), x, y, weight, candidate, floor)
            )
    return sorted((c for c in found if np.isfinite(c.bits)), key=lambda c: c.bits)


_POWERS = {"x": 1, "1/x": -1, "x^2": 2, "1/x^2": -2, "sqrt": 0.5, "1/sqrt": -0.5}


def _scored(
    name: str,
    function: Named,
    inner: tuple[Node, ...],
    x: Array,
    y: Array,
    weight: Array,
    part: Candidate,
    floor: float,
) -> Candidate:
    (node,) = inner
    parts = [edge.function(x) for edge in node.edges]
    values = function(np.prod(parts, axis=0))
    centre = np.average(y, weights=weight)
    spread = math.sqrt(np.average((y - centre) ** 2, weights=weight)) or 1.0
    error = math.sqrt(np.average((values - y) ** 2, weights=weight)) / spread
    named = [function, *(edge.function for edge in node.edges if isinstance(edge.function, Named))]
    complexity = sum(each.function.complexity for each in named)
    cost = _BITS * (complexity + len(part.function.free))
    bits = _EVIDENCE * math.log2(error**2 + floor**2) + cost if np.isfinite(error) else math.inf
    return Candidate(name, function, inner, error if np.isfinite(error) else math.inf, bits)
