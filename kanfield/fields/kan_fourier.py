"""KAN with Fourier series for edges (as GistNoesis/FourierKAN; Mehrabian et al., 2024, arXiv:2409.09323)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kanfield.fields.dense import layer_shapes
from kanfield.fields.registry import Recipe, register


class FourierLayer(nn.Module):
    """``y = sum_k a_k cos(k x) + b_k sin(k x) + bias`` with coefficients of its own on every edge.

    Coefficients start so that outputs have about the variance of the inputs.

    Args:
        inputs, outputs: numbers of both. harmonics: terms k = 1, 2, ... of a series.

    >>> FourierLayer(2, 5, harmonics=8)(torch.rand(10, 2)).shape
    torch.Size([10, 5])
    """

    factors: Tensor

    def __init__(self, inputs: int, outputs: int, harmonics: int) -> None:
        super().__init__()
        if harmonics < 1:
            raise ValueError(f"a layer needs 1 harmonic or more, got {harmonics}")
        self.register_buffer("factors", torch.arange(1, harmonics + 1))
        self.coef = nn.Parameter(torch.empty(inputs * 2 * harmonics, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.coef, std=(inputs * harmonics) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(*, inputs)`` to ``(*, outputs)``."""
        angles = x[..., None] * self.factors
        return torch.cat([angles.cos(), angles.sin()], -1).flatten(-2) @ self.coef + self.bias


@register(
    "kan-fourier",
    "KAN with Fourier series for edges",
    [Recipe("muon", 3e-3, 3e-3), Recipe("adam", 3e-3)],
)
class FourierKAN(nn.Module):
    """Kolmogorov-Arnold network with a Fourier series on every edge; see :class:`FourierLayer`.

    Args:
        inputs, outputs: numbers of both. widths: units of the hidden layers.
        grids: harmonics of an edge, one number a layer; what a sample costs grows with it.

    Raises:
        ValueError: widths and grids do not fit each other.

    >>> FourierKAN(2, 3, widths=[16], grids=[32, 4])(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int] = (64, 64),
        grids: Sequence[int] = (64, 4, 4),
    ) -> None:
        super().__init__()
        shapes = layer_shapes(inputs, outputs, widths, grids)
        self.layers = nn.Sequential(*(FourierLayer(*shape) for shape in shapes))

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(*, outputs)`` at ``(*, inputs)``."""
        y: Tensor = self.layers(x)
        return y

    def muon_parameters(self) -> list[Tensor]:
        """What Muon trains: coefficients of hidden layers."""
        return [layer.coef for layer in list(self.layers)[1:-1] if isinstance(layer, FourierLayer)]
