"""Coordinates of a formula: inputs, and sums, differences, products and quotients of two of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator

from kanfield.symbolic.candidates import unit
from kanfield.symbolic.functions import Function
from kanfield.symbolic.network import Edge, Node
from kanfield.symbolic.samples import Samples

Array = NDArray[np.float64]

_FEW = 250  # samples that sets of coordinates are compared on
_MANY = 700  # in more than three dimensions, where fewer lie too far apart
_LOW = 3
_GAIN = 0.75  # of the interpolation error, that a simpler set of coordinates leaves at most
_CENTRAL = 0.8  # of the samples, that sets are compared by: at a far corner every set has to extrapolate


@dataclass(frozen=True)
class Coordinate:
    """An input, or two of them joined.

    Attributes:
        kind: ``"x"``, ``"x-y"``, ``"x+y"``, ``"x*y"`` or ``"x/y"``.
        sources: one or two inputs, by their numbers.
    """

    kind: str
    sources: tuple[int, ...]

    def values(self, x: Array) -> Array:
        """The coordinate of samples ``(N, n)``, shape ``(N,)``."""
        first, second = x[:, self.sources[0]], x[:, self.sources[-1]]
        with np.errstate(all="ignore"):
            return {
                "x": lambda: first,
                "x-y": lambda: first - second,
                "x+y": lambda: first + second,
                "x*y": lambda: first * second,
                "x/y": lambda: first / second,
            }[self.kind]()

    def text(self, names: Sequence[str]) -> str:
        """A function of it in words, such as ``f(a-b)``."""
        joint = self.kind[1] if len(self.sources) == 2 else ""
        return f"f({joint.join(names[source] for source in self.sources)})"

    def node(self, functions: Mapping[str, Function], x: Array) -> Node:
        """The node of a network that computes it."""
        first, second = self.sources
        sign = 1.0 if x[:, second].min() > 0 else -1.0
        if self.kind == "x/y":
            other = unit(functions["1/x"], sign, scale=sign)
        else:
            other = unit(functions["x"], -1.0 if self.kind == "x-y" else 1.0)
        edges = (Edge(first, unit(functions["x"])), Edge(second, other))
        return Node(edges, product=self.kind in ("x*y", "x/y"), bias=None)


def plain(count: int) -> tuple[Coordinate, ...]:
    """The inputs themselves."""
    return tuple(Coordinate("x", (number,)) for number in range(count))


def columns(coordinates: Sequence[Coordinate], x: Array) -> Array:
    """Coordinates of samples, ``(N, m)``."""
    return np.stack([coordinate.values(x) for coordinate in coordinates], 1)


def interpolation_error(z: Array, y: Array, z_val: Array, y_val: Array, share: float = 1.0) -> float:
    """How well cubic radial functions on some coordinates predict unseen samples, relative to the spread.

    Args:
        z: coordinates to fit, ``(N, m)``.
        y: target there, ``(N,)``.
        z_val: coordinates of unseen samples, ``(M, m)``.
        y_val: target there, ``(M,)``.
        share: of the unseen samples, those with the smallest errors, that the root mean square is of.
    """
    low, span = z.min(0), np.ptp(z, axis=0)
    if (span <= 0).any() or not np.isfinite(z).all() or not np.isfinite(z_val).all():
        return np.inf
    z, z_val = (z - low) / span, (z_val - low) / span
    try:
        fitted = RBFInterpolator(z, y, kernel="cubic", smoothing=1e-7, degree=1)
        squares = np.sort((fitted(z_val) - y_val) ** 2)
        error = float(np.sqrt(np.mean(squares[: max(1, int(share * len(squares)))])))
    except (np.linalg.LinAlgError, ValueError):  # samples that coincide, or lie on a plane
        return np.inf
    return error / (float(np.std(y)) or 1.0)


def reduce_coordinates(
    samples: Samples, go_on: Callable[[], bool] = lambda: True, divide: bool = True
) -> list[tuple[Coordinate, ...]]:
    """Fewer coordinates that hold all that the target depends on, found by interpolation.

    An input is left out, or two are joined, where that makes the prediction of unseen samples better: in
    fewer dimensions the same samples lie closer together.

    Args:
        samples: of the task.
        go_on: asked between sets; False ends the search with what there is.
        divide: see :func:`joined_pairs`.

    Returns:
        Sets of coordinates, the most reduced one first, the inputs themselves last.
    """
    few = _FEW if samples.x.shape[1] <= _LOW else _MANY
    x, y = samples.x[:few], samples.y[:few]
    x_val, y_val = samples.x_val[:few], samples.y_val[:few]

    def error_of(chosen: tuple[Coordinate, ...]) -> float:
        return interpolation_error(columns(chosen, x), y, columns(chosen, x_val), y_val, _CENTRAL)

    present = plain(x.shape[1])
    found = [present]
    error = error_of(present)
    while len(present) > 1:
        simpler = list(_simpler(present, x, divide))
        errors = [error_of(each) for each in simpler if go_on()]
        if len(errors) < len(simpler):
            break
        best = int(np.argmin(errors))
        if errors[best] > _GAIN * error:
            break
        present, error = simpler[best], errors[best]
        found.insert(0, present)
    return found


def _simpler(present: tuple[Coordinate, ...], x: Array, divide: bool) -> Iterator[tuple[Coordinate, ...]]:
    for left_out in range(len(present)):
        yield present[:left_out] + present[left_out + 1 :]
    simple = [place for place, coordinate in enumerate(present) if coordinate.kind == "x"]
    for first, second in itertools.combinations(simple, 2):
        rest = tuple(c for place, c in enumerate(present) if place not in (first, second))
        pair = (present[first].sources[0], present[second].sources[0])
        for joined in joined_pairs(pair, x, divide):
            yield (joined, *rest)


def joined_pairs(pair: tuple[int, int], x: Array, divide: bool = True) -> list[Coordinate]:
    """What two inputs can be joined to; a quotient only where the divisor keeps its sign.

    Args:
        pair: numbers of the inputs.
        x: samples, ``(N, n)``.
        divide: whether there are quotients at all; they take 1/x of the table.
    """
    found = [Coordinate(kind, pair) for kind in ("x-y", "x+y", "x*y")]
    for first, second in (pair, pair[::-1]) if divide else ():
        if x[:, second].min() > 0 or x[:, second].max() < 0:
            return [*found, Coordinate("x/y", (first, second))]
    return found
