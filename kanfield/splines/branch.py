"""``spline_and_silu``: splines and a layer's smooth branch in one sweep over the samples.

A layer is ``spline(x) + silu(x) @ base_weight``. Its branch is one tap more beside the k + 1 of a spline, so
the native kernels do both at once, forward and backward; everywhere else, and where a gradient is to be
differentiated again, the two are computed one after the other.
"""

from __future__ import annotations

import torch
from torch import Tensor
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
    alike = x.dtype == coef.dtype == base_weight.dtype
    if choose_backend(x) == "reference" or not alike or _seen_through():
        return spline(x, coef, grid, order) + silu(x) @ base_weight
    check(x, coef, grid, order)
    if base_weight.shape != (x.shape[1], coef.shape[1]):
        raise ValueError(
            f"base_weight must have shape ({x.shape[1]}, {coef.shape[1]}), got {tuple(base_weight.shape)}"
        )
    lower = grid.lower.to(x).detach()
    scale = (grid.size / (grid.upper.to(x) - lower)).detach()
    y: Tensor = _SplineAndSilu.apply(x, coef, base_weight, lower, scale, grid.size, order)
    return y


def _seen_through() -> bool:
    """Whether something is at work that has to see operators of torch: a transform, a compiler, autocast."""
    return torch.compiler.is_compiling() or transforms_active() or torch.is_autocast_enabled("cpu")


class _SplineAndSilu(torch.autograd.Function):
    """Not an operator of torch.library: at the sizes of a training step those cost as much as the kernels."""

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, x: Tensor, coef: Tensor, base: Tensor, lower: Tensor, scale: Tensor, size: int, order: int
    ) -> Tensor:
        ctx.save_for_backward(x, coef, base, lower, scale)
        ctx.settings = (size, order)
        if not x.numel() or not coef.numel():
            return x.new_zeros(x.shape[0], coef.shape[1])
        y = x.new_empty(x.shape[0], coef.shape[1])
        native.synthesis(*arrays(x, coef, base, None, lower, scale, y), size, order, 0, threads())
        return y

    @staticmethod
    def backward(ctx, g: Tensor):  # type: ignore[no-untyped-def]
        x, coef, base, lower, scale = ctx.saved_tensors
        needed = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # this gradient will be differentiated too, as the primitives can be
            y = synthesis(x, coef, None, lower, scale, *ctx.settings, 0) + silu(x) @ base
            wanted = [t for t, need in zip((x, coef, base), needed, strict=True) if need]
            found = iter(torch.autograd.grad(y, wanted, g, create_graph=True))
            return (*(next(found) if need else None for need in needed), *(None,) * 4)
        gx = gcoef = gbase = None
        filled = x.numel() and coef.numel()
        make = torch.empty_like if filled else torch.zeros_like
        if needed[1] or needed[2]:
            gcoef, gbase = (make(t, memory_format=torch.contiguous_format) for t in (coef, base))
            if filled:
                results = (gcoef, gbase)
                native.analysis(*arrays(x, None, g, lower, scale, *results), *ctx.settings, 0, threads())
        if needed[0]:
            gx = make(x, memory_format=torch.contiguous_format)
            if filled:
                native.projection(*arrays(x, coef, base, g, lower, scale, gx), *ctx.settings, 1, threads())
        return gx, gcoef, gbase, None, None, None, None
