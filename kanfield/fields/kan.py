"""The KAN field: KAN layers one after another, with a grid size of their own each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kanfield.fields.layer import KANLayer, Levels
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
        frequency: spread of the initial cycles over [-1, 1] in the first layer: the larger, the sooner fine
            detail is fitted, and the less true the field is between the pixels.

    Shape:
        - Input: ``(*, widths[0])``; the first layer's grids span [-1, 1].
        - Output: ``(*, widths[-1])``.

    Raises:
        ValueError: widths and grids do not fit each other.

    Examples:
        >>> field = KAN([2, 16, 16, 3], [100, 10, [5, 20]])
        >>> field(torch.rand(64, 2) * 2 - 1).shape
        torch.Size([64, 3])
    """

    def __init__(
        self,
        widths: Sequence[int],
        grids: Levels | Sequence[Levels] = 10,
        order: int = 3,
        base: str | None = "silu",
        noise: float = 0.05,
        frequency: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = [grids] * (len(widths) - 1) if isinstance(grids, int) else list(grids)
        if len(widths) < 2:
            raise ValueError(f"widths run from inputs to outputs, such as [2, 64, 1], got {list(widths)}")
        if len(sizes) != len(widths) - 1:
            raise ValueError(f"{len(widths)} widths need {len(widths) - 1} grid sizes, got {len(sizes)}")
        self.layers = nn.ModuleList(
            KANLayer(inputs, outputs, size, order, base, noise, 0.0 if number else frequency)
            for number, (inputs, outputs, size) in enumerate(zip(widths[:-1], widths[1:], sizes, strict=True))
        )

    @property
    def backend(self) -> str:
        """What computes its splines, ``"native"`` or ``"reference"``."""
        return choose_backend(self._kan_layers()[0].coef)

    def reset_parameters(self) -> None:
        """Draw fresh parameters in every layer."""
        for layer in self._kan_layers():
            layer.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the field; see the class for shapes."""
        for layer in self.layers:
            x = layer(x)
        return x

    def matrices(self) -> list[nn.Parameter]:
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
        x = first(x)
        for layer in others:
            low, high = x.amin(0), x.amax(0)
            # A unit that is constant on this data still needs a range of some width.
            spread = (high - low).clamp_min(1e-3 * (1 + high.abs()))
            if bool(torch.isfinite(spread).all()):
                layer.set_range(low - margin * spread, low + (1 + margin) * spread)
            x = layer(x)

    @torch.no_grad()
    def outside(self, x: Tensor) -> Tensor:
        """Fraction (0 to 1) of the hidden values that leave their grids, for coordinates ``x`` (N, d)."""
        first, *others = self._kan_layers()
        fractions = []
        x = first(x)
        for layer in others:
            fractions.append(layer.outside(x))
            x = layer(x)
        return torch.stack(fractions).mean() if fractions else x.new_zeros(())

    def refine(self, factor: int = 2, optimizers: Iterable[Optimizer] = ()) -> None:
        """Refine every layer's finest grid without changing the function; see :meth:`KANLayer.refine`."""
        optimizers = list(optimizers)
        for layer in self._kan_layers():
            layer.refine(factor, optimizers)

    def _kan_layers(self) -> list[KANLayer]:
        return [layer for layer in self.layers if isinstance(layer, KANLayer)]


@register(
    "kan",
    "Kolmogorov-Arnold network: a B-spline on every edge, on fine grids",
    [Recipe("muon", 1e-2, 1e-2)],
)
def kan(
    inputs: int,
    outputs: int,
    widths: Sequence[int] = (64, 64, 64),
    grids: Sequence[Levels] = (56, 9, 9, 9),
    order: int = 2,
    noise: float = 0.05,
    frequency: float = 4.5,
) -> KAN:
    """A :class:`KAN` by its inputs and outputs; the defaults are those of the preset smooth at 256 px."""
    return KAN([inputs, *widths, outputs], list(grids), order, noise=noise, frequency=frequency)
