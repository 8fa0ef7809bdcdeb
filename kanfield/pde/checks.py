"""What can be wrong with a problem, found before anything is computed."""

from __future__ import annotations

import torch
from torch import Tensor

from kanfield.errors import InputError
from kanfield.pde.jacobian import Samples
from kanfield.pde.jets import Jet
from kanfield.pde.problem import TIME, Condition, Problem, Reference
from kanfield.pde.sampling import face_points, inside_points

_POINTS = 64
_AGREE = 1e-3  # of the largest value: a reference is solved for the same conditions, or it is not


def check_problem(problem: Problem) -> None:
    """Try the functions of a problem on a few points.

    Raises:
        InputError: a residual does not depend on u, is not finite, has another shape or asks for a derivative
            that there is not; or two conditions contradict each other where their faces meet.
    """
    _try(problem, "the equation's residual", problem.residual, inside_points(problem, _POINTS, 0))
    for number, condition in enumerate(problem.conditions, 1):
        points = face_points(problem, condition, _POINTS, 0)
        _try(problem, f"the residual of condition {number}", condition.residual, points)
    _check_corners(problem)


def _try(problem: Problem, what: str, function: object, points: Tensor) -> None:
    samples = problem.samples(points)
    generator = torch.Generator().manual_seed(0)
    shape = (len(points), 1)
    u = Jet(
        *(
            torch.randn(*d, *shape, generator=generator, dtype=points.dtype).requires_grad_()
            for d in ((), (len(problem.box),), (len(problem.box),))
        )
    )
    for name, part in (
        ("constraint", samples.lift),
        ("constraint", samples.mask),
        ("features", samples.features),
    ):
        for values in part:
            if not bool(torch.isfinite(values).all()):
                raise InputError(f"{problem.name}: its {name} has a NaN or an infinity inside the box")
    r = problem.apply(function, u, samples)  # type: ignore[arg-type]
    if not isinstance(r, Tensor) or r.shape != (len(points),):
        found = tuple(r.shape) if isinstance(r, Tensor) else type(r).__name__
        raise InputError(
            f"{problem.name}: {what} gives {found} for {len(points)} points: give one number each"
        )
    finite = torch.isfinite(r)
    if not bool(finite.all()):
        at = points[int((~finite).nonzero()[0])].tolist()
        where = ", ".join(f"{n} = {v:.3g}" for n, v in zip(problem.box, at, strict=True))
        raise InputError(f"{problem.name}: {what} is not finite at {where}: look at its coefficients there")
    depends = r.requires_grad and any(
        g is not None and bool(g.any()) for g in torch.autograd.grad(r.sum(), u, allow_unused=True)
    )
    if not depends:
        raise InputError(f"{problem.name}: {what} does not depend on u: use u, u.dx, u.dxx and so on in it")


def prescribed(problem: Problem, condition: Condition, points: Tensor) -> Tensor | None:
    """The values of u that a condition on u alone prescribes at points; None for one on derivatives."""
    rs = []
    for value in (0.0, 1.0):
        plain = problem.samples(points)
        one, none = (
            Jet(*(torch.ones_like(t) for t in plain.mask)),
            Jet(*(torch.zeros_like(t) for t in plain.mask)),
        )
        samples = Samples(points, plain.features, none, Jet(one.value, none.first, none.second))
        slopes = torch.zeros_like(none.first).requires_grad_()
        bends = torch.zeros_like(none.second).requires_grad_()
        r = problem.apply(condition.residual, Jet(value * one.value, slopes, bends), samples)
        found = (
            torch.autograd.grad(r.sum(), [slopes, bends], allow_unused=True)
            if r.requires_grad
            else (None, None)
        )
        if any(g is not None and bool(g.any()) for g in found):
            return None
        rs.append(r.detach())
    steep = rs[1] - rs[0]
    return None if bool((steep == 0).any()) else -rs[0] / steep


def _check_corners(problem: Problem) -> None:
    """Whether conditions that prescribe values agree where the start meets the boundary."""
    known = [(c, problem.faces(c)) for c in problem.conditions]
    for first, first_faces in known:
        for second, second_faces in known:
            for (i, low), (j, end) in ((a, b) for a in first_faces for b in second_faces):
                if i >= j:
                    continue
                corner = inside_points(problem, 8, 0)
                corner[:, i], corner[:, j] = low, end
                values = [prescribed(problem, c, corner) for c in (first, second)]
                if values[0] is None or values[1] is None:
                    continue
                gap = (values[0] - values[1]).abs()
                if float(gap.max()) > 1e-6 * (1 + float(values[0].abs().max())):
                    worst = int(gap.argmax())
                    names = list(problem.box)
                    raise InputError(
                        f"{problem.name}: where {names[i]} = {low:g} meets {names[j]} = {end:g}, one condition asks "
                        f"for u = {float(values[0][worst]):.4g} and another for {float(values[1][worst]):.4g}: "
                        "make them agree"
                    )


def check_reference(problem: Problem, reference: Reference) -> None:
    """Whether a reference is finite and holds what the problem prescribes.

    Raises:
        InputError: it does not.
    """
    values = torch.from_numpy(reference.values).reshape(-1)
    if reference.values.shape != tuple(map(len, reference.axes)) or len(reference.axes) != len(problem.box):
        raise InputError(f"{problem.name}: the reference's values do not have the shape of its axes")
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
        at = points[int(wrong.argmax())].tolist()
        where = ", ".join(f"{n} = {v:.3g}" for n, v in zip(problem.box, at, strict=True))
        raise InputError(
            f"{problem.name}: the reference does not match: at {where} it is {float(wrong.max()):.3g} off what the "
            "problem prescribes"
        )


def time_axis(problem: Problem) -> int | None:
    """Number of the coordinate t, or None."""
    names = list(problem.box)
    return names.index(TIME) if TIME in names else None
