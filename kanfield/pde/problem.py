"""A problem as plain data: an equation on a box, conditions on its faces, and a reference solution.

The unknown ``u`` reaches the user's functions as a tensor of values, one a point, whose derivatives are its
attributes: ``u.dx``, ``u.dxx``, ``u.dt`` and so on, by the names of the box's coordinates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kanfield.errors import InputError
from kanfield.pde.jacobian import Samples
from kanfield.pde.jets import Jet, jet_of

TIME = "t"  # the coordinate that has a beginning and no condition at its end


@dataclass(frozen=True)
class Condition:
    """What holds on faces of the box, as a weighted term of the loss.

    Attributes:
        residual: ``residual(u, *coordinates)``, shape ``(N,)``: zero where the condition holds.
        on: ``"boundary"`` (every face of a coordinate that is not t), ``"start"`` (the lower end of t), or
            one face, such as ``{"x": 1.0}``.
        weight: of the mean square beside that of the equation, above zero.

    Raises:
        InputError: the residual is no function, or the weight is not above zero.
    """

    residual: Callable[..., Tensor]
    on: Literal["boundary", "start"] | Mapping[str, float] = "boundary"
    weight: float = 100.0

    def __post_init__(self) -> None:
        if not callable(self.residual):
            raise InputError(f"a condition's residual is {self.residual!r}: give a function of u and points")
        if not isinstance(self.weight, (int, float)) or not 0 < self.weight < math.inf:
            raise InputError(f"a condition's weight is {self.weight!r}: give a number above zero")


@dataclass(frozen=True)
class Reference:
    """A solution to compare with, on a grid.

    Attributes:
        axes: coordinates along every dimension, at least three each and increasing.
        values: shape of the lengths of ``axes``.

    Raises:
        InputError: they are no numbers, or their shapes do not fit.
    """

    axes: Sequence[NDArray[np.float64]]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        try:
            axes = [np.asarray(axis, dtype=np.float64) for axis in self.axes]
            values = np.asarray(self.values, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InputError(f"a reference's axes or values are no numbers: {error}") from None
        if values.shape != tuple(axis.size for axis in axes) or any(axis.ndim != 1 for axis in axes):
            raise InputError("a reference's values do not have the shape of its axes")
        if any(len(axis) < 3 or not (np.diff(axis) > 0).all() for axis in axes):
            raise InputError("a reference's axes need three numbers or more each, in increasing order")
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "values", values)

    def points(self) -> Tensor:
        """All points of the grid, ``(N, D)``, in the order of ``values.ravel()``."""
        return torch.from_numpy(np.stack(np.meshgrid(*self.axes, indexing="ij"), -1)).reshape(
            -1, len(self.axes)
        )

    def thinned(self, most: int) -> Reference:
        """The same on at most so many points along each axis, evenly chosen."""
        steps = [-(-len(axis) // most) for axis in self.axes]
        some = tuple(slice(None, None, step) for step in steps)
        axes = [axis[one] for axis, one in zip(self.axes, some, strict=True)]
        return Reference(axes, self.values[some])

    def errors(self, values: NDArray[np.float64]) -> tuple[float, float]:
        """Relative errors of values on the grid: in L2, and in the H1 seminorm by differences on the grid.

        Where the reference is zero, or constant for the second, the error is the absolute root mean square.

        >>> x = np.linspace(0, 1, 5)
        >>> Reference([x], x).errors(1.5 * x)
        (0.5, 0.5)
        """
        wrong = values - self.values
        slopes = [np.asarray(np.gradient(v, *self.axes, edge_order=2)) for v in (wrong, self.values)]
        return _ratio(wrong, self.values), _ratio(*slopes)


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(a)) / (float(np.linalg.norm(b)) or math.sqrt(b.size))


@dataclass(frozen=True)
class Problem:
    """An equation on a box.

    Attributes:
        box: lower and upper end of every coordinate, by names of one letter; t is time.
        residual: ``residual(u, *coordinates)``, shape ``(N,)``: zero where the equation holds.
        conditions: weighted terms on faces.
        constraint: ``constraint(*coordinates)`` gives a lift and a mask, shape ``(N,)`` each: the solution is
            ``lift + mask * field``, so that the lift is prescribed exactly where the mask is zero.
        features: ``features(*coordinates)`` gives what the field sees in place of the coordinates, tensors
            ``(N,)`` in [-1, 1], such as ``cos(pi x)`` for an even solution of period 2.
        exact: ``exact(*coordinates)``, the solution, shape ``(N,)``.
        reference: computes a :class:`Reference` where no exact solution is known.
        windows: spans of time by which the solved part grows, one or more.
        name: on the command line and in reports.
        summary: one line.

    Raises:
        InputError: the box is empty, a name is not one letter, or an argument is not of its kind.
    """

    box: Mapping[str, tuple[float, float]]
    residual: Callable[..., Tensor]
    conditions: Sequence[Condition] = ()
    constraint: Callable[..., tuple[Tensor, Tensor]] | None = None
    features: Callable[..., Sequence[Tensor]] | None = None
    exact: Callable[..., Tensor] | None = None
    reference: Callable[[], Reference] | None = None
    windows: int = 1
    name: str = "problem"
    summary: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.box, Mapping) or not self.box:
            raise InputError("box has no coordinate: give one such as {'x': (0, 1), 't': (0, 1)}")
        for name, ends in self.box.items():
            if not re.fullmatch("[a-z]", str(name)):
                raise InputError(f"box: the coordinate '{name}' needs a name of one letter, such as x or t")
            try:
                low, high = (float(end) for end in ends)
            except (TypeError, ValueError):
                raise InputError(f"box: {name} is {ends!r}: give its two ends, such as (0, 1)") from None
            if not -math.inf < low < high < math.inf:
                raise InputError(f"box: {name} goes from {low:g} to {high:g}: give the lower end first")
        for what in ("residual", "constraint", "features", "exact", "reference"):
            function = getattr(self, what)
            if not (callable(function) or (function is None and what != "residual")):
                raise InputError(f"{what} is {function!r}: give a function")
        if not isinstance(self.conditions, Sequence) or not all(
            isinstance(condition, Condition) for condition in self.conditions
        ):
            raise InputError("conditions are no list of Condition(...)")
        if not isinstance(self.windows, int) or self.windows < 1:
            raise InputError(f"windows is {self.windows!r}: give a whole number above zero")

    @property
    def lower(self) -> Tensor:
        """Lower ends of the box, shape ``(D,)``."""
        return torch.tensor([low for low, _ in self.box.values()], dtype=torch.float64)

    @property
    def upper(self) -> Tensor:
        """Upper ends of the box, shape ``(D,)``."""
        return torch.tensor([high for _, high in self.box.values()], dtype=torch.float64)

    @property
    def num_features(self) -> int:
        """How many numbers the field sees of a point."""
        return self.see(self.lower[None]).shape[1]

    def see(self, points: Tensor) -> Tensor:
        """What the field sees of points ``(N, D)``: features, or coordinates scaled to [-1, 1]."""
        if self.features is None:
            return 2 * (points - self.lower) / (self.upper - self.lower) - 1
        return torch.stack([torch.as_tensor(f).expand(len(points)) for f in self.features(*points.T)], 1)

    def hold(self, points: Tensor) -> Tensor:
        """Lift and mask at points ``(N, D)``, shape ``(N, 2)``."""
        if self.constraint is None:
            return torch.stack([torch.zeros(len(points)), torch.ones(len(points))], 1).to(points)
        return torch.stack([part + 0 * points[:, 0] for part in self.constraint(*points.T)], 1)

    def samples(self, points: Tensor) -> Samples:
        """What residuals at points ``(N, D)`` need; computed once, for they do not depend on the field."""
        seen, held = (Jet(*(t.detach() for t in jet_of(f, points))) for f in (self.see, self.hold))
        lift, mask = (Jet(*(t[..., i : i + 1] for t in held)) for i in range(2))
        return Samples(points, seen, lift, mask)

    def faces(self, condition: Condition) -> list[tuple[int, float]]:
        """Number of the coordinate and its value, of every face that a condition is on.

        Raises:
            InputError: it is on no face of the box.
        """
        names = list(self.box)
        if condition.on == "boundary":
            return [(i, end) for i, name in enumerate(names) if name != TIME for end in self.box[name]]
        if condition.on == "start" and TIME in names:
            return [(names.index(TIME), self.box[TIME][0])]
        if isinstance(condition.on, Mapping) and len(condition.on) == 1:
            ((name, value),) = condition.on.items()
            if name in names and value in self.box[name]:
                return [(names.index(name), float(value))]
        raise InputError(
            f"a condition is on {condition.on!r}: give 'boundary', 'start' where there is a t, "
            "or a face of the box such as {'x': 1}"
        )

    def place(self, point: Tensor) -> str:
        """A point ``(D,)`` in words, such as ``x = 0.5, t = 1``."""
        return ", ".join(f"{n} = {v:.3g}" for n, v in zip(self.box, point.tolist(), strict=True))

    def apply(self, function: Callable[..., Tensor], u: Jet, points: Tensor) -> Tensor:
        """A residual ``(N,)`` of the solution whose jet at points ``(N, D)`` is ``u``.

        Raises:
            InputError: the residual asks for a derivative that there is not, or for one of another term.
        """
        try:
            return function(name_derivatives(u, list(self.box)), *points.T)
        except AttributeError as error:
            wanted = re.search(r"'Tensor' object has no attribute '(d[a-z]+)'", str(error))
            if wanted is None:
                raise
            if wanted[1] in [f"d{n}{m}" for n in self.box for m in ("", n)]:
                raise InputError(
                    f"a residual asks for .{wanted[1]} of a term, but only u itself has derivatives: write "
                    "2 * u * u.dx for (u**2).dx"
                ) from None
            known = ", ".join(f"u.d{n}, u.d{n}{n}" for n in self.box)
            raise InputError(f"a residual asks for u.{wanted[1]}, which is not there: use {known}") from None


def solution(u: Jet, samples: Samples) -> Jet:
    """The jet of ``lift + mask * u``."""
    _, _, a, b = samples
    return Jet(
        a.value + b.value * u.value,
        a.first + b.first * u.value + b.value * u.first,
        a.second + b.second * u.value + 2 * b.first * u.first + b.value * u.second,
    )


def name_derivatives(u: Jet, names: Sequence[str]) -> Any:
    """Values ``(N,)`` with their derivatives as attributes: ``dx`` and ``dxx`` for a coordinate x.

    >>> u = name_derivatives(Jet(torch.ones(4, 1), torch.zeros(1, 4, 1), torch.zeros(1, 4, 1)), ["x"])
    >>> (u.dxx + 5 * u**3).tolist()
    [5.0, 5.0, 5.0, 5.0]
    """
    value: Any = u.value[:, 0]
    for name, first, second in zip(names, u.first, u.second, strict=True):
        setattr(value, f"d{name}", first[:, 0])
        setattr(value, f"d{name}{name}", second[:, 0])
    return value
