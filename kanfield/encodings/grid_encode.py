"""``grid_encode``: features on grids of several resolutions, the differentiable operator.

Three primitives compute everything, each with B-splines differentiated ``(v, w)`` times along the two axes
(:mod:`kanfield.encodings.reference` states them): ``grid_forward`` (features), ``grid_table`` (gradient of
the table: its transpose) and ``grid_project`` (product with a gradient, from which gradients of coordinates
come). The derivatives of each are again these three. All are registered with ``torch.library``; autocast runs
them in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op, register_autocast

from kanfield._torch_private import transforms_active
from kanfield.encodings import cpu, reference
from kanfield.splines.backend import choose_backend

FEATURES = (1, 2, 4, 8)
ORDERS = (1, 2, 3)


def grid_encode(x: Tensor, table: Tensor, layout: Tensor, order: int = 1) -> Tensor:
    """Interpolate features on grids of several resolutions.

    Beyond [-1, 1]^2 the border's features go on. Differentiable any number of times in ``x`` and ``table``.

    Args:
        x: coordinates, ``(N, 2)``, in [-1, 1].
        table: features of all levels, ``(entries, F)``; F is 1, 2, 4 or 8.
        layout: a row ``cells_x, cells_y, size, offset, multiplier`` for each level, ``(L, 5)``, int64; see
            :mod:`kanfield.encodings.reference`; :func:`kanfield.encodings.make_layout` makes the rows.
        order: degree of the B-splines: 1 (bilinear), 2 or 3.

    Returns:
        Features, ``(N, L * F)``, level by level.

    Raises:
        ValueError: shapes, type or order do not fit; the message says which.
        InputError: the backend that is forced cannot compute it.

    >>> layout = torch.tensor([[4, 4, 25, 0, 5]])  # one dense level of 5 x 5 vertices
    >>> grid_encode(torch.zeros(3, 2), torch.ones(25, 2), layout).shape
    torch.Size([3, 2])
    """
    if x.ndim != 2 or x.shape[1] != 2:
        raise ValueError(f"x must have shape (N, 2), got {tuple(x.shape)}")
    if table.ndim != 2 or table.shape[1] not in FEATURES:
        raise ValueError(
            f"table must have shape (entries, F) with F one of {FEATURES}, got {tuple(table.shape)}"
        )
    if layout.ndim != 2 or layout.shape[1] != 5 or not len(layout) or layout.dtype != torch.int64:
        raise ValueError(
            f"layout must be int64 of shape (L, 5), L at least 1, got {layout.dtype} {tuple(layout.shape)}"
        )
    if order not in ORDERS:
        raise ValueError(f"order {order} is not one of {ORDERS}")
    dtype = torch.promote_types(x.dtype, table.dtype)
    work = torch.promote_types(dtype, torch.float32)
    arguments = (x.to(work), table.to(work), layout, order, 0, 0)
    # Transforms see plain torch, of which autocast lowers nothing.
    plain = transforms_active() and not torch.compiler.is_compiling()
    y: Tensor = (reference.grid_forward if plain else grid_forward)(*arguments)
    return y.to(dtype)


def implementation(x: Tensor) -> Any:
    """The module whose primitives compute encodings of ``x``."""
    name = choose_backend(x)
    if name == "triton":
        from kanfield.encodings.triton import launch  # triton is slow to import and not always installed

        return launch
    return cpu if name == "native" else reference


@custom_op("kanfield::grid_forward", mutates_args=())
def grid_forward(x: Tensor, table: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    """Features, shape ``(N, L * F)``; see :func:`kanfield.encodings.reference.grid_forward`."""
    if max(v, w) > order or not x.numel():
        return x.new_zeros(x.shape[0], layout.shape[0] * table.shape[1])
    y: Tensor = implementation(x).grid_forward(x, table, layout, order, v, w)
    return y


@custom_op("kanfield::grid_table", mutates_args=())
def grid_table(x: Tensor, g: Tensor, layout: Tensor, entries: int, order: int, v: int, w: int) -> Tensor:
    """Gradient of the table, shape ``(entries, F)``; see :func:`kanfield.encodings.reference.grid_table`."""
    if max(v, w) > order or not x.numel():
        return x.new_zeros(entries, g.shape[1] // layout.shape[0])
    out: Tensor = implementation(x).grid_table(x, g, layout, entries, order, v, w)
    return out


@custom_op("kanfield::grid_project", mutates_args=())
def grid_project(x: Tensor, table: Tensor, g: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    """Products, shape ``(N, 1)``; see :func:`kanfield.encodings.reference.grid_project`."""
    if max(v, w) > order or not x.numel():
        return x.new_zeros(x.shape[0], 1)
    out: Tensor = implementation(x).grid_project(x, table, g, layout, order, v, w)
    return out


@grid_forward.register_fake
def _(x, table, layout, order, v, w):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[0], layout.shape[0] * table.shape[1])


@grid_table.register_fake
def _(x, g, layout, entries, order, v, w):  # type: ignore[no-untyped-def]
    return x.new_empty(entries, g.shape[1] // layout.shape[0])


@grid_project.register_fake
def _(x, table, g, layout, order, v, w):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[0], 1)


# Backward rules: each consists of the three primitives again, along one axis differentiated once more.


def _save(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    tensors = [value for value in inputs if isinstance(value, Tensor)]
    ctx.save_for_backward(*tensors)
    ctx.settings = inputs[len(tensors) :]


def _project_both(x: Tensor, table: Tensor, g: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    return torch.cat(
        [
            grid_project(x, table, g, layout, order, v + 1, w),
            grid_project(x, table, g, layout, order, v, w + 1),
        ],
        1,
    )


def _grid_forward_backward(ctx, g):  # type: ignore[no-untyped-def]
    x, table, layout = ctx.saved_tensors
    needs_x, needs_table = ctx.needs_input_grad[:2]
    return (
        _project_both(x, table, g, layout, *ctx.settings) if needs_x else None,
        grid_table(x, g, layout, table.shape[0], *ctx.settings) if needs_table else None,
        *(None,) * 4,
    )


def _grid_table_backward(ctx, h):  # type: ignore[no-untyped-def]
    x, g, layout = ctx.saved_tensors
    _, *settings = ctx.settings
    needs_x, needs_g = ctx.needs_input_grad[:2]
    return (
        _project_both(x, h, g, layout, *settings) if needs_x else None,
        grid_forward(x, h, layout, *settings) if needs_g else None,
        *(None,) * 5,
    )


def _grid_project_backward(ctx, u):  # type: ignore[no-untyped-def]
    x, table, g, layout = ctx.saved_tensors
    needs_x, needs_table, needs_g = ctx.needs_input_grad[:3]
    return (
        u * _project_both(x, table, g, layout, *ctx.settings) if needs_x else None,
        grid_table(x, u * g, layout, table.shape[0], *ctx.settings) if needs_table else None,
        u * grid_forward(x, table, layout, *ctx.settings) if needs_g else None,
        *(None,) * 4,
    )


for _operator, _backward in (
    (grid_forward, _grid_forward_backward),
    (grid_table, _grid_table_backward),
    (grid_project, _grid_project_backward),
):
    _operator.register_autograd(_backward, setup_context=_save)
    for _device in ("cpu", "cuda"):
        register_autocast(_operator, _device, torch.float32)
