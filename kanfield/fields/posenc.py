"""Positional encoding: sines at octaves before an MLP (Mildenhall et al., 2020, arXiv:2003.08934)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanfield.fields.dense import EncodedNetwork
from kanfield.fields.mlp import MLP
from kanfield.fields.registry import Recipe, register, resize_widths


@register(
    "posenc",
    "sines at octaves and a ReLU MLP (Mildenhall et al., 2020)",
    [Recipe("muon", 3e-2, 3e-3), Recipe("adam", 3e-3)],
    resize=resize_widths,
)
class PositionalEncoding(EncodedNetwork):
    """The coordinates with ``sin(2^l pi x)`` and ``cos(2^l pi x)`` of each, then a ReLU MLP.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.
        levels: octaves; 10 in the paper. The finest has ``2^(levels - 1)`` cycles over [-1, 1], the longer
            side of an image: 8 levels reach the Nyquist limit of 256 pixels.

    Raises:
        ValueError: levels is below 1, or a width is.

    >>> PositionalEncoding(2, 3, widths=[32], levels=4)(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    factors: Tensor

    def __init__(
        self, in_features: int, out_features: int, widths: Sequence[int] = (256, 256, 256), levels: int = 10
    ) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be 1 or more, got {levels}")
        self.register_buffer("factors", torch.pi * 2.0 ** torch.arange(levels))
        self.network = MLP(in_features * (2 * levels + 1), out_features, widths)

    def encode(self, x: Tensor) -> Tensor:
        """Coordinates, sines and cosines ``(*, in_features (2 levels + 1))`` at ``(*, in_features)``."""
        angles = (x[..., None] * self.factors).flatten(-2)
        return torch.cat([x, angles.sin(), angles.cos()], -1)
