"""The KAN field: KAN layers one after another, with a grid size of their own each."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kanfield.fields.field import Field
from kanfield.fields.kan_layer import KANLayer, Levels
from kanfield.fields.registry import Recipe, register, resize_widths
from kanfield.splines import choose_backend

MAX_HIDDEN_GRID = 2_000  # moving a grid costs a least-squares problem of its size


@register(
    "kan",
    "Kolmogorov-Arnold network: a B-spline on every edge, on fine grids; presets choose its options",
    [Recipe("muon", 1e-2, 5e-3), Recipe("adam", 3e-3)],
    resize=resize_widths,
)
class KAN(Field):
    """Kolmogorov-Arnold network with B-spline edges (arXiv:2404.19756), from coordinates to values.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers; none for a single layer.
        grids: grid size (cells) of every layer, one more than ``widths``; an int serves all layers, a list
            inside the list gives nested levels (see :class:`KANLayer`).
        order: polynomial degree of the splines: 1, 2 or 3. The KAN literature calls it the order.
        base: the branch beside the splines, ``"silu"`` or None.
        init_noise: standard deviation of the initial splines (see :class:`KANLayer`): the smaller, the
            smoother the start.
        init_frequency: standard deviation of the cycles of the initial sine waves over the first layer's
            grids: the larger, the sooner fine detail is fitted, and the less true the field is between the
                pixels.
        num_directions: the first layer sees points of the plane along so many directions, spread evenly over
            half a turn, instead of along the two axes; 0 for the coordinates as they are. Sums of functions
            along many directions (projection pursuit: Friedman and Stuetzle, 1981) follow slanted edges that
            sums along two axes can only build in deeper layers.
        precision: of all layers' products (see :class:`KANLayer`).

    Shape:
        - Input: ``(*, in_features)``; the first layer's grids span [-1, 1], or along a direction its part of
          the square.
        - Output: ``(*, out_features)``.

    Raises:
        ValueError: widths and grids do not fit each other, or directions are asked for outside the plane.

    Examples:
        >>> field = KAN(2, 3, widths=[16, 16], grids=[100, 10, [5, 20]])
        >>> field(torch.rand(64, 2) * 2 - 1).shape
        torch.Size([64, 3])
    """

    axes: Tensor | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (64, 64),
        grids: Levels | Sequence[Levels] = 10,
        order: int = 3,
        base: str | None = "silu",
        init_noise: float = 0.05,
        init_frequency: float = 0.0,
        num_directions: int = 0,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        sizes = [grids] * (len(widths) + 1) if isinstance(grids, int) else list(grids)
        if len(sizes) != len(widths) + 1:
            raise ValueError(f"{len(widths)} widths need {len(widths) + 1} grids, got {len(sizes)}")
        hidden = [max([size] if isinstance(size, int) else size, default=0) for size in sizes[1:]]
        if max(hidden, default=0) > MAX_HIDDEN_GRID:
            raise ValueError(f"grids after the first take up to {MAX_HIDDEN_GRID} cells, got {max(hidden)}")
        if not (0 <= init_noise < math.inf and 0 <= init_frequency < math.inf):
            raise ValueError(
                f"init_noise and init_frequency are finite and 0 or more, got {init_noise}, {init_frequency}"
            )
        if num_directions < 0 or (num_directions and in_features != 2):
            raise ValueError(
                f"num_directions is 0 or more, and 0 unless there are 2 inputs, got {num_directions}"
            )
        self.register_buffer("axes", _axes(num_directions) if num_directions else None, persistent=False)
        units = [num_directions or in_features, *widths, out_features]
        self.layers = nn.ModuleList(
            KANLayer(i, o, size, order, base, init_noise, 0.0 if number else init_frequency, precision)
            for number, ((i, o), size) in enumerate(zip(itertools.pairwise(units), sizes, strict=True))
        )
        self._span_square()

    @property
    def backend(self) -> str:  # type: ignore[override]
        """What computes its splines: ``"native"``, ``"triton"`` or ``"reference"``."""
        first = self._kan_layers()[0]
        return choose_backend(first.coef, first.precision)

    def reset_parameters(self) -> None:
        """Draw fresh parameters in every layer."""
        for layer in self._kan_layers():
            layer.reset_parameters()
        self._span_square()

    @torch.no_grad()
    def _span_square(self) -> None:
        """Let the first grids reach from corner to corner of the square [-1, 1]^2 along their directions."""
        if self.axes is not None:
            first, reach = self._kan_layers()[0], self.axes.abs().sum(0)
            first.lower.copy_(-reach)
            first.upper.copy_(reach)

    def _first_inputs(self, x: Tensor) -> Tensor:
        return x if self.axes is None else x @ self.axes

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the field.

        Args:
            x: coordinates, ``(*, in_features)``.

        Returns:
            Values, ``(*, out_features)``.
        """
        x = self._first_inputs(x)
        for layer in self.layers:
            x = layer(x)
        return x

    def muon_parameters(self) -> list[Tensor]:
        """Coefficients of hidden layers, at every level."""
        hidden = self._kan_layers()[1:-1]
        return [coef for layer in hidden for coef in (layer.coef, *layer.coarse_coef)]

    @torch.no_grad()
    def fit_ranges(self, x: Tensor, margin: float = 0.05) -> None:
        """Move the grids of all layers but the first to the range of what reaches them.

        Args:
            x: coordinates, ``(N, in_features)``.
            margin: how far a range goes past the data on either side, as a fraction of its width.
        """
        first, *others = self._kan_layers()
        x = first(self._first_inputs(x))
        for layer in others:
            low, high = x.amin(0), x.amax(0)
            # A unit that is constant on this data still needs a range of some width.
            spread = (high - low).clamp_min(1e-3 * (1 + high.abs()))
            layer.move_range(low - margin * spread, low + (1 + margin) * spread)
            x = layer(x)

    @torch.no_grad()
    def fraction_outside(self, x: Tensor) -> Tensor:
        """Fraction (0 to 1) of the hidden values that leave their grids.

        Args:
            x: coordinates, ``(N, in_features)``.
        """
        first, *others = self._kan_layers()
        fractions = []
        x = first(self._first_inputs(x))
        for layer in others:
            fractions.append(layer.fraction_outside(x))
            x = layer(x)
        return torch.stack(fractions).mean() if fractions else x.new_zeros(())

    def smooth_coefficients(self, rate: float) -> None:
        """Diffuse the coefficients of every layer; see :meth:`KANLayer.smooth_coefficients`."""
        for layer in self._kan_layers():
            layer.smooth_coefficients(rate)

    def refine(self, factor: int = 2, optimizers: Iterable[Optimizer] = ()) -> None:
        """Refine every layer's finest grid (grid extension) without changing the function.

        Args:
            factor: whole number of new cells in an old one.
            optimizers: those whose moments are carried over; see :meth:`KANLayer.refine`.

        Raises:
            ValueError: factor is not a positive whole number.
        """
        optimizers = list(optimizers)
        for layer in self._kan_layers():
            layer.refine(factor, optimizers)

    def extend(self, size: int) -> None:
        """Move the grids of all layers to ``size`` cells; see :meth:`KANLayer.extend`.

        Raises:
            ValueError: a layer has nested levels, or size is below 1.
        """
        for layer in self._kan_layers():
            layer.extend(size)

    def _kan_layers(self) -> list[KANLayer]:
        return [layer for layer in self.layers if isinstance(layer, KANLayer)]


def _axes(num_directions: int) -> Tensor:
    """Unit vectors over half a turn, the first along x: shape ``(2, num_directions)``."""
    angles = torch.arange(num_directions) * (torch.pi / num_directions)
    return torch.stack([angles.cos(), angles.sin()])
