"""MLP: a plain multilayer perceptron on coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from kanfield.fields.dense import DenseNetwork
from kanfield.fields.registry import Recipe, register, resize_widths

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "tanh": torch.tanh,
    "silu": functional.silu,
    "gelu": functional.gelu,
}


@register(
    "mlp",
    "multilayer perceptron (relu, tanh, silu or gelu)",
    [Recipe("muon", 1e-1, 1e-2), Recipe("adam", 1e-2)],
    resize=resize_widths,
)
class MLP(DenseNetwork):
    """Multilayer perceptron.

    Weights start as He et al. (arXiv:1502.01852) do for ReLU and its smooth kin, and as Glorot and Bengio
    (2010) do for tanh; biases at zero.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.
        activation: ``"relu"``, ``"tanh"``, ``"silu"`` or ``"gelu"``.

    Raises:
        ValueError: there is no such activation, or a width is below 1.

    >>> MLP(2, 3, widths=[32, 32])(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (256, 256, 256),
        activation: str = "relu",
    ) -> None:
        super().__init__(in_features, out_features, widths)
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation {activation} is none of {', '.join(_ACTIVATIONS)}")
        self.activation = activation
        for layer in self.linear_layers():
            if activation == "tanh":
                nn.init.xavier_normal_(layer.weight, gain=nn.init.calculate_gain("tanh"))
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.last.bias)

    def activate(self, z: Tensor, layer: int) -> Tensor:
        """The activation, elementwise."""
        return _ACTIVATIONS[self.activation](z)
