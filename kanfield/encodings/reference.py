"""The three primitives of the grid encoding in plain torch: any device, any floating type.

Level ``l`` holds a tensor-product B-spline over [-1, 1]^2, of ``cells_x`` by ``cells_y`` cells, whose
coefficients are entries of ``F`` features in a table. Vertex ``(ix, iy)`` has the entry

    offset + (ix + (iy * multiplier mod 2^32) mod size) mod size

so that a level whose vertices fit its ``size`` entries is dense (the multiplier is the vertices in a row),
and any other is hashed, row by row: entries of a row lie side by side in memory. Beyond the grid the value of
its border goes on.

Arguments that all share: ``x`` (N, 2) the coordinates, ``table`` (entries, F), ``layout`` (L, 5) int64, with
a row ``cells_x, cells_y, size, offset, multiplier`` for each level, ``order`` of the B-splines (1 to 3), and
how often they are differentiated along each axis, ``(v, w)``. Nothing here reads numbers of the layout on the
host: a GPU would have to wait, and no CUDA graph could be captured.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kanfield.splines.basis import polynomials

_UINT32 = (1 << 32) - 1


def grid_forward(x: Tensor, table: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    """Features ``sum_ij B_i^(v)(x[n, 0]) B_j^(w)(x[n, 1]) table[e, f]``, shape ``(N, L * F)``."""
    features = []
    for level in layout.unbind():
        entries, weights = taps(x, level, order, v, w)
        features.append((table[entries] * weights[..., None]).sum((1, 2)))
    return torch.cat(features, 1)


def grid_table(x: Tensor, g: Tensor, layout: Tensor, entries: int, order: int, v: int, w: int) -> Tensor:
    """Gradient of the table for ``g`` (N, L * F), shape ``(entries, F)``: the transpose of the features."""
    parts = g.unflatten(1, (len(layout), -1)).unbind(1)
    out = g.new_zeros(entries, parts[0].shape[1])
    for level, part in zip(layout.unbind(), parts, strict=True):
        index, weights = taps(x, level, order, v, w)
        values = weights[..., None] * part[:, None, None]
        out.index_add_(0, index.flatten(), values.flatten(0, 2))
    return out


def grid_project(x: Tensor, table: Tensor, g: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    """Product of every sample's features with ``g`` (N, L * F), shape ``(N, 1)``."""
    return (grid_forward(x, table, layout, order, v, w) * g).sum(1, keepdim=True)


def taps(x: Tensor, level: Tensor, order: int, v: int = 0, w: int = 0) -> tuple[Tensor, Tensor]:
    """Entries and weights of the vertices that a level's samples see, shape ``(N, k + 1, k + 1)`` each.

    Args:
        x: coordinates, ``(N, 2)``.
        level: a row of the layout, ``(5,)``.
        order: k.
        v: derivative along x.
        w: derivative along y.
    """
    cells_x, cells_y, size, offset, multiplier = level.unbind()
    column, across = _axis(x[:, 0], cells_x, order, v)
    row, down = _axis(x[:, 1], cells_y, order, w)
    starts = (row * multiplier & _UINT32) % size
    entries = offset + (column[:, :, None] + starts[:, None]) % size
    return entries, across[:, :, None] * down[:, None]


def _axis(x: Tensor, cells: Tensor, order: int, derivative: int) -> tuple[Tensor, Tensor]:
    """Vertices along one axis and the values of their B-splines there, shape ``(N, k + 1)`` each."""
    end = cells.to(x.dtype)
    half = end / 2
    u = (x + 1) * half  # the other backends compute this very expression
    below, above = u < 0, u > end
    # Not by clamp, whose derivative at the very border is not one; the border is the last cell's.
    inside = torch.where(above, end, torch.where(below, 0.0, u))
    cell = inside.detach().nan_to_num(0.0).minimum(end - 1).floor()
    weights = torch.stack(polynomials(inside - cell, order, derivative), 1) * half**derivative
    if derivative:
        weights = torch.where((below | above)[:, None], 0.0, weights)
    taps = torch.arange(order + 1, device=x.device)
    return cell.long()[:, None] + taps, weights
