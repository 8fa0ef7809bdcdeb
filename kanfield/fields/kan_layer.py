"""A KAN layer: a B-spline with its own coefficients on every edge (arXiv:2404.19756)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kanfield.splines import ORDERS, PRECISIONS, Grid, refine, refit, spline, spline_and_silu
from kanfield.splines.refine import apply_two_scale, two_scale_matrix

Levels = int | Sequence[int]

WAVE_SPREAD = 0.5  # standard deviation of the sum of all inputs' waves

# What optimisers call their moments, and the power of 1/factor by which refinement scales each:
# gradients live in the dual space, so they shrink as every coefficient is shared out among finer ones.
_MOMENTS = {"momentum_buffer": 1, "exp_avg": 1, "exp_avg_sq": 2, "max_exp_avg_sq": 2}


class KANLayer(nn.Module):
    """``y = spline(x) + base(x) @ base_weight``, a learnable spline on each of its edges.

    The cost of a sample does not depend on the grid size: a cubic spline touches 4 coefficients per edge
    whether its grid has 5 cells or 500. Outside its range a spline continues linearly.

    Args:
        in_features: number of inputs ``I``.
        out_features: number of outputs ``O``.
        grid_size: cells ``G`` of every input's grid; or several sizes, each dividing the largest, for nested
            levels: the layer is the sum of splines at all of them, merged before it is evaluated.
        order: polynomial degree k, 1 to 5.
        base: the smooth branch beside the splines, ``"silu"`` or None for none.
        init_noise: spread of a fresh layer's splines: coefficients are drawn with this over the square
            root of the number of splines that are summed.
        init_frequency: for layers that see coordinates: fresh splines also hold a sine wave each, of random
            phase and a random number of cycles over [-1, 1] with this standard deviation. As with Fourier
            features (arXiv:2006.10739) it sets how fine the details are that training starts from.
        init_slope: fresh splines also hold a straight line each, whose slope has this standard deviation over
            the square root of the number of inputs, as weights of a linear layer; of use without a base.
        precision: of products with coefficients and gradients, ``"fp32"``, ``"tf32x3"``, ``"tf32"`` or
            ``"bf16"``, see :mod:`kanfield.splines.precision`; parameters are float32 all the same.

    Attributes:
        coef: coefficients at the finest level, shape ``(I * (G + k), O)``.
        coarse_coef: those of the coarser levels, fine to coarse, each ``(I * (G_l + k), O)``.
        base_weight: shape ``(I, O)``, or None.
        lower, upper: the grids' ranges, shape ``(I,)``; buffers, [-1, 1] in a fresh layer.

    Shape:
        - Input: ``(*, I)``.
        - Output: ``(*, O)``.

    Raises:
        ValueError: sizes, order, base or precision are out of their range.

    Examples:
        >>> layer = KANLayer(2, 5, grid_size=10)
        >>> layer(torch.randn(128, 2)).shape
        torch.Size([128, 5])
    """

    lower: Tensor
    upper: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        grid_size: Levels = 10,
        order: int = 3,
        base: str | None = "silu",
        init_noise: float = 0.05,
        init_frequency: float = 0.0,
        init_slope: float = 0.0,
        precision: str = "fp32",
    ) -> None:
        super().__init__()
        levels = sorted({grid_size} if isinstance(grid_size, int) else set(grid_size), reverse=True)
        if in_features < 1 or out_features < 1:
            raise ValueError(f"a layer needs inputs and outputs, got {in_features} -> {out_features}")
        if not levels or levels[-1] < 1 or any(levels[0] % size for size in levels):
            raise ValueError(f"grid sizes must be at least 1 and divide the largest, got {grid_size}")
        if order not in ORDERS:
            raise ValueError(f"spline order {order} is not one of {ORDERS}")
        if precision not in PRECISIONS:
            raise ValueError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
        if base not in ("silu", None):
            raise ValueError(f"base {base!r} is not 'silu' or None")
        self.in_features, self.out_features = in_features, out_features
        self.levels, self.order, self.base = levels, order, base
        self.init_noise, self.init_frequency, self.init_slope = init_noise, init_frequency, init_slope
        self.precision = precision
        self.coef = nn.Parameter(torch.empty(in_features * (levels[0] + order), out_features))
        self.coarse_coef = nn.ParameterList(
            torch.empty(in_features * (size + order), out_features) for size in levels[1:]
        )
        self.base_weight = nn.Parameter(torch.empty(in_features, out_features)) if base else None
        self._register_subdivisions()
        self.register_buffer("lower", torch.empty(in_features))
        self.register_buffer("upper", torch.empty(in_features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh parameters and reset the ranges to [-1, 1]."""
        for coef in (self.coef, *self.coarse_coef):
            nn.init.normal_(coef, std=self.init_noise / (self.in_features * len(self.levels)) ** 0.5)
        with torch.no_grad():
            if self.init_frequency:
                self.coef.add_(self._waves())
            if self.init_slope:
                self.coef.add_(self._lines())
        if self.base_weight is not None:
            nn.init.normal_(self.base_weight, std=self.in_features**-0.5)
        self.lower.fill_(-1.0)
        self.upper.fill_(1.0)

    def _waves(self) -> Tensor:
        """Coefficients (I * K, O) that hold a random sine wave on every edge."""
        shape = (self.in_features, 1, self.out_features)
        cycles, phase = self.init_frequency * torch.randn(shape), 2 * torch.pi * torch.rand(shape)
        amplitude = WAVE_SPREAD * (2 / self.in_features) ** 0.5
        waves: Tensor = amplitude * torch.sin(torch.pi * cycles * self._centres() + phase)
        return waves.reshape(-1, self.out_features).to(self.coef)

    def _lines(self) -> Tensor:
        """Coefficients (I * K, O) that hold a straight line of random slope on every edge."""
        slopes = torch.randn(self.in_features, 1, self.out_features) * self.init_slope / self.in_features**0.5
        lines: Tensor = slopes * self._centres()
        return lines.reshape(-1, self.out_features).to(self.coef)

    def _centres(self) -> Tensor:
        """Where each coefficient's spline is centred (its Greville point), in [-1, 1] and a little beyond."""
        rows = torch.arange(self.grid_size + self.order)
        return (2 * (rows - (self.order - 1) / 2) / self.grid_size - 1)[:, None]

    @property
    def grid_size(self) -> int:
        """Cells of the finest level."""
        return self.levels[0]

    @property
    def grid(self) -> Grid:
        """The finest grid, as the spline operator takes it."""
        return Grid(self.lower, self.upper, self.grid_size)

    def merged_coef(self) -> Tensor:
        """Coefficients of the sum over all levels on the finest grid, shape ``(I * (G + k), O)``."""
        total: Tensor = self.coef
        for number, coef in enumerate(self.coarse_coef):
            factor = self.grid_size // self.levels[number + 1]
            matrix = getattr(self, f"subdivision_{number}").to(coef) / factor**self.order
            total = total + apply_two_scale(matrix, coef)
        return total

    def _register_subdivisions(self) -> None:
        """Buffers with the two-scale matrix from every coarse level to the finest, shape (K, K_l).

        Times factor^order its entries are whole numbers, which no change of precision rounds.
        """
        for number, size in enumerate(self.levels[1:]):
            factor = self.grid_size // size
            matrix = two_scale_matrix(size, factor, self.order) * factor**self.order
            mask = matrix.round().to(torch.int64).to(self.coef.device)
            self.register_buffer(f"subdivision_{number}", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the layer; see the class for shapes."""
        if x.shape[-1] != self.in_features:
            raise ValueError(f"the layer takes inputs (*, {self.in_features}), got {tuple(x.shape)}")
        flat = x.reshape(-1, self.in_features)
        if self.base_weight is None:
            y = spline(flat, self.merged_coef(), self.grid, self.order, precision=self.precision)
        else:
            coef, base = self.merged_coef(), self.base_weight
            y = spline_and_silu(flat, coef, base, self.grid, self.order, self.precision)
        return y.reshape(*x.shape[:-1], self.out_features)

    @torch.no_grad()
    def refine(self, factor: int, optimizers: Iterable[Optimizer] = ()) -> None:
        """Refine the finest grid (grid extension) without changing the function.

        Parameters stay the same objects with new data, so optimisers keep hold of them.

        Args:
            factor: whole number of new cells in an old one.
            optimizers: those whose moments of ``coef`` are carried over (Muon, Adam and their kin).

        Raises:
            ValueError: factor is not a positive whole number.
        """
        if factor < 1 or factor != int(factor):
            raise ValueError(f"factor must be a positive whole number, got {factor}")
        size, rows = self.grid_size, self.coef.shape[0]
        finer_coef = refine(self.coef.data, size, int(factor), self.order)
        for optimizer in optimizers:
            state = optimizer.state.get(self.coef, {})
            for name, moment in state.items():
                if isinstance(moment, Tensor) and moment.ndim == 2 and moment.shape[0] == rows:
                    finer = refine(moment, size, factor, self.order)
                    state[name] = finer / factor ** _MOMENTS.get(name, 1)
        self._replace_coef(finer_coef, int(factor) * size)

    @torch.no_grad()
    def extend(self, size: int) -> None:
        """Move to a grid of ``size`` cells over the same range (grid extension, arXiv:2404.19756, eq. 2.16).

        Exact where that is a multiple of the old one, else by least squares on each spline.

        Moments of optimisers do not follow: use it between two trainings.

        Raises:
            ValueError: the layer has nested levels, or size is below 1.
        """
        if len(self.levels) > 1 or size < 1:
            raise ValueError(f"a layer of one level extends to 1 cell or more, got {self.levels} to {size}")
        if size % self.grid_size == 0:
            self.refine(size // self.grid_size)
            return
        new = Grid(self.lower, self.upper, size)
        self._replace_coef(refit(self.coef, self.grid, new, self.order), size)

    def _replace_coef(self, coef: Tensor, size: int) -> None:
        """Give the finest level other data of another shape; the parameter stays the same object."""
        # A new shape alone would keep the node that accumulates gradients of the old one.
        other = torch.float16 if coef.dtype != torch.float16 else torch.float32
        self.coef.data = torch.empty(0, dtype=other, device=coef.device)
        self.coef.data = coef
        self.coef.grad = None
        self.levels = [size, *self.levels[1:]]
        self._register_subdivisions()

    @torch.no_grad()
    def set_range(self, lower: Tensor, upper: Tensor) -> None:
        """Move the grids to new ranges, shape ``(I,)`` each, refitting every level to the old function.

        The optimisers' moments are left as they are: they belong to coefficients that have moved by a
        fraction of a cell, and decay within some steps.

        Raises:
            ValueError: a range is empty or not finite.
        """
        if not bool(torch.isfinite(lower).all() & torch.isfinite(upper).all() & (lower < upper).all()):
            raise ValueError("every range needs finite borders, the lower below the upper")
        self.move_range(lower, upper)

    @torch.no_grad()
    def move_range(self, lower: Tensor, upper: Tensor) -> None:
        """As :meth:`set_range` without waiting for the device: a range that cannot be is left as it was."""
        fine = torch.isfinite(lower) & torch.isfinite(upper) & (lower < upper)
        lower, upper = torch.where(fine, lower, self.lower), torch.where(fine, upper, self.upper)
        for size, coef in zip(self.levels, (self.coef, *self.coarse_coef), strict=True):
            old = Grid(self.lower, self.upper, size)
            coef.copy_(refit(coef, old, Grid(lower.to(coef), upper.to(coef), size), self.order))
        self.lower.copy_(lower)
        self.upper.copy_(upper)

    @torch.no_grad()
    def smooth_coefficients(self, rate: float) -> None:
        """Diffuse every coefficient of the finest level towards the mean of its two neighbours.

        Args:
            rate: share of the second difference that is added, 0 to 0.25. Up to there the finest ripple
                decays without a change of sign; beyond 0.5 it would grow.
        """
        rows = self.coef.view(self.in_features, -1, self.out_features)
        rows[:, 1:-1] += rate * (rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2])

    def fraction_outside(self, x: Tensor) -> Tensor:
        """Fraction (0 to 1) of the numbers in ``x``, shape ``(*, I)``, that lie outside their grids."""
        return ((x < self.lower) | (x > self.upper)).float().mean()

    def extra_repr(self) -> str:
        """The layer's settings, as ``print`` shows them."""
        sizes = self.levels[0] if len(self.levels) == 1 else self.levels[::-1]
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, grid_size={sizes}, "
            f"order={self.order}, base={self.base!r}"
        )
