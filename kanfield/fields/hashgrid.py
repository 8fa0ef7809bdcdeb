"""Multi-resolution hash grid and MLP (Mueller et al., 2022, Instant NGP, arXiv:2201.05989)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from kanfield.encodings import GridEncoding
from kanfield.encodings.grid_encoding import MAX_CELLS
from kanfield.fields.field import Field
from kanfield.fields.mlp import MLP
from kanfield.fields.registry import Recipe, register
from kanfield.splines import choose_backend

_INITIAL = 1e-4


def resize_tables(options: dict[str, Any], factor: float) -> dict[str, Any]:
    """Options with tables of ``factor`` times as many entries; the network stays.

    >>> resize_tables({"log2_hashmap_size": 15}, 0.5)
    {'log2_hashmap_size': 14.0}
    """
    return {**options, "log2_hashmap_size": max(1.0, options["log2_hashmap_size"] + math.log2(factor))}


@register(
    "hashgrid",
    "multi-resolution hash grid and a small ReLU MLP (Mueller et al., 2022)",
    [Recipe("muon", 3e-3, 3e-3), Recipe("adam", 3e-3)],
    resize=resize_tables,
)
class HashGrid(Field):
    """A grid of features at several resolutions, interpolated linearly, and an MLP on its features.

    Level l has ``ceil(base_resolution * per_level_scale^l)`` vertices a side; a level with more vertices than
    entries is hashed (see :class:`kanfield.encodings.GridEncoding`).

    Args:
        in_features: numbers of a coordinate: 2.
        out_features: numbers of a value.
        widths: units of the MLP's hidden layers.
        levels: number of resolutions.
        features: of every level: 1, 2, 4 or 8.
        log2_hashmap_size: entries of a level's table, at most, as a power of two; need not be whole.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: factor from one level to the next.

    Raises:
        ValueError: a number is out of its range.

    >>> import torch
    >>> HashGrid(2, 3, levels=4)(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    # Gradients of entries that few pixels touch are tiny; the paper's settings let Adam follow them.
    adam_options: Mapping[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-15}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (64, 64),
        levels: int = 12,
        features: int = 2,
        log2_hashmap_size: float = 15,
        base_resolution: int = 16,
        per_level_scale: float = 1.4,
    ) -> None:
        super().__init__()
        if in_features != 2:
            raise ValueError(f"a hash grid takes 2 coordinates, got {in_features}")
        if levels < 1 or base_resolution < 2 or not per_level_scale >= 1:
            raise ValueError("levels starts at 1, base_resolution at 2, per_level_scale at 1")
        if not 1 <= log2_hashmap_size <= 30:
            raise ValueError(f"log2_hashmap_size lies between 1 and 30, got {log2_hashmap_size}")
        # In logarithms, which do not overflow.
        if math.log2(base_resolution) + (levels - 1) * math.log2(per_level_scale) > math.log2(MAX_CELLS):
            raise ValueError(f"the finest of {levels} levels has more than {MAX_CELLS:,} vertices per side")
        cells = [math.ceil(base_resolution * per_level_scale**level) - 1 for level in range(levels)]
        self.encoding = GridEncoding(
            [(n, n) for n in cells], features, round(2**log2_hashmap_size), init_scale=_INITIAL
        )
        self.network = MLP(self.encoding.out_features, out_features, widths)

    @property
    def backend(self) -> str:  # type: ignore[override]
        """What computes its encoding: ``"native"``, ``"triton"`` or ``"reference"``."""
        return choose_backend(self.encoding.table)

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(N, out_features)`` at ``(N, in_features)``."""
        y: Tensor = self.network(self.encoding(x))
        return y

    def muon_parameters(self) -> list[Tensor]:
        """Weights between the MLP's hidden layers."""
        return self.network.muon_parameters()
