"""The usual formulation of a KAN layer, to compare with: the dense basis (N, I, K), then one product."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kanfield import KANLayer


class DenseLayer(nn.Module):
    """The function of a :class:`kanfield.KANLayer` in plain torch, by the Cox-de Boor recursion.

    They agree inside the grid only: outside, these splines are zero where the layer's continue linearly.

    Args:
        layer: its parameters are copied; it has a smooth branch and a single level.

    Shape:
        - Input: ``(N, I)``.
        - Output: ``(N, O)``.

    Raises:
        ValueError: the layer has no branch, or nested levels.

    >>> layer = KANLayer(2, 5, grid_size=10)
    >>> x = torch.rand(20, 2)
    >>> torch.allclose(DenseLayer(layer)(x), layer(x), atol=1e-5)
    True
    """

    knots: Tensor

    def __init__(self, layer: KANLayer) -> None:
        super().__init__()
        if layer.base_weight is None or len(layer.levels) > 1:
            raise ValueError("the dense formulation is of layers with a branch and a single level")
        self.order = layer.order
        self.coef = nn.Parameter(layer.coef.detach().clone())
        self.base_weight = nn.Parameter(layer.base_weight.detach().clone())
        step = (layer.upper - layer.lower) / layer.grid_size
        offsets = torch.arange(-layer.order, layer.grid_size + layer.order + 1, device=step.device)
        self.register_buffer("knots", layer.lower[:, None] + step[:, None] * offsets)

    def forward(self, x: Tensor) -> Tensor:
        """Values; see the class for shapes."""
        x, knots = x[:, :, None], self.knots
        basis = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x.dtype)
        for k in range(1, self.order + 1):
            left = (x - knots[:, : -k - 1]) / (knots[:, k:-1] - knots[:, : -k - 1])
            right = (knots[:, k + 1 :] - x) / (knots[:, k + 1 :] - knots[:, 1:-k])
            basis = left * basis[:, :, :-1] + right * basis[:, :, 1:]
        return basis.flatten(1) @ self.coef + nn.functional.silu(x[:, :, 0]) @ self.base_weight


def dense_bytes(samples: int, inputs: int, size: int, order: int) -> int:
    """Bytes, about, that a step of the dense formulation keeps for its gradient.

    Args:
        samples: N.
        inputs: I.
        size: cells G.
        order: polynomial degree k.
    """
    return 4 * samples * inputs * (size + 2 * order) * (3 * order + 8)
