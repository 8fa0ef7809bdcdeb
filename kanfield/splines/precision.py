"""Precisions of the matrix products inside a spline, as the matrix units of GPUs have them.

On a GPU the kernels multiply in these; everywhere else the reference backend emulates them, so that what a
precision costs in decibels can be measured without one. Cells, local coordinates and sums are float32 in all.
"""

from __future__ import annotations

import torch
from torch import Tensor

PRECISIONS = ("fp32", "tf32x3", "tf32", "bf16")


def split_operands(a: Tensor, b: Tensor, precision: str) -> list[tuple[Tensor, Tensor]]:
    """Pairs whose products, added up, are what matrix units make of ``a`` times ``b``.

    ``fp32`` is exact; ``tf32`` drops 13 of the 23 bits of either mantissa, as the units do; ``tf32x3``
    adds the products of what was dropped with the rest, all but the smallest; ``bf16`` rounds to 8 bits.

    >>> [(p.item(), q.item()) for p, q in split_operands(torch.tensor(1 + 2**-12), torch.tensor(3.0), "tf32")]
    [(1.0, 3.0)]
    """
    if precision == "fp32" or a.dtype != torch.float32:
        return [(a, b)]
    if precision == "bf16":
        return [(a.bfloat16().float(), b.bfloat16().float())]
    high_a, high_b = _tf32(a), _tf32(b)
    if precision == "tf32":
        return [(high_a, high_b)]
    return [(_tf32(a - high_a), high_b), (high_a, _tf32(b - high_b)), (high_a, high_b)]


def _tf32(x: Tensor) -> Tensor:
    """Float32 with the mantissa cut to 10 bits."""
    return (x.view(torch.int32) & ~0x1FFF).view(torch.float32)
