"""Many fields as one: blended by weights that are smooth to second order and sum to one."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from kanfield.fields.field import Field
from kanfield.runs.rendering import CHUNK
from kanfield.tiles.plan import Axis, Plan, Tile

_KEPT = 256  # tiles whose weights stay mapped: two rows of a picture of 60,000 pixels across


def smooth_step(t: Tensor) -> Tensor:
    """Rise from 0 to 1 over [0, 1], with first and second derivatives of zero at both ends.

    >>> smooth_step(torch.tensor([-1.0, 0.5, 2.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    t = t.clamp(0, 1)
    return t**3 * (10 - 15 * t + 6 * t**2)


def axis_weight(axis: Axis, number: int, p: Tensor) -> Tensor:
    """Weight of a part of an axis: 1 inside, falling to 0 across its borders; all parts' sum to 1.

    Args:
        axis: In parts.
        number: Of the part.
        p: Positions in pixels, shape ``(N,)``; pixel i reaches from i to i + 1.

    Returns:
        Shape ``(N,)``, 0 to 1.

    >>> axis_weight(Axis(20, 2, 4), 1, torch.tensor([5.0, 10.0, 15.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    h = axis.overlap
    weight = torch.ones_like(p)
    if number > 0:
        weight = smooth_step((p - (axis.borders[number] - h)) / (2 * h))
    if number < axis.count - 1:
        # The complement of the very number that the next part has: their sum is 1 to the last bit.
        weight = weight * (1 - smooth_step((p - (axis.borders[number + 1] - h)) / (2 * h)))
    return weight


class TiledField(Field):
    """The fields of all tiles as one field of the whole picture.

    Weights are mapped from disk where a tile is touched; nothing else of the run is held. Autograd goes
    through the weights of the blend too, so that derivatives obey the product rule.

    Args:
        plan: Where the tiles lie.
        channels: Values at a point.
        load: Gives a tile's module, ``(N, 2)`` in [-1, 1] across its frame to ``(N, channels)``; None for a
            tile that has none, whose values are 0.

    Shape:
        - Input: ``(N, 2)``, coordinates (x, y), the longer side of the whole picture on [-1, 1].
        - Output: ``(N, channels)``, values in [-1, 1].

    >>> class Constant(nn.Module):
    ...     def __init__(self, value):
    ...         super().__init__()
    ...         self.value = nn.Parameter(torch.full((1,), value))
    ...     def forward(self, x):
    ...         return self.value.expand(len(x), 1)
    >>> field = TiledField(Plan(32, 64, 32), 1, lambda tile: Constant(float(tile.column)))
    >>> field(torch.tensor([[-0.5, 0.0], [0.0, 0.0], [0.5, 0.0]])).ravel().tolist()
    [0.0, 0.5, 1.0]
    """

    def __init__(self, plan: Plan, channels: int, load: Callable[[Tile], nn.Module | None]) -> None:
        super().__init__()
        self.plan, self.channels = plan, channels
        self._tile = lru_cache(maxsize=_KEPT)(load)

    def named_parameters(self, *args: object, **kwargs: object):  # type: ignore[no-untyped-def]
        """Names and weights of all tiles, each mapped when its turn comes."""
        for tile in self.plan.tiles:
            module = self._tile(tile)
            if module is not None:
                for name, parameter in module.named_parameters():
                    yield f"{tile.name}.{name}", parameter

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate at scattered coordinates, bucketed by tile; see :class:`TiledField`."""
        size = x.new_tensor([self.plan.width, self.plan.height], dtype=torch.float64)
        p = (x.double() * size.max() + size) / 2
        rows, columns = self._two(self.plan.rows, p[:, 1]), self._two(self.plan.columns, p[:, 0])
        count = self.plan.columns.count
        keys = torch.stack([torch.where((r < 0) | (c < 0), -1, r * count + c) for r in rows for c in columns])
        values = p.new_zeros(len(p), self.channels)
        for key in keys.unique().tolist():
            if key < 0:
                continue
            tile, at = Tile(*divmod(key, count)), (keys == key).any(0).nonzero()[:, 0]
            part = p[at]
            weight = axis_weight(self.plan.rows, tile.row, part[:, 1])
            weight = weight * axis_weight(self.plan.columns, tile.column, part[:, 0])
            values = values.index_add(0, at, weight[:, None] * self._evaluate(tile, part))
        return values.to(x.dtype)

    @torch.no_grad()
    def grid(self, ys: Tensor, xs: Tensor) -> Tensor:
        """Evaluate at all crossings of rows and columns, tile by tile.

        What :meth:`forward` does for scattered points, without their buckets.

        Args:
            ys: Positions down in pixels, float64, shape ``(h,)``.
            xs: Positions across in pixels, float64, shape ``(w,)``.

        Returns:
            Values in [-1, 1], float64, shape ``(h, w, channels)``.
        """
        values = torch.zeros(len(ys), len(xs), self.channels, dtype=torch.float64)
        down = [axis_weight(self.plan.rows, row, ys) for row in range(self.plan.rows.count)]
        for column in range(self.plan.columns.count):
            across = axis_weight(self.plan.columns, column, xs)
            here = across.nonzero()[:, 0]
            if len(here) == 0:
                continue
            left, right = int(here[0]), int(here[-1]) + 1
            for row, weight in enumerate(down):
                there = weight.nonzero()[:, 0]
                if len(there) == 0:
                    continue
                top, bottom = int(there[0]), int(there[-1]) + 1
                blend = weight[top:bottom, None] * across[left:right]
                got = self.alone(Tile(row, column), ys[top:bottom], xs[left:right])
                values[top:bottom, left:right] += blend[..., None] * got
        return values

    @torch.no_grad()
    def alone(self, tile: Tile, ys: Tensor, xs: Tensor) -> Tensor:
        """One tile's field, unblended, at all crossings of rows and columns; see :meth:`grid`."""
        points = torch.cartesian_prod(ys, xs).reshape(-1, 2).flip(1)
        parts = [self._evaluate(tile, part) for part in torch.split(points, CHUNK)]
        return torch.cat(parts).reshape(len(ys), len(xs), self.channels)

    def _two(self, axis: Axis, p: Tensor) -> tuple[Tensor, Tensor]:
        """The part that each position lies in, and the neighbour that it is blended with, or -1."""
        p = p.detach()
        inner = torch.tensor(axis.borders[1:-1], dtype=p.dtype, device=p.device)
        own = torch.searchsorted(inner, p.contiguous(), right=True)
        if axis.count == 1:
            return own, torch.full_like(own, -1)
        borders = torch.tensor(axis.borders, dtype=p.dtype, device=p.device)
        before = (own > 0) & (p < borders[own] + axis.overlap)
        after = (own < axis.count - 1) & (p > borders[own + 1] - axis.overlap)
        return own, torch.where(before, own - 1, torch.where(after, own + 1, -1))

    def _evaluate(self, tile: Tile, p: Tensor) -> Tensor:
        """A tile's field at positions ``(N, 2)`` of the whole picture, float64."""
        module = self._tile(tile)
        if module is None:
            return p.new_zeros(len(p), self.channels)
        rows, columns = self.plan.window(tile)
        height, width = self.plan.frame
        # As kanfield.images.coordinates has it, to the bit: in double, of positions within the frame.
        origin, size = p.new_tensor([columns.start, rows.start]), p.new_tensor([width, height])
        local = (2 * (p - origin) - size) / max(width, height)
        values: Tensor = module(local.to(next(module.parameters())))
        return values.to(p)
