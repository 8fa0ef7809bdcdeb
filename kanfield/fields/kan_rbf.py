"""KAN with Gaussian edges (FastKAN: Li, 2024, arXiv:2405.06721)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kanfield.fields.dense import layer_shapes
from kanfield.fields.field import Field
from kanfield.fields.registry import Recipe, register, resize_widths

_BORDER = 2.0  # normalised values lie within, mostly


class RBFLayer(nn.Module):
    """A sum of Gaussian bells on every edge, beside a linear layer of SiLU.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        centres: bells of an edge, spread evenly over [-border, border] and
            as wide as they are apart.
        normalize: whether inputs pass a layer norm first. On coordinates it would leave nothing but their
            order, so the first layer of a field goes without.

    >>> RBFLayer(2, 5, centres=8, normalize=False)(torch.rand(10, 2)).shape
    torch.Size([10, 5])
    """

    centres: Tensor

    def __init__(self, in_features: int, out_features: int, centres: int, normalize: bool = True) -> None:
        super().__init__()
        if centres < 2:
            raise ValueError(f"a layer needs 2 centres or more, got {centres}")
        border = _BORDER if normalize else 1.0
        self.spread = 2 * border / (centres - 1)
        self.register_buffer("centres", torch.linspace(-border, border, centres))
        self.norm = nn.LayerNorm(in_features) if normalize else None
        self.coef = nn.Parameter(torch.empty(in_features * centres, out_features))
        self.base = nn.Linear(in_features, out_features)
        nn.init.trunc_normal_(self.coef, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Shape ``(*, in_features)`` to ``(*, out_features)``."""
        z = x if self.norm is None else self.norm(x)
        bells = torch.exp(-((z[..., None] - self.centres) / self.spread).square())
        y: Tensor = bells.flatten(-2) @ self.coef + self.base(functional.silu(x))
        return y


@register(
    "kan-rbf",
    "KAN with Gaussian edges (FastKAN: Li, 2024)",
    [Recipe("muon", 1e-2, 3e-3), Recipe("adam", 3e-3)],
    resize=resize_widths,
)
class RBFKAN(Field):
    """Kolmogorov-Arnold network with Gaussian bells for splines; see :class:`RBFLayer`.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.
        grids: bells of an edge, one number a layer; what a sample costs grows with it.

    Raises:
        ValueError: widths and grids do not fit each other.

    >>> RBFKAN(2, 3, widths=[16], grids=[32, 8])(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (64, 64, 64),
        grids: Sequence[int] = (64, 8, 8, 8),
    ) -> None:
        super().__init__()
        shapes = layer_shapes(in_features, out_features, widths, grids)
        self.layers = nn.Sequential(
            *(RBFLayer(*shape, normalize=number > 0) for number, shape in enumerate(shapes))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(*, out_features)`` at ``(*, in_features)``."""
        y: Tensor = self.layers(x)
        return y

    def muon_parameters(self) -> list[Tensor]:
        """Coefficients of hidden layers."""
        return [layer.coef for layer in list(self.layers)[1:-1] if isinstance(layer, RBFLayer)]
