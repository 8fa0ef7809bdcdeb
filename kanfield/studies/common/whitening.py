"""Training a KAN's splines in coordinates in which their Gram matrix is the identity.

B-splines of order 3 are conditioned like 1400 (see the study ``conditioning``), which L-BFGS pays for with
iterations. With ``coef = W z`` and ``W^T (Gram) W = 1`` a step in z is one in the functions themselves.
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
def whitened(field: KAN) -> Iterator[None]:
    """Inside the block the field's parameters are the whitened coefficients; its function is the same.

    >>> field = KAN(1, 1, widths=[2], grids=5).double()
    >>> x = torch.rand(4, 1, dtype=torch.float64)
    >>> before = field(x)
    >>> with whitened(field):
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
