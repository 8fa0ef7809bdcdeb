"""RFF: random Fourier features before an MLP (Tancik et al., 2020, arXiv:2006.10739)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kanfield.fields.dense import EncodedNetwork
from kanfield.fields.mlp import MLP
from kanfield.fields.registry import Recipe, register, resize_widths


@register(
    "rff",
    "random Fourier features and an MLP (Tancik et al., 2020)",
    [Recipe("muon", 1e-2, 1e-3), Recipe("adam", 3e-3)],
    resize=resize_widths,
)
class RFF(EncodedNetwork):
    """Sines and cosines of random frequencies, fixed, then an MLP.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.
        frequencies: how many are drawn; each gives a sine and a cosine.
        sigma: standard deviation of the frequencies, in cycles over [-1, 1], the longer side of an image
            (the paper's unit interval; 10 for its photographs).
        activation: of the MLP, ``"relu"``, ``"tanh"``, ``"silu"`` or ``"gelu"``.

    Raises:
        ValueError: frequencies or sigma is not above zero, a width is below 1, or the activation is unknown.

    >>> RFF(2, 3, widths=[32], frequencies=16)(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    directions: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (256, 256, 256),
        frequencies: int = 256,
        sigma: float = 15.0,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if frequencies < 1 or not sigma > 0:
            raise ValueError(f"frequencies and sigma must be above zero, got {frequencies} and {sigma}")
        self.register_buffer("directions", torch.pi * sigma * torch.randn(in_features, frequencies))
        self.network = MLP(2 * frequencies, out_features, widths, activation)

    def encode(self, x: Tensor) -> Tensor:
        """Cosines and sines ``(*, 2 frequencies)`` at ``(*, in_features)``."""
        angles = x @ self.directions
        return torch.cat([angles.cos(), angles.sin()], -1)
