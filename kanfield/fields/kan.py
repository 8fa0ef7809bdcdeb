"""The KAN field: KAN layers one after another, on coordinates or on features of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kanfield.encodings import GridEncoding, ResidualGrid
from kanfield.fields.field import Field
from kanfield.fields.kan_layer import KANLayer, Levels
from kanfield.fields.registry import Recipe, register, resize_widths
from kanfield.splines import choose_backend

# Entries that few pixels touch have tiny gradients; Instant NGP's settings let Adam follow them.
GRID_ADAM: Mapping[str, Any] = {"betas": (0.9, 0.99), "eps": 1e-15}
_LEAST_REACH = 0.5  # of the layers' grids, where what reaches them starts at features near zero
_SHRINK = 20.0  # a pull on features that bridges gaps as well as one on coefficients does
_CHUNK = 1 << 16  # samples evaluated at a time
MAX_HIDDEN_GRID = 2_000  # moving a grid costs a least-squares problem of its size


def resize(options: dict[str, Any], factor: float) -> dict[str, Any]:
    """Options of a field with ``factor`` times the parameters: of entries where it has grids, else of units.

    The residual's grid has as many vertices as the image has pixels, and is left out at any other size.

    >>> resize({"resolutions": [[8, 8]], "entries": 60, "widths": [24]}, 0.5)
    {'resolutions': [[8, 8]], 'entries': 30, 'widths': [24]}
    """
    options = {**options, "residual": ()} if factor != 1 and options.get("residual") else options
    if options.get("resolutions"):
        return {**options, "entries": max(1, round(options["entries"] * factor))}
    return resize_widths(options, factor)


@register(
    "kan",
    "Kolmogorov-Arnold network: a B-spline on every edge, on fine grids; presets choose its options",
    [Recipe("muon", 1e-2, 5e-3), Recipe("adam", 3e-3)],
    resize=resize,
)
class KAN(Field):
    """Kolmogorov-Arnold network with B-spline edges (arXiv:2404.19756), from coordinates to values.

    Its layers see the coordinates themselves, or one of three encodings of them (:attr:`encoding`):

    - ``"directions"``: coordinates along several directions of the plane. Sums of functions along many
      directions (projection pursuit: Friedman and Stuetzle, 1981) follow slanted edges that sums along two
      axes can only build in deeper layers.
    - ``"grid"``: features on local 2-D grids of several resolutions
      (:class:`kanfield.encodings.GridEncoding`), trained together with the layers.
    - ``"both"``: the first layer sees directions, the second its outputs and the grids' features.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers; none for a single layer.
        grids: grid size (cells) of every layer, one more than ``widths``; an int serves all layers, a list
            inside the list gives nested levels (see :class:`KANLayer`).
        order: polynomial degree of the splines, 1 to 5. The KAN literature calls it the order.
        base: the branch beside the splines, ``"silu"`` or None.
        init_noise: standard deviation of the initial splines (see :class:`KANLayer`): the smaller, the
            smoother the start.
        init_frequency: standard deviation of the cycles of the initial sine waves over the first layer's
            grids: the larger, the sooner fine detail is fitted, and the less true the field is between the
            pixels. For layers that see coordinates or directions.
        init_slope: size of the straight lines in fresh splines (see :class:`KANLayer`), for layers that see
            no coordinates.
        num_directions: directions that the first layer sees, spread evenly over half a turn; 0 for none.
        resolutions: cells along x and y of every level of the 2-D grids; none for no grids.
        features: of a level: 1, 2, 4 or 8.
        entries: of a level's table, at most; a level with more vertices is hashed.
        interpolation: degree of the B-splines between the grids' vertices: 1 (bilinear), 2 or 3 (smooth).
        extent: how far the grids reach along x and y.
        residual: cells along x and y of a :class:`kanfield.encodings.ResidualGrid`, which is added to the
            layers' outputs and takes up what training leaves of the samples; none for no such grid.
        precision: of all layers' products (see :class:`KANLayer`).

    Shape:
        - Input: ``(*, in_features)``; grids of layers that see coordinates span [-1, 1], or along a direction
          its part of the square.
        - Output: ``(*, out_features)``.

    Raises:
        ValueError: widths and grids do not fit each other, or an encoding is asked for outside the plane.

    Examples:
        >>> field = KAN(2, 3, widths=[16, 16], grids=[100, 10, [5, 20]])
        >>> field(torch.rand(64, 2) * 2 - 1).shape
        torch.Size([64, 3])
        >>> KAN(2, 3, widths=[24], grids=8, resolutions=[(16, 16), (32, 32)], entries=500).encoding
        'grid'
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
        init_slope: float = 0.0,
        num_directions: int = 0,
        resolutions: Sequence[Sequence[int]] = (),
        features: int = 2,
        entries: int = 1 << 14,
        interpolation: int = 1,
        extent: Sequence[float] = (1.0, 1.0),
        residual: Sequence[int] = (),
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        sizes = [grids] * (len(widths) + 1) if isinstance(grids, int) else list(grids)
        _check(
            in_features,
            len(widths),
            sizes,
            (init_noise, init_frequency, init_slope),
            num_directions,
            resolutions,
            residual,
        )
        self.register_buffer("axes", _axes(num_directions) if num_directions else None, persistent=False)
        self.grid = (
            GridEncoding(resolutions, features, entries, interpolation, extent) if resolutions else None
        )
        inputs = [num_directions or in_features, *widths]
        if self.grid is not None:
            inputs[1 if num_directions else 0] = self.grid.out_features + (widths[0] if num_directions else 0)
            self.adam_options = GRID_ADAM
        outputs = [*widths, out_features]
        fixed = 0 if self.encoding == "grid" else 1  # the layers whose grids do not follow the data
        self.layers = nn.ModuleList(
            KANLayer(
                *(i, o, size, order, base, init_noise),
                init_frequency=init_frequency if number < fixed else 0.0,
                init_slope=init_slope if number >= fixed else 0.0,
                precision=precision,
            )
            for number, (i, o, size) in enumerate(zip(inputs, outputs, sizes, strict=True))
        )
        self._span_square()
        self.residual = ResidualGrid(residual, out_features, interpolation, extent) if residual else None

    @property
    def has_residual(self) -> bool:  # type: ignore[override]
        """Whether it has a grid that is fitted at the end of training."""
        return self.residual is not None

    @property
    def encoding(self) -> str:
        """What the layers see: ``"none"`` (coordinates), ``"directions"``, ``"grid"`` or ``"both"``."""
        directions = "directions" if self.axes is not None else "none"
        if self.grid is None:
            return directions
        return "grid" if self.axes is None else "both"

    @property
    def backend(self) -> str:  # type: ignore[override]
        """What computes its splines: ``"native"``, ``"triton"`` or ``"reference"``."""
        first = self._kan_layers()[0]
        return choose_backend(first.coef, first.precision)

    def reset_parameters(self) -> None:
        """Draw fresh parameters in every layer, and fresh features."""
        if self.grid is not None:
            self.grid.reset_parameters()
        for layer in self._kan_layers():
            layer.reset_parameters()
        if self.residual is not None:
            self.residual.reset_parameters()
        self._span_square()

    @torch.no_grad()
    def _span_square(self) -> None:
        """Let the first grids reach from corner to corner of the square [-1, 1]^2 along their directions."""
        if self.axes is not None:
            first, reach = self._kan_layers()[0], self.axes.abs().sum(0)
            first.lower.copy_(-reach)
            first.upper.copy_(reach)

    def _hidden_inputs(self, x: Tensor) -> Tensor:
        """What reaches the first of :meth:`_following_layers`."""
        if self.grid is None:
            return self._first_output(x)
        features = self.grid(x.reshape(-1, 2)).unflatten(0, x.shape[:-1])
        return features if self.axes is None else torch.cat([self._first_output(x), features], -1)

    def _first_output(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers[0](x if self.axes is None else x @ self.axes)
        return y

    def _following_layers(self) -> list[KANLayer]:
        """The layers whose grids follow what reaches them: all but one that sees coordinates."""
        return self._kan_layers()[0 if self.encoding == "grid" else 1 :]

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the field.

        Args:
            x: coordinates, ``(*, in_features)``.

        Returns:
            Values, ``(*, out_features)``.
        """
        y = self._hidden_inputs(x)
        for layer in self._following_layers():
            y = layer(y)
        if self.residual is not None:
            y = y + self.residual(x.reshape(-1, 2)).unflatten(0, x.shape[:-1])
        return y

    def muon_parameters(self) -> list[Tensor]:
        """Coefficients of hidden layers, at every level."""
        hidden = self._following_layers()[:-1]
        return [coef for layer in hidden for coef in (layer.coef, *layer.coarse_coef)]

    @torch.no_grad()
    def fit_ranges(self, x: Tensor, margin: float = 0.05) -> None:
        """Move the grids of all layers that see no coordinates to the range of what reaches them.

        Args:
            x: coordinates, ``(N, in_features)``.
            margin: how far a range goes past the data on either side, as a fraction of its width.
        """
        x = self._hidden_inputs(x)
        for layer in self._following_layers():
            low, high = x.amin(0), x.amax(0)
            if self.grid is not None:  # a step of the optimiser, at its rate, must not leave a feature's cell
                low, high = low.clamp_max(-_LEAST_REACH), high.clamp_min(_LEAST_REACH)
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
        fractions = []
        x = self._hidden_inputs(x)
        for layer in self._following_layers():
            fractions.append(layer.fraction_outside(x))
            x = layer(x)
        return torch.stack(fractions).mean() if fractions else x.new_zeros(())

    def smooth_coefficients(self, rate: float) -> None:
        """Diffuse the coefficients of every layer, or on grids pull features of fine levels towards zero.

        See :meth:`KANLayer.smooth_coefficients` and :meth:`GridEncoding.shrink`.
        """
        if self.grid is not None:
            self.grid.shrink(_SHRINK * rate)
            return
        for layer in self._kan_layers():
            layer.smooth_coefficients(rate)

    @torch.no_grad()
    def fit_residual(self, x: Tensor, values: Tensor) -> None:
        """Solve for the residual's grid; see :class:`kanfield.encodings.ResidualGrid`.

        Args:
            x: coordinates of all samples, ``(N, 2)``.
            values: there, ``(N, out_features)``.
        """
        if self.residual is not None:
            self.residual.reset_parameters()
            left = values - torch.cat([self(part) for part in x.split(_CHUNK)])
            self.residual.solve(x, left)

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


def _check(
    in_features: int,
    hidden_layers: int,
    sizes: Sequence[Levels],
    spreads: tuple[float, float, float],
    num_directions: int,
    resolutions: Sequence[Sequence[int]],
    residual: Sequence[int],
) -> None:
    if len(sizes) != hidden_layers + 1:
        raise ValueError(f"{hidden_layers} widths need {hidden_layers + 1} grids, got {len(sizes)}")
    # The grids of these move with their inputs, by a least-squares problem in all of their cells.
    moving = sizes[0 if resolutions and not num_directions else 1 :]
    finest = [max([size] if isinstance(size, int) else size, default=0) for size in moving]
    if max(finest, default=0) > MAX_HIDDEN_GRID:
        raise ValueError(
            f"grids of layers that see no coordinates take up to {MAX_HIDDEN_GRID} cells, got {max(finest)}"
        )
    for name, value in zip(("init_noise", "init_frequency", "init_slope"), spreads, strict=True):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is finite and 0 or more, got {value}")
    if num_directions < 0 or (num_directions and in_features != 2):
        raise ValueError(
            f"num_directions is 0 or more, and 0 unless there are 2 inputs, got {num_directions}"
        )
    if (resolutions or residual) and in_features != 2:
        name = "resolutions" if resolutions else "residual"
        raise ValueError(f"{name}: grids are of the plane, which has 2 inputs, not {in_features}")
    if resolutions and num_directions and not hidden_layers:
        raise ValueError("directions beside grids need a hidden layer; give widths")


def _axes(num_directions: int) -> Tensor:
    """Unit vectors over half a turn, the first along x: shape ``(2, num_directions)``."""
    angles = torch.arange(num_directions) * (torch.pi / num_directions)
    return torch.stack([angles.cos(), angles.sin()])
