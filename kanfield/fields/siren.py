"""SIREN: sine activations (Sitzmann et al., 2020, arXiv:2006.09661)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kanfield.fields.dense import DenseNetwork
from kanfield.fields.registry import Recipe, register, resize_widths


class SineNetwork(DenseNetwork):
    """Layers ``sin(omega z)`` of some kind, with the initialisation of the SIREN paper.

    Weights are uniform: within 1/I in the first layer of I inputs, within sqrt(6/I)/omega in the others,
    the last included; biases keep torch's default, as in the authors' code.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.
        omega_0: of the first layer: the larger, the finer the details that training starts from.
        hidden_omega_0: of the others.

    Raises:
        ValueError: an omega is not above zero, or a width is below 1.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int],
        omega_0: float,
        hidden_omega_0: float,
    ) -> None:
        super().__init__(in_features, out_features, widths)
        if not (omega_0 > 0 and hidden_omega_0 > 0):
            raise ValueError(f"omega_0 must be above zero, got {omega_0} and {hidden_omega_0}")
        self.omega_0, self.hidden_omega_0 = omega_0, hidden_omega_0
        first, *others = self.linear_layers()
        nn.init.uniform_(first.weight, -1 / in_features, 1 / in_features)
        for layer in (*others, self.last):
            bound = math.sqrt(6 / layer.in_features) / hidden_omega_0
            nn.init.uniform_(layer.weight, -bound, bound)

    def omega(self, layer: int) -> float:
        """The factor on the linear part of hidden layer number ``layer``."""
        return self.hidden_omega_0 if layer else self.omega_0


@register(
    "siren",
    "sine activations (Sitzmann et al., 2020)",
    # A third of what is best at 600 steps of 4096 pixels: longer fits of smaller batches need calmer rates.
    [Recipe("muon", 1e-3, 7e-4), Recipe("adam", 1e-3)],
    resize=resize_widths,
)
class Siren(SineNetwork):
    """Sinusoidal representation network: layers ``sin(omega_0 (W x + b))``; see :class:`SineNetwork`.

    >>> Siren(2, 3, widths=[32, 32])(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (128, 128, 128, 128),
        omega_0: float = 60.0,
        hidden_omega_0: float = 30.0,
    ) -> None:
        super().__init__(in_features, out_features, widths, omega_0, hidden_omega_0)

    def activate(self, z: Tensor, layer: int) -> Tensor:
        """The sine, elementwise."""
        return torch.sin(self.omega(layer) * z)
