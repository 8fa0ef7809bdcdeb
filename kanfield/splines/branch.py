"""``spline_and_silu``: splines and a layer's smooth branch in one sweep over the samples.

A layer is ``spline(x) + silu(x) @ base_weight``. Its branch is one tap more beside the k + 1 of a spline, so
the native kernels do both at once, forward and backward; everywhere else the two are computed one after the
other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast
from torch.nn.functional import silu

from kanfield.splines.backend import choose_backend, native
from kanfield.splines.basis import Grid
from kanfield.splines.spline import arrays, check, spline, synthesis, threads, transforms_active


def spline_and_silu(x: Tensor, coef: Tensor, base_weight: Tensor, grid: Grid, order: int = 3) -> Tensor:
    """``spline(x, coef, grid, order) + silu(x) @ base_weight``, differentiable any number of times.

    Args:
        x: inputs, shape ``(N, I)``.
        coef, grid, order: see :func:`kanfield.splines.spline`.
        base_weight: shape ``(I, O)``.

    Returns:
        Shape ``(N, O)``.

    Raises:
        ValueError: shapes or order do not fit; the message says which.

    >>> grid = Grid(torch.tensor([-1.0]), torch.tensor([1.0]), 5)
    >>> spline_and_silu(torch.zeros(2, 1), torch.ones(8, 3), torch.ones(1, 3), grid).shape
    torch.Size([2, 3])
    """
    same = x.dtype == coef.dtype == base_weight.dtype
    if choose_backend(x) == "reference" or not same or transforms_active():
        return spline(x, coef, grid, order) + silu(x) @ base_weight
    check(x, coef, grid, order)
    if base_weight.shape != (x.shape[1], coef.shape[1]):
        raise ValueError(
            f"base_weight must have shape ({x.shape[1]}, {coef.shape[1]}), got {tuple(base_weight.shape)}"
        )
    lower = grid.lower.to(x).detach()
    scale = (grid.size / (grid.upper.to(x) - lower)).detach()
    y: Tensor = forward(x, coef, base_weight, lower, scale, grid.size, order)
    return y


@custom_op("kanfield::spline_and_silu", mutates_args=())
def forward(
    x: Tensor, coef: Tensor, base: Tensor, lower: Tensor, scale: Tensor, size: int, order: int
) -> Tensor:
    """Values, shape ``(N, O)``."""
    if not x.numel() or not coef.numel():
        return x.new_zeros(x.shape[0], coef.shape[1])
    y = x.new_empty(x.shape[0], coef.shape[1])
    native.synthesis(*arrays(x, coef, base, None, lower, scale, y), size, order, 0, threads())
    return y


@custom_op("kanfield::spline_and_silu_backward", mutates_args=())
def backward(
    x: Tensor,
    coef: Tensor,
    base: Tensor,
    g: Tensor,
    lower: Tensor,
    scale: Tensor,
    size: int,
    order: int,
    needs_x: bool,
    needs_weights: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``x``, ``coef`` and ``base``; those that are not needed are empty."""
    make = torch.empty_like if x.numel() and coef.numel() else torch.zeros_like
    wanted = (needs_x, needs_weights, needs_weights)
    gx, gcoef, gbase = (
        make(t, memory_format=torch.contiguous_format) if needed else t.new_empty(0)
        for t, needed in zip((x, coef, base), wanted, strict=True)
    )
    if make is torch.empty_like:
        if needs_weights:
            native.analysis(*arrays(x, None, g, lower, scale, gcoef, gbase), size, order, 0, threads())
        if needs_x:
            native.projection(*arrays(x, coef, base, g, lower, scale, gx), size, order, 1, threads())
    return gx, gcoef, gbase


@forward.register_fake
def _(x, coef, base, lower, scale, size, order):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[0], coef.shape[1])


@backward.register_fake
def _(x, coef, base, g, lower, scale, size, order, needs_x, needs_weights):  # type: ignore[no-untyped-def]
    wanted = (needs_x, needs_weights, needs_weights)
    return tuple(
        torch.empty_like(t, memory_format=torch.contiguous_format) if needed else t.new_empty(0)
        for t, needed in zip((x, coef, base), wanted, strict=True)
    )


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:5])
    ctx.settings = inputs[5:]


def _backward(ctx, g):  # type: ignore[no-untyped-def]
    x, coef, base, lower, scale = ctx.saved_tensors
    needed = ctx.needs_input_grad[:3]
    if torch.is_grad_enabled():  # this gradient will be differentiated too: the primitives can be
        y = synthesis(x, coef, None, lower, scale, *ctx.settings, 0) + silu(x) @ base
        wanted = [t for t, need in zip((x, coef, base), needed, strict=True) if need]
        found = iter(torch.autograd.grad(y, wanted, g, create_graph=True))
        return (*(next(found) if need else None for need in needed), None, None, None, None)
    weights = needed[1] or needed[2]
    results = backward(x, coef, base, g, lower, scale, *ctx.settings, needed[0], weights)
    return (*(r if need else None for r, need in zip(results, needed, strict=True)), None, None, None, None)


forward.register_autograd(_backward, setup_context=_save)
for _device in ("cpu", "cuda"):
    register_autocast(forward, _device, torch.float32)
