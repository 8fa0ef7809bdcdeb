"""``spline_and_silu``: splines and a layer's smooth branch in one sweep over the samples.

A layer is ``spline(x) + silu(x) @ base_weight``. Its branch is one tap more beside the k + 1 of a spline, so
the fast backends do both at once, forward and backward; everywhere else, and where a gradient is to be
differentiated again, the two are computed one after the other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from kanfield._torch_private import transforms_active
from kanfield.splines.backend import choose_backend
from kanfield.splines.basis import Grid
from kanfield.splines.precision import split_operands
from kanfield.splines.spline import check, implementation, spline, spline_forward


def spline_and_silu(
    x: Tensor, coef: Tensor, base_weight: Tensor, grid: Grid, order: int = 3, precision: str = "fp32"
) -> Tensor:
    """``spline(x, coef, grid, order) + silu(x) @ base_weight``, differentiable any number of times.

    Args:
        x: inputs, shape ``(N, I)``.
        coef: coefficients, shape ``(I * K, O)``, ``K = grid.size + order``.
        base_weight: weights of the smooth branch, shape ``(I, O)``.
        grid: ranges of shape ``(I,)`` and number of cells.
        order: polynomial degree k, 1 to 5.
        precision: of the products, one of :data:`kanfield.splines.PRECISIONS`.

    Returns:
        Shape ``(N, O)``.

    Raises:
        ValueError: shapes, order or precision do not fit; the message says which.
        InputError: the backend that is forced cannot compute it.

    >>> grid = Grid(torch.tensor([-1.0]), torch.tensor([1.0]), 5)
    >>> spline_and_silu(torch.zeros(2, 1), torch.ones(8, 3), torch.ones(1, 3), grid).shape
    torch.Size([2, 3])
    """
    check(x, coef, grid, order, precision=precision)
    if base_weight.shape != (x.shape[1], coef.shape[1]):
        raise ValueError(
            f"base_weight must have shape ({x.shape[1]}, {coef.shape[1]}), got {tuple(base_weight.shape)}"
        )
    fusable = x.dtype == coef.dtype == base_weight.dtype and x.dtype in (torch.float32, torch.float64)
    if not fusable or _needs_plain_operators(x) or choose_backend(x, precision) == "reference":
        return spline(x, coef, grid, order, precision=precision) + _branch(x, base_weight, precision)
    lower = grid.lower.to(x).detach()
    scale = (grid.size / (grid.upper.to(x) - lower)).detach()
    y: Tensor = _SplineAndSilu.apply(x, coef, base_weight, lower, scale, grid.size, order, precision)
    return y


def _needs_plain_operators(x: Tensor) -> bool:
    """Whether a transform, a compiler or autocast is active, which have to see torch's own operators."""
    kind = x.device.type
    autocast = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.compiler.is_compiling() or transforms_active() or autocast


def _branch(x: Tensor, base: Tensor, precision: str) -> Tensor:
    """``silu(x) @ base`` in a precision, its gradients too."""
    plain = precision == "fp32" or transforms_active()  # which see no rounding, as in the splines
    return silu(x) @ base if plain else _Product.apply(silu(x), base, precision)


class _Product(torch.autograd.Function):
    """A matrix product whose operands, and those of its gradients, are rounded as matrix units do."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, precision: str) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(a, b)
        ctx.precision = precision
        return torch.stack([p @ q for p, q in split_operands(a, b, precision)]).sum(0)

    @staticmethod
    def backward(ctx, g: Tensor):  # type: ignore[no-untyped-def]
        a, b = ctx.saved_tensors
        return _Product.apply(g, b.T, ctx.precision), _Product.apply(a.T, g, ctx.precision), None


class _SplineAndSilu(torch.autograd.Function):
    """The two in one sweep.

    It is no operator of ``torch.library``: at the sizes of a training step those cost as much as the kernels.
    """

    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx,
        x: Tensor,
        coef: Tensor,
        base: Tensor,
        lower: Tensor,
        scale: Tensor,
        size: int,
        order: int,
        precision: str,
    ) -> Tensor:
        ctx.save_for_backward(x, coef, base, lower, scale)
        ctx.settings = (size, order, precision)
        if not x.numel() or not coef.numel():
            return x.new_zeros(x.shape[0], coef.shape[1])
        grid = (lower, scale, size, order)
        y: Tensor = implementation(x, precision).spline_forward(x, coef, None, *grid, 0, precision, base)
        return y

    @staticmethod
    def backward(ctx, g: Tensor):  # type: ignore[no-untyped-def]
        x, coef, base, lower, scale = ctx.saved_tensors
        size, order, precision = ctx.settings
        grid = (lower, scale, size, order)
        needed = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # the gradient will be differentiated too, as the primitives can be
            y = spline_forward(x, coef, None, *grid, 0, precision) + _branch(x, base, precision)
            wanted = [t for t, need in zip((x, coef, base), needed, strict=True) if need]
            found = iter(torch.autograd.grad(y, wanted, g, create_graph=True))
            return (*(next(found) if need else None for need in needed), *(None,) * 5)
        if not x.numel() or not coef.numel():
            zeros = (
                torch.zeros_like(t) if need else None for t, need in zip((x, coef, base), needed, strict=True)
            )
            return (*zeros, *(None,) * 5)
        gx = gcoef = gbase = None
        kernels = implementation(x, precision)
        if needed[1] or needed[2]:
            gbase = torch.empty_like(base, memory_format=torch.contiguous_format)
            gcoef = kernels.grad_coef(x, None, g, *grid, 0, precision, gbase)
        if needed[0]:
            gx = kernels.grad_input(x, coef, g, *grid, 1, precision, base)
        return gx, gcoef, gbase, None, None, None, None, None
