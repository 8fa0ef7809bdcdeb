"""``spline``: the differentiable B-spline operator, whose cost per sample does not depend on the grid.

Three primitives compute everything, each at a derivative order v (:mod:`kanfield.splines.reference` states
them as sums): ``spline_forward`` (values), ``grad_coef`` (gradient of the coefficients: its transpose) and
``grad_input`` (gradient of the inputs). The derivatives of each are again these three, so derivatives of any
order run on the same kernels. All are registered with ``torch.library``; autocast runs them in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from kanfield._torch_private import transforms_active
from kanfield.splines import cpu, reference
from kanfield.splines.backend import choose_backend, full_precision
from kanfield.splines.basis import ORDERS, Grid
from kanfield.splines.precision import PRECISIONS


def spline(
    x: Tensor,
    coef: Tensor,
    grid: Grid,
    order: int = 3,
    *,
    derivative: int = 0,
    weight: Tensor | None = None,
    precision: str = "fp32",
) -> Tensor:
    """Sum of univariate B-splines: ``y[n, o] = sum_ij w[n, i] B_j(x[n, i]) coef[i K + j, o]``.

    Outside a grid the spline continues linearly. Half precision is computed in float32 and cast back.
    Differentiable any number of times in ``x``, ``coef`` and ``weight``; the grid gets no gradient.

    Args:
        x: inputs, shape ``(N, I)``.
        coef: coefficients, shape ``(I * K, O)``, ``K = grid.size + order``.
        grid: ranges of shape ``(I,)`` and number of cells.
        order: polynomial degree k, 1 to 5.
        derivative: compute the derivative of this order in x instead of the value.
        weight: factor of each input's spline, shape ``(N, I)``, or None for one.
        precision: of the products with coefficients and gradients, one of
            :data:`kanfield.splines.precision.PRECISIONS`; the CPU emulates all but ``fp32``.

    Returns:
        Shape ``(N, O)``.

    Raises:
        ValueError: shapes, order, derivative or precision do not fit; the message says which.
        InputError: the backend that is forced cannot compute it.

    >>> grid = Grid(torch.tensor([-1.0]), torch.tensor([1.0]), 5)
    >>> spline(torch.zeros(2, 1), torch.ones(8, 3), grid).shape
    torch.Size([2, 3])
    """
    check(x, coef, grid, order, derivative, weight, precision)
    dtype = torch.promote_types(x.dtype, coef.dtype)
    work = torch.promote_types(dtype, torch.float32)
    x, coef, weight = x.to(work), coef.to(work), None if weight is None else weight.to(work)
    lower = grid.lower.to(work).detach()
    scale = (grid.size / (grid.upper.to(work) - lower)).detach()
    arguments = (x, coef, weight, lower, scale, grid.size, order, derivative, precision)
    if torch.compiler.is_compiling() or not transforms_active():
        y: Tensor = spline_forward(*arguments)
    else:
        with full_precision(x.device):
            y = reference.spline_forward(*arguments[:-1])  # rounding has no derivative: in fp32
    return y.to(dtype)


def check(
    x: Tensor,
    coef: Tensor,
    grid: Grid,
    order: int,
    derivative: int = 0,
    weight: Tensor | None = None,
    precision: str = "fp32",
) -> None:
    """Check that shapes, order, derivative and precision fit each other; arguments as for :func:`spline`.

    Raises:
        ValueError: they do not; the message says which.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if order not in ORDERS:
        raise ValueError(f"spline order {order} is not one of {ORDERS}")
    if derivative < 0:
        raise ValueError(f"derivative order {derivative} is negative")
    if grid.size < 1:
        raise ValueError(f"a grid needs at least one cell, got {grid.size}")
    if x.ndim != 2:
        raise ValueError(f"x must have shape (N, I), got {tuple(x.shape)}")
    rows = x.shape[1] * (grid.size + order)
    if coef.ndim != 2 or coef.shape[0] != rows:
        raise ValueError(
            f"coef must have shape ({rows}, O) for {x.shape[1]} inputs, grid size {grid.size} and "
            f"order {order}, got {tuple(coef.shape)}"
        )
    if grid.lower.shape != (x.shape[1],) or grid.upper.shape != (x.shape[1],):
        raise ValueError(f"the grid must have one range for each of {x.shape[1]} inputs")
    if weight is not None and weight.shape != x.shape:
        raise ValueError(f"weight must have x's shape {tuple(x.shape)}, got {tuple(weight.shape)}")


def implementation(x: Tensor, precision: str) -> Any:
    """The module whose ``spline_forward``, ``grad_coef`` and ``grad_input`` compute splines of ``x``."""
    name = choose_backend(x, precision)
    if name == "triton":
        from kanfield.splines.triton import launch  # triton is slow to import and not always installed

        return launch
    return cpu if name == "native" else reference


