"""The spline primitives in plain torch: any device, any float type, every torch transform.

The fast backends are tested against this module, which also emulates the precisions of GPUs. It gathers the
k+1 coefficients that an input touches and never builds the dense basis of shape (N, I, K); samples go in
chunks, so memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from kanfield.splines.basis import active_basis, locate
from kanfield.splines.precision import split_operands

# Elements of one gathered table (samples x inputs x outputs); 64 MiB in fp32.
CHUNK_ELEMENTS = 1 << 24


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
    """``y[n, o] = sum_ij weight[n, i] B_j^(v)(x[n, i]) coef[i K + j, o]``, shape ``(N, O)``.

    Args:
        x: inputs, shape ``(N, I)``.
        coef: coefficients, shape ``(I * K, O)`` with ``K = size + order``.
        weight: factor of each input's spline, shape ``(N, I)``, or None for one.
        lower: left borders of the grids, shape ``(I,)``.
        scale: cells per unit of x, shape ``(I,)``.
        size: cells G of every grid.
        order: polynomial degree k, 1 to 5.
        derivative: order v of the derivative in x.
        precision: of the products, see :mod:`kanfield.splines.precision`.
    """
    parts = []
    for rows in _chunks(x, coef.shape[1]):
        taps = _taps(x[rows], _slice(weight, rows), lower, scale, size, order, derivative)
        terms = [
            torch.einsum("ni,nio->no", p, q)
            for index, b in taps
            for p, q in split_operands(b, coef[index], precision)
        ]
        parts.append(torch.stack(terms).sum(0))
    return torch.cat(parts) if parts else x.new_zeros(0, coef.shape[1])


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
    """``out[i K + j, o] = sum_n weight[n, i] B_j^(v)(x[n, i]) g[n, o]``, shape ``(I * K, O)``.

    This is :func:`spline_forward` transposed in ``coef``: ``g`` (N, O) is the gradient of its output. The
    other arguments are as there.
    """
    out = g.new_zeros(x.shape[1] * (size + order), g.shape[1])
    for rows in _chunks(x, g.shape[1]):
        taps = _taps(x[rows], _slice(weight, rows), lower, scale, size, order, derivative)
        for index, b in taps:
            for p, q in split_operands(b, g[rows], precision):
                terms = p[:, :, None] * q[:, None, :]
                out = out.index_add(0, index.reshape(-1), terms.reshape(-1, g.shape[1]))
    return out


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
    """``out[n, i] = sum_oj B_j^(v)(x[n, i]) coef[i K + j, o] g[n, o]``, shape ``(N, I)``.

    With v one higher this is the gradient of the inputs. Arguments are as in :func:`spline_forward` and
    :func:`grad_coef`.
    """
    parts = []
    for rows in _chunks(x, coef.shape[1]):
        taps = _taps(x[rows], None, lower, scale, size, order, derivative)
        terms = [
            b * torch.einsum("no,nio->ni", p, q)
            for index, b in taps
            for p, q in split_operands(g[rows], coef[index], precision)
        ]
        parts.append(torch.stack(terms).sum(0))
    return torch.cat(parts) if parts else torch.zeros_like(x)


def _taps(
    x: Tensor,
    weight: Tensor | None,
    lower: Tensor,
    scale: Tensor,
    size: int,
    order: int,
    derivative: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """For each tap j the rows of coef that it touches and its weighted basis values, both (N, I)."""
    cells = locate(x, lower, scale, size)
    first = cells.cell + (size + order) * torch.arange(x.shape[1], device=x.device)
    for j, b in enumerate(active_basis(cells, scale, order, derivative)):
        yield first + j, b if weight is None else b * weight


def _chunks(x: Tensor, outputs: int) -> Iterator[slice]:
    step = max(1, CHUNK_ELEMENTS // max(1, x.shape[1] * outputs))
    return (slice(start, start + step) for start in range(0, x.shape[0], step))


def _slice(weight: Tensor | None, rows: slice) -> Tensor | None:
    return None if weight is None else weight[rows]
