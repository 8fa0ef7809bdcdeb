"""Whitening: training a KAN's splines in coordinates in which their Gram matrix is the identity.

The Gram matrix of cubic B-splines has a condition number of about 1400 (the study ``conditioning`` measures
it), which costs L-BFGS iterations. With ``coef = W z`` and ``W^T (Gram) W = 1``, a step in z is a step in the
functions themselves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kanfield.fields.kan import KAN
from kanfield.fields.kan_layer import KANLayer
from kanfield.splines.refine import apply_two_scale, gram_matrix


@contextlib.contextmanager
def whitening(field: KAN) -> Iterator[None]:
    """Inside the block, the field's parameters are ``z`` instead of ``coef``; its function is the same.

    Only the coefficients of a layer's finest grid are replaced, not those of nested levels.

    Args:
        field: its coefficients are parametrised on entry, and plain parameters again on exit.

    >>> field = KAN(1, 1, widths=[2], grids=5).double()
    >>> x = torch.rand(4, 1, dtype=torch.float64)
    >>> before = field(x)
    >>> with whitening(field):
    ...     torch.allclose(field(x), before)
    True
    """
    layers = [layer for layer in field.layers if isinstance(layer, KANLayer)]
    for layer in layers:
        parametrize.register_parametrization(layer, "coef", _Whitening(layer))
    try:
        yield
    finally:
        for layer in layers:
            parametrize.remove_parametrizations(layer, "coef", leave_parametrized=True)


class _Whitening(nn.Module):
    """``coef = W z`` for every input of a layer."""

    def __init__(self, layer: KANLayer) -> None:
        super().__init__()
        factor = torch.linalg.cholesky(gram_matrix(layer.grid_size, layer.order))
        self._back = factor.mT.to(layer.coef)
        inverse = torch.linalg.solve_triangular(factor, torch.eye(len(factor)).to(factor), upper=False)
        self._matrix = inverse.mT.to(layer.coef)

    def forward(self, z: Tensor) -> Tensor:
        return apply_two_scale(self._matrix, z)

    def right_inverse(self, coef: Tensor) -> Tensor:
        return apply_two_scale(self._back, coef)
