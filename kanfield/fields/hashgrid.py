"""Multi-resolution hash grid (Mueller et al., 2022, Instant NGP, arXiv:2201.05989), in plain torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kanfield.fields.field import Field
from kanfield.fields.mlp import MLP
from kanfield.fields.registry import Recipe, register

# The paper's; the first dimension is not multiplied, for the sake of the cache.
_PRIMES = (1, 2654435761, 805459861)
_UINT32 = (1 << 32) - 1
_INITIAL = 1e-4


class HashEncoding(nn.Module):
    """Features looked up in tables of several resolutions and interpolated linearly.

    Indices follow tiny-cuda-nn: level l has ``scale = base_resolution * per_level_scale^l - 1`` and
    ``ceil(scale) + 1`` vertices a side, at ``x * scale + 0.5`` with x in [0, 1]; a level whose vertices fit
    its table is dense, any other is hashed.

    Args:
        in_features: numbers of a coordinate, 1 to 3.
        levels: number of resolutions.
        features: features at each.
        log2_hashmap_size: entries of a level's table, at most, as a power of two; need not be whole.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: factor from one level to the next.

    Attributes:
        table: the features of all levels, shape ``(entries, features)``.

    Shape:
        - Input: ``(N, in_features)`` in [-1, 1].
        - Output: ``(N, levels * features)``.

    >>> HashEncoding(2, levels=4)(torch.rand(10, 2)).shape
    torch.Size([10, 8])
    """

    scales: Tensor
    strides: Tensor
    sizes: Tensor
    offsets: Tensor
    hashed: Tensor
    corners: Tensor

    def __init__(
        self,
        in_features: int,
        levels: int = 16,
        features: int = 2,
        log2_hashmap_size: float = 19,
        base_resolution: int = 16,
        per_level_scale: float = 2.0,
    ) -> None:
        super().__init__()
        if not 1 <= in_features <= len(_PRIMES):
            raise ValueError(f"a hash grid takes 1 to {len(_PRIMES)} coordinates, got {in_features}")
        if levels < 1 or features < 1 or base_resolution < 2 or not per_level_scale >= 1:
            raise ValueError("levels and features start at 1, base_resolution at 2, per_level_scale at 1")
        if not 1 <= log2_hashmap_size <= 30:
            raise ValueError(f"log2_hashmap_size lies between 1 and 30, got {log2_hashmap_size}")
        scales = [base_resolution * per_level_scale**level - 1 for level in range(levels)]
        sides = [math.ceil(scale) + 1 for scale in scales]
        most = round(2**log2_hashmap_size)
        sizes = [min(-(-(side**in_features) // 8) * 8, most) for side in sides]
        self.register_buffer("scales", torch.tensor(scales))
        self.register_buffer("strides", torch.tensor([[s**d for d in range(in_features)] for s in sides]))
        self.register_buffer("sizes", torch.tensor(sizes))
        self.register_buffer("offsets", torch.tensor([0, *itertools.accumulate(sizes)][:-1]))
        hashed = [side**in_features > size for side, size in zip(sides, sizes, strict=True)]
        self.register_buffer("hashed", torch.tensor(hashed))
        self.register_buffer("corners", torch.tensor(list(itertools.product((0, 1), repeat=in_features))))
        self.table = nn.Parameter(torch.empty(sum(sizes), features))
        nn.init.uniform_(self.table, -_INITIAL, _INITIAL)

    def forward(self, x: Tensor) -> Tensor:
        """Features at coordinates; see the class for shapes."""
        position = (x[:, None] + 1) / 2 * self.scales[:, None] + 0.5  # (N, L, d)
        cell = position.detach().floor()
        inside = (position - cell)[:, :, None]  # (N, L, 1, d)
        weights = torch.where(self.corners.bool(), inside, 1 - inside).prod(-1)  # (N, L, 2^d)
        values = self.table[self.indices(cell.long())]  # (N, L, 2^d, F)
        return (values * weights[..., None]).sum(2).flatten(1)

    def indices(self, cell: Tensor) -> Tensor:
        """Rows of :attr:`table` of every corner of cells ``(N, L, d)``, shape ``(N, L, 2^d)``."""
        vertex = cell[:, :, None] + self.corners  # (N, L, 2^d, d)
        dense = (vertex * self.strides[:, None]).sum(-1)
        hashed = vertex[..., 0]
        for axis in range(1, vertex.shape[-1]):
            hashed = hashed ^ (vertex[..., axis] * _PRIMES[axis] & _UINT32)
        index = torch.where(self.hashed[:, None], hashed, dense)
        return index % self.sizes[:, None] + self.offsets[:, None]


def resize_tables(options: dict[str, Any], factor: float) -> dict[str, Any]:
    """Options with tables of ``factor`` times as many entries; the network stays.

    >>> resize_tables({"log2_hashmap_size": 15}, 0.5)
    {'log2_hashmap_size': 14.0}
    """
    return {**options, "log2_hashmap_size": max(1.0, options["log2_hashmap_size"] + math.log2(factor))}


@register(
    "hashgrid",
    "multi-resolution hash grid and a small ReLU MLP (Mueller et al., 2022), in plain torch",
    [Recipe("muon", 3e-3, 3e-3), Recipe("adam", 3e-3)],
    resize=resize_tables,
)
class HashGrid(Field):
    """A hash encoding (see :class:`HashEncoding`) and an MLP on its features.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the MLP's hidden layers.
        levels: see :class:`HashEncoding`, as for the four options that follow.
        features: per level.
        log2_hashmap_size: entries of a level's table, as a power of two.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: factor from one level to the next.

    Raises:
        ValueError: a number is out of its range.

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
        self.encoding = HashEncoding(
            in_features, levels, features, log2_hashmap_size, base_resolution, per_level_scale
        )
        self.network = MLP(levels * features, out_features, widths)

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(N, out_features)`` at ``(N, in_features)``."""
        y: Tensor = self.network(self.encoding(x))
        return y

    def muon_parameters(self) -> list[Tensor]:
        """Weights between the MLP's hidden layers."""
        return self.network.muon_parameters()
