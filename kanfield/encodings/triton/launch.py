"""The primitives of the grid encoding on Triton kernels; see :mod:`kanfield.encodings.reference`."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from kanfield.encodings.triton import kernels
from kanfield.splines.triton.launch import launch_kernel

_TILE = 512  # numbers in a tile of samples, taps of a row and features: 4 for each thread of 4 warps
_WARPS = 4
_ENTRIES = 1024  # numbers of the table that a program converts
_SUM_BITS = 60  # of the largest sum; see the kernels


def grid_forward(x: Tensor, table: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    """Features, shape ``(N, L * F)``."""
    samples, levels, features = len(x), len(layout), table.shape[1]
    y = x.new_empty(samples, levels * features)
    flags = _flags(order, v, w, features)
    launch_kernel(
        kernels.grid_forward,
        (triton.cdiv(samples, flags["BLOCK"]), levels),
        x.contiguous(),
        table.contiguous(),
        layout.contiguous(),
        y,
        samples,
        levels,
        **flags,
    )
    return y


def grid_table(x: Tensor, g: Tensor, layout: Tensor, entries: int, order: int, v: int, w: int) -> Tensor:
    """Gradient of the table, shape ``(entries, F)``: the same bits every time.

    Contributions are cut to whole units, of about ``N / 2^60`` of the largest one there can be, or 2^-126
    where that is more. Where a coordinate is NaN, so are the entries that it touches; where something in
    ``g`` is infinite or NaN, all are, as there is no such unit.
    """
    samples, levels = len(x), len(layout)
    features = g.shape[1] // levels
    flags = _flags(order, v, w, features)
    layout, largest = layout.contiguous(), torch.linalg.vector_norm(g, torch.inf)
    sums = torch.zeros(entries, features, dtype=torch.int64, device=x.device)
    room, padded_levels = _SUM_BITS - samples.bit_length(), triton.next_power_of_2(levels)
    launch_kernel(
        kernels.grid_table,
        (triton.cdiv(samples, flags["BLOCK"]), levels),
        x.contiguous(),
        g.contiguous(),
        layout,
        largest,
        sums,
        samples,
        levels,
        room,
        LEVELS=padded_levels,
        **flags,
    )
    out = x.new_empty(entries, features)
    launch_kernel(
        kernels.table_from_sums,
        (triton.cdiv(out.numel(), _ENTRIES),),
        sums,
        layout,
        largest,
        out,
        out.numel(),
        levels,
        room,
        V=v,
        W=w,
        LEVELS=padded_levels,
        BLOCK=_ENTRIES,
        num_warps=_WARPS,
    )
    return out


def grid_project(x: Tensor, table: Tensor, g: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    """Product of every sample's features with ``g``, shape ``(N, 1)``."""
    samples = len(x)
    out = x.new_empty(samples, 1)
    flags = _flags(order, v, w, table.shape[1])
    launch_kernel(
        kernels.grid_project,
        (triton.cdiv(samples, flags["BLOCK"]),),
        x.contiguous(),
        table.contiguous(),
        g.contiguous(),
        layout.contiguous(),
        out,
        samples,
        len(layout),
        **flags,
    )
    return out


def _flags(order: int, v: int, w: int, features: int) -> dict[str, int]:
    taps = 2 if order == 1 else 4  # of a row: tiles have sides that are powers of two
    tile = {"F": features, "P": taps, "BLOCK": _TILE // (taps * features), "num_warps": _WARPS}
    return {"ORDER": order, "V": v, "W": w, **tile}
