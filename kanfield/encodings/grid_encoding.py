"""``GridEncoding``: learnable features on grids of several resolutions, as a module."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kanfield.encodings.grid_encode import FEATURES, ORDERS, grid_encode

# Rows of a hashed level begin this fraction of its table apart, modulo its size. Multiples of the golden
# ratio keep vertices that share an entry far from one another (Fibonacci hashing: Knuth, 1973, section 6.4).
_GOLDEN = (math.sqrt(5) - 1) / 2
_PULL_POWER = 1.5
# Along an axis: in float32, [-1, 1] has four numbers to a cell of the finest.
MAX_CELLS = 1 << 22


def make_layout(resolutions: Sequence[Sequence[int]], entries: int, order: int) -> list[list[int]]:
    """Place the vertices of every level in one table.

    A level of at most ``entries`` vertices is dense, any other is hashed to that many.

    Args:
        resolutions: cells along x and y of every level.
        entries: of a level, at most.
        order: of the B-splines, which have ``cells + order`` vertices along an axis.

    Returns:
        Rows of the layout that :func:`kanfield.encodings.grid_encode` takes, one for each level.

    >>> make_layout([(3, 2), (100, 100)], 50, order=1)
    [[3, 2, 12, 0, 4], [100, 100, 50, 12, 31]]
    """
    rows, offset = [], 0
    for across, down in resolutions:
        columns, vertices = across + order, (across + order) * (down + order)
        dense = vertices <= entries
        size = vertices if dense else entries
        rows.append([across, down, size, offset, columns if dense else max(1, round(_GOLDEN * size))])
        offset += size
    return rows


class GridEncoding(nn.Module):
    """Features on 2-D grids of several resolutions, interpolated by B-splines (after arXiv:2201.05989).

    Args:
        resolutions: cells along x and y of every level.
        features: of every level: 1, 2, 4 or 8.
        entries: of a level's table, at most; a level with more vertices is hashed.
        order: degree of the B-splines that interpolate: 1 (bilinear), 2 or 3 (smooth).
        extent: how far the grids reach from 0 along x and y; an image's coordinates reach 1 along its longer
            side only, and cells beyond the other would be wasted.
        init_scale: fresh features are drawn from -init_scale to init_scale.

    Attributes:
        table: features of all levels, shape ``(sum of the levels' entries, features)``.

    Shape:
        - Input: ``(N, 2)``, within the extent; beyond it the border's features go on.
        - Output: ``(N, len(resolutions) * features)``, level by level.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> encoding = GridEncoding([(24, 16), (48, 32)], features=2, entries=1000)
        >>> encoding(torch.rand(10, 2) * 2 - 1).shape
        torch.Size([10, 4])
    """

    layout: Tensor
    extent: Tensor

    def __init__(
        self,
        resolutions: Sequence[Sequence[int]],
        features: int = 2,
        entries: int = 1 << 15,
        order: int = 1,
        extent: Sequence[float] = (1.0, 1.0),
        init_scale: float = 0.1,
    ) -> None:
        super().__init__()
        if not resolutions or any(len(p) != 2 or min(p) < 1 or max(p) > MAX_CELLS for p in resolutions):
            raise ValueError(
                f"resolutions are pairs of cells along x and y, 1 to {MAX_CELLS:,} each, got {resolutions}"
            )
        if features not in FEATURES:
            raise ValueError(f"features is one of {FEATURES}, got {features}")
        if order not in ORDERS:
            raise ValueError(f"order {order} is not one of {ORDERS}")
        if not 1 <= entries < 1 << 31:
            raise ValueError(f"entries lies between 1 and 2^31 - 1, got {entries}")
        if len(extent) != 2 or not all(0 < reach < math.inf for reach in extent):
            raise ValueError(f"extent is two numbers above 0, got {extent}")
        self.features, self.order, self.init_scale = features, order, init_scale
        layout = make_layout(resolutions, entries, order)
        self.register_buffer("layout", torch.tensor(layout), persistent=False)
        self.register_buffer("extent", torch.tensor([float(e) for e in extent]), persistent=False)
        self.table = nn.Parameter(torch.empty(sum(size for _, _, size, _, _ in layout), features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh features."""
        nn.init.uniform_(self.table, -self.init_scale, self.init_scale)

    @property
    def out_features(self) -> int:
        """Features of all levels together."""
        return len(self.layout) * self.features

    def forward(self, x: Tensor) -> Tensor:
        """Features at coordinates; see the class for shapes."""
        return grid_encode(x / self.extent, self.table, self.layout, self.order)

    @torch.no_grad()
    def shrink(self, rate: float) -> None:
        """Pull features towards zero, those of fine levels most: by ``exp(-rate (side / finest side)^1.5)``.

        Detail that few samples ask for then stays out of the finer levels, where it would be noise between
        the samples.

        Args:
            rate: of the finest level, 0 or more.
        """
        sides, sizes = self.layout[:, :2].prod(1).to(self.table).sqrt(), self.layout[:, 2]
        factors = torch.exp(-rate * (sides / sides.max()) ** _PULL_POWER)
        self.table.mul_(factors.repeat_interleave(sizes, output_size=len(self.table))[:, None])

    def extra_repr(self) -> str:
        """The encoding's settings, as ``print`` shows them."""
        sides = [f"{across}x{down}" for across, down in self.layout[:, :2].tolist()]
        return f"{' '.join(sides)}, features={self.features}, entries={len(self.table)}, order={self.order}"
