"""What can be wrong with a problem, found before anything is computed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from kanfield.errors import InputError
from kanfield.pde.jets import Jet, jet_of
from kanfield.pde.problem import TIME, Condition, Problem, Reference
from kanfield.pde.sampling import face_points, inside_points

_POINTS = 64
_STEP = 1e-5  # of the box, by which derivatives are checked
_FELT = 1e-6  # of the largest value, that a term changes by over the box, for its derivative to be checked
_AGREE = 1e-3  # of the largest value: a reference is solved for the same conditions, or it is not


def check_problem(problem: Problem) -> None:
    """Try the functions of a problem on a few points.

    Raises:
        InputError: a residual does not depend on u, is not finite, has another shape or asks for a derivative
            that there is not; the constraint or the features cannot be differentiated; or two conditions
            contradict each other where their faces meet.
    """
    _try(problem, "the equation's residual", problem.residual, inside_points(problem, _POINTS, 0))
    _check_derivatives(problem, "constraint", problem.hold)
    _check_derivatives(problem, "features", problem.see)
    for number, condition in enumerate(problem.conditions, 1):
        points = face_points(problem, condition, _POINTS, 0)
        _try(problem, f"the residual of condition {number}", condition.residual, points)
    _check_corners(problem)


def _try(problem: Problem, what: str, function: Callable[..., Tensor], points: Tensor) -> None:
    samples = call(problem, "its constraint or features", lambda: problem.samples(points))
    for name, part in (
        ("constraint", samples.lift),
        ("constraint", samples.mask),
        ("features", samples.features),
    ):
        if not all(bool(torch.isfinite(values).all()) for values in part):
            raise InputError(f"{problem.name}: its {name} has a NaN or an infinity inside the box")
    u = _any_jet(problem, points)
    r = _tried(problem, what, function, points, u)
    if not bool(torch.isfinite(r).all()):  # a square root or a logarithm of u is tried where it has a value
        u = Jet(*(t.detach().abs().add(0.1).requires_grad_() for t in u))
        r = _tried(problem, what, function, points, u)
    finite = torch.isfinite(r)
    if not bool(finite.all()):
        where = problem.place(points[int((~finite).nonzero()[0])])
        raise InputError(f"{problem.name}: {what} is not finite at {where}: look at its coefficients there")
    if not _depends(r, u):
        raise InputError(f"{problem.name}: {what} does not depend on u: use u, u.dx, u.dxx and so on in it")


def _tried(problem: Problem, what: str, function: Callable[..., Tensor], points: Tensor, u: Jet) -> Tensor:
    r = call(problem, what, lambda: problem.apply(function, u, points))
    if not isinstance(r, Tensor) or r.shape != (len(points),):
        found = tuple(r.shape) if isinstance(r, Tensor) else type(r).__name__
        raise InputError(
            f"{problem.name}: {what} gives {found} for {len(points)} points: give one number for each"
        )
    if r.dtype != points.dtype:
        raise InputError(f"{problem.name}: {what} gives {r.dtype}: compute in {points.dtype} all through")
    return r


def _check_derivatives(problem: Problem, name: str, function: Callable[[Tensor], Tensor]) -> None:
    """Whether first derivatives are those of the values: to torch, what NumPy computes is a constant."""
    span, middle = problem.upper - problem.lower, (problem.upper + problem.lower) / 2
    points = middle + 0.98 * (inside_points(problem, _POINTS, 0) - middle)  # a step does not leave the box
    with torch.no_grad():
        slopes = jet_of(function, points).first
        for coordinate, slope, length, way in zip(problem.box, slopes, span, torch.diag(span), strict=True):
            ahead, behind = function(points + _STEP * way), function(points - _STEP * way)
            change = (ahead - behind) / (2 * _STEP)  # as if over the whole box
            felt = change.abs() > _FELT * ahead.abs().amax(0)
            wrong = felt & ((length * slope - change).abs() > 0.1 * change.abs())
            if bool((2 * wrong.sum(0) > felt.sum(0)).any()):  # at a kink, or a jump, a few may differ
                raise InputError(
                    f"{problem.name}: its {name} changes with {coordinate}, and its derivative does not say "
                    "so: it must be computed with torch, so that it can be differentiated"
                )


def call(problem: Problem, what: str, function: Callable[[], Any]) -> Any:
    """What a user's function gives; whatever it raises becomes one line.

    Raises:
        InputError: in place of any other exception.
    """
    try:
        return function()
    except InputError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{problem.name}: {what} fails: {type(error).__name__}: {reason}") from None


def _any_jet(problem: Problem, points: Tensor) -> Jet:
    generator = torch.Generator().manual_seed(0)
    leading = ((), (len(problem.box),), (len(problem.box),))
    drawn = (torch.randn(*d, len(points), 1, generator=generator, dtype=points.dtype) for d in leading)
    return Jet(*(t.requires_grad_() for t in drawn))


def _depends(r: Tensor, on: Sequence[Tensor]) -> bool:
    if not r.requires_grad:
        return False
    found = torch.autograd.grad(r.sum(), on, allow_unused=True, materialize_grads=True)
    return any(bool(g.any()) for g in found)


def prescribed(problem: Problem, condition: Condition, points: Tensor) -> Tensor | None:
    """The values of u, shape ``(N,)``, that a condition asks for; None unless it is linear in u alone.

    Args:
        problem: whose condition.
        condition: on some of its faces.
        points: on its faces, shape ``(N, D)``.
    """
    flat = Jet(*(torch.zeros_like(t).requires_grad_() for t in _any_jet(problem, points)))
    at_zero, at_one, at_three = (
        problem.apply(condition.residual, flat._replace(value=flat.value + value), points)
        for value in (0, 1, 3)
    )
    slope, threefold = (at_one - at_zero).detach(), (at_three - at_zero).detach()
    rounding = 1e-9 * float(at_zero.detach().abs().max())
    linear = bool(slope.isfinite().all()) and torch.allclose(threefold, 3 * slope, atol=rounding)
    if not linear or _depends(at_zero, [flat.first, flat.second]) or bool((slope == 0).any()):
        return None
    return -at_zero.detach() / slope


def _check_corners(problem: Problem) -> None:
    """Whether conditions that prescribe values agree where two faces meet."""
    names = list(problem.box)
    known = [(condition, face) for condition in problem.conditions for face in problem.faces(condition)]
    for (one, (i, low)), (other, (j, high)) in itertools.combinations(known, 2):
        if i == j:
            continue
        corner = inside_points(problem, 8, 0)
        corner[:, i], corner[:, j] = low, high
        a, b = prescribed(problem, one, corner), prescribed(problem, other, corner)
        if a is None or b is None:
            continue
        worst = int((a - b).abs().argmax())
        if float((a - b).abs()[worst]) > 1e-6 * (1 + float(a.abs().max())):
            raise InputError(
                f"{problem.name}: where {names[i]} = {low:g} meets {names[j]} = {high:g}, one condition asks "
                f"for u = {float(a[worst]):.4g} and another for {float(b[worst]):.4g}: make them agree"
            )


def check_reference(problem: Problem, reference: Reference) -> None:
    """Whether a reference is finite and holds what the problem prescribes.

    Raises:
        InputError: it does not.
    """
    values = torch.from_numpy(reference.values).reshape(-1)
    if len(reference.axes) != len(problem.box):
        raise InputError(
            f"{problem.name}: the reference has {len(reference.axes)} axes and the box {len(problem.box)} "
            "coordinates: give one for each"
        )
    for (name, (low, high)), axis in zip(problem.box.items(), reference.axes, strict=True):
        slack = 1e-9 * (high - low)
        if axis[0] < low - slack or axis[-1] > high + slack:
            raise InputError(
                f"{problem.name}: the reference goes from {name} = {axis[0]:g} to {axis[-1]:g}, which is "
                "outside the box"
            )
    if not bool(torch.isfinite(values).all()):
        raise InputError(f"{problem.name}: the reference has a NaN or an infinity")
    points, size = reference.points(), 1e-12 + float(values.abs().max())
    held = problem.hold(points)
    wrong = torch.where(held[:, 1].abs() < 1e-12, held[:, 0] - values, 0.0).abs()
    for condition in problem.conditions:
        for coordinate, end in problem.faces(condition):
            on = (points[:, coordinate] - end).abs() < 1e-12
            asked = prescribed(problem, condition, points[on]) if bool(on.any()) else None
            if asked is not None:
                wrong[on] = torch.maximum(wrong[on], (asked - values[on]).abs())
    if float(wrong.max()) > _AGREE * size:
        where = problem.place(points[int(wrong.argmax())])
        raise InputError(
            f"{problem.name}: the reference does not match: at {where} it is {float(wrong.max()):.3g} off "
            "what the problem prescribes"
        )


def time_axis(problem: Problem) -> int | None:
    """Number of the coordinate t, or None."""
    names = list(problem.box)
    return names.index(TIME) if TIME in names else None
