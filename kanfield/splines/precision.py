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

    - ``fp32`` is exact.
    - ``tf32`` drops 13 of the 23 bits of either mantissa: Triton hands over float32 registers as they are,
      and the units ignore those bits.
    - ``tf32x3`` splits either operand into a big part, rounded to 10 bits (ties away from zero), and what is
      left, and adds three products: all but that of the two small parts, which the units cut as in ``tf32``.
      This is what Triton compiles it to (``lib/Dialect/TritonGPU/Transforms/F32DotTC.cpp``: the big part is
      ``cvt.rna.tf32.f32`` of the operand).
    - ``bf16`` rounds to 8 significant bits (ties to even).

    Args:
        a: first operand; other types than float32 are left as they are.
        b: second operand, float32 where ``a`` is.
        precision: one of :data:`PRECISIONS`.

    Returns:
        Pairs of the shapes of ``a`` and ``b``, the smallest products first.

    >>> [(p.item(), q.item()) for p, q in split_operands(torch.tensor(1 + 2**-12), torch.tensor(3.0), "tf32")]
    [(1.0, 3.0)]
    """
    if precision == "fp32" or a.dtype != torch.float32:
        return [(a, b)]
    if precision == "bf16":
        return [(a.bfloat16().float(), b.bfloat16().float())]
    if precision == "tf32":
        return [(_cut(a), _cut(b))]
    big_a, big_b = _rounded(a), _rounded(b)
    return [(_cut(a - big_a), big_b), (big_a, _cut(b - big_b)), (big_a, big_b)]


def _cut(x: Tensor) -> Tensor:
    """Float32 with the mantissa cut to 10 bits."""
    return (x.view(torch.int32) & ~0x1FFF).view(torch.float32)


def _rounded(x: Tensor) -> Tensor:
    """Float32 with the mantissa rounded to 10 bits, ties away from zero."""
    return _cut((x.view(torch.int32) + 0x1000).view(torch.float32))
