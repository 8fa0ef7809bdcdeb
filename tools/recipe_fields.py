"""Fields that the search for a recipe tries and kanfield does not offer; importing this registers them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kanfield import KAN, KANLayer
from kanfield.fields import Field, Recipe, register
from kanfield.splines import Grid
from kanfield.splines.basis import active_basis, locate


@register("kan-plane", "a tensor-product (2-D) spline grid, then KAN layers", [Recipe("muon", 1e-2, 1e-2)])
class PlaneKAN(Field):
    """Features from (cells + order)^2 splines over the plane instead of sums of splines along lines."""

    border: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (64, 64),
        grids: Sequence[int] = (9, 9, 9),
        order: int = 2,
        cells: int = 128,
        features: int = 16,
    ) -> None:
        super().__init__()
        self.order, self.cells = order, cells
        self.table = nn.Parameter(0.5 * torch.randn((cells + order) ** 2, features))
        self.rest = KAN(features, out_features, widths, list(grids), order)
        self.register_buffer("border", torch.ones(in_features))

    def features(self, x: Tensor) -> Tensor:
        """Values of the 2-D splines, ``(N, 2)`` to ``(N, features)``."""
        grid = Grid(-self.border, self.border, self.cells)
        at = locate(x, grid.lower, grid.scale, grid.size)
        basis = torch.stack(active_basis(at, grid.scale, self.order), 2)  # (N, 2, k + 1)
        taps = torch.arange(self.order + 1, device=x.device)
        rows, columns = at.cell[:, 1, None] + taps, at.cell[:, 0, None] + taps
        index = rows[:, :, None] * (self.cells + self.order) + columns[:, None, :]
        weight = basis[:, 1, :, None] * basis[:, 0, None, :]
        return nn.functional.embedding_bag(
            index.flatten(1), self.table, per_sample_weights=weight.flatten(1), mode="sum"
        )

    def forward(self, x: Tensor) -> Tensor:
        """Coordinates ``(N, 2)`` to values ``(N, outputs)``."""
        y: Tensor = self.rest(self.features(x))
        return y

    def muon_parameters(self) -> list[Tensor]:
        """See :meth:`KAN.muon_parameters`."""
        return self.rest.muon_parameters()

    @torch.no_grad()
    def fit_ranges(self, x: Tensor, margin: float = 0.05) -> None:
        """See :meth:`KAN.fit_ranges`; the first KAN layer's grids follow the features too."""
        features = self.features(x)
        first = self.rest.layers[0]
        assert isinstance(first, KANLayer)
        low, high = features.amin(0), features.amax(0)
        spread = (high - low).clamp_min(1e-3) * margin
        first.set_range(low - spread, high + spread)
        self.rest.fit_ranges(features, margin)

    def fraction_outside(self, x: Tensor) -> Tensor:
        """See :meth:`KAN.fraction_outside`."""
        return self.rest.fraction_outside(self.features(x))


@register("kan-grouped", "a KAN whose hidden layers are two independent halves", [Recipe("muon", 1e-2, 1e-2)])
class GroupedKAN(Field):
    """The sum of two KANs of half the width each."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (64, 64, 64),
        grids: Sequence[int] = (40, 9, 9, 9),
        order: int = 2,
        init_frequency: float = 4.5,
        num_directions: int = 8,
    ) -> None:
        super().__init__()
        halves = [w // 2 for w in widths]
        waves: dict[str, Any] = {"init_frequency": init_frequency, "num_directions": num_directions}
        self.first, self.second = (
            KAN(in_features, out_features, halves, list(grids), order, **waves) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Coordinates ``(N, 2)`` to values ``(N, outputs)``."""
        y: Tensor = self.first(x) + self.second(x)
        return y

    def muon_parameters(self) -> list[Tensor]:
        """See :meth:`KAN.muon_parameters`."""
        return [*self.first.muon_parameters(), *self.second.muon_parameters()]

    def fit_ranges(self, x: Tensor, margin: float = 0.05) -> None:
        """See :meth:`KAN.fit_ranges`."""
        self.first.fit_ranges(x, margin)
        self.second.fit_ranges(x, margin)

    def fraction_outside(self, x: Tensor) -> Tensor:
        """See :meth:`KAN.fraction_outside`."""
        return (self.first.fraction_outside(x) + self.second.fraction_outside(x)) / 2
