"""KAN with Fourier series for edges (as GistNoesis/FourierKAN; Mehrabian et al., 2024, arXiv:2409.09323)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kanfield.fields.dense import layer_shapes
from kanfield.fields.field import Field
from kanfield.fields.registry import Recipe, register, resize_widths


class FourierLayer(nn.Module):
    """``y = sum_k a_k cos(k x) + b_k sin(k x) + bias`` with coefficients of its own on every edge.

    Coefficients start so that outputs have about unit variance, whatever the inputs.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        harmonics: terms k = 1, 2, ... of a series.

    >>> FourierLayer(2, 5, harmonics=8)(torch.rand(10, 2)).shape
    torch.Size([10, 5])
    """

    factors: Tensor

    def __init__(self, in_features: int, out_features: int, harmonics: int) -> None:
        super().__init__()
        if harmonics < 1:
            raise ValueError(f"a layer needs 1 harmonic or more, got {harmonics}")
        self.register_buffer("factors", torch.arange(1, harmonics + 1))
        self.coef = nn.Parameter(torch.empty(in_features * 2 * harmonics, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.normal_(self.coef, std=(in_features * harmonics) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(*, in_features)`` to ``(*, out_features)``."""
        angles = x[..., None] * self.factors
        return torch.cat([angles.cos(), angles.sin()], -1).flatten(-2) @ self.coef + self.bias


@register(
    "kan-fourier",
    "KAN with Fourier series for edges",
    [Recipe("muon", 3e-3, 3e-3), Recipe("adam", 3e-3)],
    resize=resize_widths,
)
class FourierKAN(Field):
    """Kolmogorov-Arnold network with a Fourier series on every edge; see :class:`FourierLayer`.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.
        grids: harmonics of an edge, one number a layer; what a sample costs grows with it.

    Raises:
        ValueError: widths and grids do not fit each other.

    >>> FourierKAN(2, 3, widths=[16], grids=[32, 4])(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (64, 64),
        grids: Sequence[int] = (64, 4, 4),
    ) -> None:
        super().__init__()
        shapes = layer_shapes(in_features, out_features, widths, grids)
        self.layers = nn.Sequential(*(FourierLayer(*shape) for shape in shapes))

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(*, out_features)`` at ``(*, in_features)``."""
        y: Tensor = self.layers(x)
        return y

    def muon_parameters(self) -> list[Tensor]:
        """Coefficients of hidden layers."""
        return [layer.coef for layer in list(self.layers)[1:-1] if isinstance(layer, FourierLayer)]
