"""FINER: sines whose frequency grows with their argument (Liu et al., 2024, arXiv:2312.02434)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kanfield.fields.registry import Recipe, register, resize_widths
from kanfield.fields.siren import SineNetwork


@register(
    "finer",
    "sines of variable period (Liu et al., 2024)",
    # A third of what is best at 600 steps, as for SIREN.
    [Recipe("muon", 1e-3, 3e-4), Recipe("adam", 5e-4)],
    resize=resize_widths,
)
class Finer(SineNetwork):
    """Layers ``sin(omega_0 (|z| + 1) z)`` with ``z = W x + b``; initialised as :class:`SineNetwork` says.

    As in the authors' code no gradient flows through the factor ``|z| + 1`` in training; in evaluation mode
    it does, so that derivatives in the coordinates are those of the field.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.
        omega_0: of the first layer.
        hidden_omega_0: of the others.
        first_bias: biases of the first layer start uniformly within this, which is what spreads the
            frequencies; 0 keeps torch's default.

    >>> Finer(2, 3, widths=[32, 32])(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (128, 128, 128, 128),
        omega_0: float = 30.0,
        hidden_omega_0: float = 30.0,
        first_bias: float = 0.0,
    ) -> None:
        super().__init__(in_features, out_features, widths, omega_0, hidden_omega_0)
        if first_bias < 0:
            raise ValueError(f"first_bias must be zero or more, got {first_bias}")
        if first_bias:
            nn.init.uniform_(self.linear_layers()[0].bias, -first_bias, first_bias)

    def activate(self, z: Tensor, layer: int) -> Tensor:
        """The sine of variable period, elementwise."""
        factor = z.abs() + 1
        if self.training:
            factor = factor.detach()
        return torch.sin(self.omega(layer) * factor * z)
