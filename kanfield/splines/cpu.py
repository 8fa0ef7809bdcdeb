"""The spline primitives on the native CPU kernels; shapes as in :mod:`kanfield.splines.reference`.

Where ``base`` (I, O) is given, the same sweep also computes a layer's smooth branch ``silu(x) @ base``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kanfield.process import cpu_threads
from kanfield.splines.backend import native


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
    base: Tensor | None = None,
) -> Tensor:
    """Values, shape ``(N, O)``."""
    y = x.new_empty(x.shape[0], coef.shape[1])
    arrays = _arrays(x, coef, base, weight, lower, scale, y)
    native.spline_forward(*arrays, size, order, derivative, cpu_threads())
    return y


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
    base: Tensor | None = None,
) -> Tensor:
    """Gradient of the coefficients, shape ``(I * K, O)``; ``base`` is filled with that of the branch."""
    out = x.new_empty(x.shape[1] * (size + order), g.shape[1])
    native.grad_coef(*_arrays(x, weight, g, lower, scale, out, base), size, order, derivative, cpu_threads())
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
    base: Tensor | None = None,
) -> Tensor:
    """Gradient of the inputs, shape ``(N, I)``."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    native.grad_input(*_arrays(x, coef, base, g, lower, scale, out), size, order, derivative, cpu_threads())
    return out


def _arrays(*tensors: Tensor | None) -> list[NDArray[np.floating] | None]:
    """Tensors as the native kernels take them; NumPy's views are quicker to hand over than torch's DLPack."""
    return [None if t is None else t.detach().contiguous().numpy() for t in tensors]
