"""The primitives of the grid encoding on the native CPU kernels; see :mod:`kanfield.encodings.reference`."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from kanfield.process import cpu_threads
from kanfield.splines.backend import native


def grid_forward(x: Tensor, table: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    """Features, shape ``(N, L * F)``."""
    y = x.new_empty(x.shape[0], layout.shape[0] * table.shape[1])
    native.grid_forward(*_arrays(x, table, layout, y), order, v, w, cpu_threads())
    return y


def grid_table(x: Tensor, g: Tensor, layout: Tensor, entries: int, order: int, v: int, w: int) -> Tensor:
    """Gradient of the table, shape ``(entries, F)``."""
    # The kernel writes the entries of all levels, which are as a rule the whole table.
    allocate = x.new_empty if int(layout[:, 2].sum()) == entries else x.new_zeros
    out = allocate(entries, g.shape[1] // layout.shape[0])
    native.grid_table(*_arrays(x, g, layout, out), order, v, w, cpu_threads())
    return out


def grid_project(x: Tensor, table: Tensor, g: Tensor, layout: Tensor, order: int, v: int, w: int) -> Tensor:
    """Product of every sample's features with ``g``, shape ``(N, 1)``."""
    out = x.new_empty(x.shape[0], 1)
    native.grid_project(*_arrays(x, table, g, layout, out), order, v, w, cpu_threads())
    return out


def _arrays(*tensors: Tensor) -> list[Any]:
    return [t.detach().contiguous().numpy() for t in tensors]