@custom_op("kanfield::spline_forward", mutates_args=())
def spline_forward(
    x: Tensor,
    coef: Tensor,
    weight: Tensor | None,
    lower: Tensor,
    scale: Tensor,
    size: int,
    order: int,
    derivative: int,
    precision: str = "fp32",
) -> Tensor:
    """Values, shape ``(N, O)``; see :func:`kanfield.splines.reference.spline_forward`."""
    if derivative > order or not x.numel() or not coef.numel():
        return x.new_zeros(x.shape[0], coef.shape[1])
    y: Tensor = implementation(x, precision).spline_forward(
        x, coef, weight, lower, scale, size, order, derivative, precision
    )
    return y


@custom_op("kanfield::grad_coef", mutates_args=())
def grad_coef(
    x: Tensor,
    weight: Tensor | None,
    g: Tensor,
    lower: Tensor,
    scale: Tensor,
    size: int,
    order: int,
    derivative: int,
    precision: str = "fp32",
) -> Tensor:
    """Gradient of coefficients, shape ``(I * K, O)``; see :func:`kanfield.splines.reference.grad_coef`."""
    if derivative > order or not x.numel() or not g.numel():
        return x.new_zeros(x.shape[1] * (size + order), g.shape[1])
    out: Tensor = implementation(x, precision).grad_coef(
        x, weight, g, lower, scale, size, order, derivative, precision
    )
    return out


@custom_op("kanfield::grad_input", mutates_args=())
def grad_input(
    x: Tensor,
    coef: Tensor,
    g: Tensor,
    lower: Tensor,
    scale: Tensor,
    size: int,
    order: int,
    derivative: int,
    precision: str = "fp32",
) -> Tensor:
    """Gradient of inputs, shape ``(N, I)``; see :func:`kanfield.splines.reference.grad_input`."""
    if derivative > order or not x.numel() or not g.numel():
        return torch.zeros_like(x, memory_format=torch.contiguous_format)
    out: Tensor = implementation(x, precision).grad_input(
        x, coef, g, lower, scale, size, order, derivative, precision
    )
    return out


@spline_forward.register_fake
def _(x, coef, weight, lower, scale, size, order, derivative, precision="fp32"):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[0], coef.shape[1])


@grad_coef.register_fake
def _(x, weight, g, lower, scale, size, order, derivative, precision="fp32"):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[1] * (size + order), g.shape[1])


@grad_input.register_fake
def _(x, coef, g, lower, scale, size, order, derivative, precision="fp32"):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape)


# Backward rules: each consists of the three primitives again, at this derivative order or the next.


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:5])
    ctx.settings = inputs[5:]


def _times(weight: Tensor | None, value: Tensor) -> Tensor:
    return value if weight is None else weight * value


def _spline_forward_backward(ctx, g):  # type: ignore[no-untyped-def]
    x, coef, weight, lower, scale = ctx.saved_tensors
    size, order, v, precision = ctx.settings
    grid = (lower, scale, size, order)
    needs_x, needs_coef, needs_weight = ctx.needs_input_grad[:3]
    return (
        _times(weight, grad_input(x, coef, g, *grid, v + 1, precision)) if needs_x else None,
        grad_coef(x, weight, g, *grid, v, precision) if needs_coef else None,
        grad_input(x, coef, g, *grid, v, precision) if needs_weight else None,
        *(None,) * 6,
    )


def _grad_coef_backward(ctx, h):  # type: ignore[no-untyped-def]
    x, weight, g, lower, scale = ctx.saved_tensors
    size, order, v, precision = ctx.settings
    grid = (lower, scale, size, order)
    needs_x, needs_weight, needs_g = ctx.needs_input_grad[:3]
    return (
        _times(weight, grad_input(x, h, g, *grid, v + 1, precision)) if needs_x else None,
        grad_input(x, h, g, *grid, v, precision) if needs_weight else None,
        spline_forward(x, h, weight, *grid, v, precision) if needs_g else None,
        *(None,) * 6,
    )


def _grad_input_backward(ctx, u):  # type: ignore[no-untyped-def]
    x, coef, g, lower, scale = ctx.saved_tensors
    size, order, v, precision = ctx.settings
    grid = (lower, scale, size, order)
    needs_x, needs_coef, needs_g = ctx.needs_input_grad[:3]
    return (
        u * grad_input(x, coef, g, *grid, v + 1, precision) if needs_x else None,
        grad_coef(x, u, g, *grid, v, precision) if needs_coef else None,
        spline_forward(x, coef, u, *grid, v, precision) if needs_g else None,
        *(None,) * 6,
    )


for _operator, _backward in (
    (spline_forward, _spline_forward_backward),
    (grad_coef, _grad_coef_backward),
    (grad_input, _grad_input_backward),
):
    _operator.register_autograd(_backward, setup_context=_save)
    for _device in ("cpu", "cuda"):
        register_autocast(_operator, _device, torch.float32)
