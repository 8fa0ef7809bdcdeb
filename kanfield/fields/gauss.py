"""Gauss: bell-shaped activations (Ramasinghe and Lucey, 2022, arXiv:2111.15135)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanfield.fields.dense import DenseNetwork
from kanfield.fields.registry import Recipe, register, resize_widths


@register(
    "gauss",
    "Gaussian activations (Ramasinghe and Lucey, 2022)",
    [Recipe("muon", 3e-3, 5e-3), Recipe("adam", 5e-3)],
    resize=resize_widths,
)
class Gauss(DenseNetwork):
    """Layers ``exp(-(scale z)^2)`` with ``z = W x + b``, initialised by torch's default.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.
        scale: the larger, the narrower the bells and the finer the details; 30 in the WIRE and FINER papers'
            comparisons, on images of 512 pixels.

    Raises:
        ValueError: the scale is not above zero, or a width is below 1.

    >>> Gauss(2, 3, widths=[32, 32])(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (128, 128, 128, 128),
        scale: float = 10.0,
    ) -> None:
        super().__init__(in_features, out_features, widths)
        if not scale > 0:
            raise ValueError(f"scale must be above zero, got {scale}")
        self.scale = scale

    def activate(self, z: Tensor, layer: int) -> Tensor:
        """The bell, elementwise."""
        return torch.exp(-(self.scale * z).square())
