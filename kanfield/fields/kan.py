"""The KAN field: KAN layers one after another, with a grid size of their own each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kanfield.fields.kan_layer import KANLayer, Levels
from kanfield.fields.registry import Recipe, register
from kanfield.splines import choose_backend


class KAN(nn.Module):
    """Kolmogorov-Arnold network with B-spline edges (arXiv:2404.19756), from coordinates to values.

    Args:
        widths: numbers of units from inputs to outputs, e.g. ``[2, 64, 64, 1]``.
        grids: grid size of every layer, one fewer than ``widths``; an int serves all layers, a list inside
            the list gives nested levels (see :class:`KANLayer`).
        order: polynomial degree of the splines: 1, 2 or 3.
        base: the branch beside the splines, ``"silu"`` or None.
        noise: spread of the initial splines (see :class:`KANLayer`): the smaller, the smoother the start.
        frequency: spread of the initial cycles over the first layer's grids: the larger, the sooner fine
            detail is fitted, and the less true the field is between the pixels.
        directions: the first layer sees points of the plane along so many directions, spread evenly over
            half a turn, instead of along the two axes; 0 for the coordinates as they are. Sums of functions
            along many directions (projection pursuit: Friedman and Stuetzle, 1981) follow slanted edges that
            sums along two axes can only build in deeper layers.
        precision: of all layers' products (see :class:`KANLayer`).

    Shape:
        - Input: ``(*, widths[0])``; the first layer's grids span [-1, 1], or along a direction its part of
          the square.
        - Output: ``(*, widths[-1])``.

    Raises:
        ValueError: widths and grids do not fit each other, or directions are asked for outside the plane.

    Examples:
        >>> field = KAN([2, 16, 16, 3], [100, 10, [5, 20]])
        >>> field(torch.rand(64, 2) * 2 - 1).shape
        torch.Size([64, 3])
    """

    axes: Tensor | None

    def __init__(
        self,
        widths: Sequence[int],
        grids: Levels | Sequence[Levels] = 10,
        order: int = 3,
        base: str | None = "silu",
        noise: float = 0.05,
        frequency: float = 0.0,
        directions: int = 0,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        sizes = [grids] * (len(widths) - 1) if isinstance(grids, int) else list(grids)
        if len(widths) < 2:
            raise ValueError(f"widths run from inputs to outputs, such as [2, 64, 1], got {list(widths)}")
        if len(sizes) != len(widths) - 1:
            raise ValueError(f"{len(widths)} widths need {len(widths) - 1} grid sizes, got {len(sizes)}")
        if directions < 0 or (directions and widths[0] != 2):
            raise ValueError(f"directions are for 2 inputs and 0 or more, got {directions} of {widths[0]}")
        self.register_buffer("axes", _axes(directions) if directions else None, persistent=False)
        units = [directions or widths[0], *widths[1:]]
        self.layers = nn.ModuleList(
            KANLayer(inputs, outputs, size, order, base, noise, 0.0 if number else frequency, precision)
            for number, (inputs, outputs, size) in enumerate(zip(units[:-1], units[1:], sizes, strict=True))
        )
        self._span_square()

    @property
    def backend(self) -> str:
        """What computes its splines, ``"native"``, ``"triton"`` or ``"reference"``."""
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
        """Evaluate the field; see the class for shapes."""
        x = self._first_inputs(x)
        for layer in self.layers:
            x = layer(x)
        return x

    def muon_parameters(self) -> list[nn.Parameter]:
        """The parameters that Muon trains: coefficients of hidden layers, at every level."""
        hidden = self._kan_layers()[1:-1]
        return [coef for layer in hidden for coef in (layer.coef, *layer.coarse_coef)]

    @torch.no_grad()
    def fit_ranges(self, x: Tensor, margin: float = 0.05) -> None:
        """Move the grids of all layers but the first to the range of what reaches them.

        Args:
            x: coordinates, shape ``(N, widths[0])``.
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
        """Fraction (0 to 1) of the hidden values that leave their grids, for coordinates ``x`` (N, d)."""
        first, *others = self._kan_layers()
        fractions = []
        x = first(self._first_inputs(x))
        for layer in others:
            fractions.append(layer.fraction_outside(x))
            x = layer(x)
        return torch.stack(fractions).mean() if fractions else x.new_zeros(())

    def smooth_coefficients(self, share: float) -> None:
        """Smooth the splines of every layer; see :meth:`KANLayer.smooth`."""
        for layer in self._kan_layers():
            layer.smooth_coefficients(share)

    def refine(self, factor: int = 2, optimizers: Iterable[Optimizer] = ()) -> None:
        """Refine every layer's finest grid without changing the function; see :meth:`KANLayer.refine`."""
        optimizers = list(optimizers)
        for layer in self._kan_layers():
            layer.refine(factor, optimizers)

    def extend(self, size: int) -> None:
        """Move the grids of all layers to ``size`` cells; see :meth:`KANLayer.extend`."""
        for layer in self._kan_layers():
            layer.extend(size)

    def _kan_layers(self) -> list[KANLayer]:
        return [layer for layer in self.layers if isinstance(layer, KANLayer)]


@register(
    "kan",
    "Kolmogorov-Arnold network: a B-spline on every edge, on fine grids",
    [Recipe("muon", 1e-2, 5e-3)],
)
def kan(
    inputs: int,
    outputs: int,
    widths: Sequence[int] = (64, 64, 64),
    grids: Sequence[Levels] = (64, 8, 8, 8),
    order: int = 2,
    noise: float = 0.05,
    frequency: float = 4.5,
    directions: int = 0,
    precision: str = "fp32",
) -> KAN:
    """A :class:`KAN` by its inputs and outputs; the defaults are those of the preset smooth at 256 px.

    All but ``directions``: a field of other than two inputs has none, nor have runs of older versions.
    """
    all_widths = [inputs, *widths, outputs]
    return KAN(
        all_widths,
        list(grids),
        order,
        noise=noise,
        frequency=frequency,
        directions=directions,
        precision=precision,
    )


def _axes(directions: int) -> Tensor:
    """Unit vectors over half a turn, the first along x: shape ``(2, directions)``."""
    angles = torch.arange(directions) * (torch.pi / directions)
    return torch.stack([angles.cos(), angles.sin()])
