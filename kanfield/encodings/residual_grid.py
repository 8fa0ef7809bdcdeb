"""``ResidualGrid``: what a field leaves of its samples, on one fine grid of B-splines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from kanfield.encodings.grid_encode import grid_encode, grid_table
from kanfield.encodings.grid_encoding import GridEncoding

# Against the squares of the samples' B-splines, whose sum is 0.3 to 0.4 for quadratic ones at the middle of
# their cells. Five times as much changed PSNR on hidden pixels by 0.02 dB at most where half or more of
# camera, astronaut and coffee was hidden; a tenth of it, on camera, by 0.01.
_RIDGE = 1e-2
_TOLERANCE = 1e-4  # of the gradient, relative
_MOST_ITERATIONS = 200
_CHUNK = 1 << 20  # samples at a time


class ResidualGrid(GridEncoding):
    """A sum of B-splines for each channel, solved for by ridge regression.

    The smallest coefficients that give back a residual spread it around its sample as far as B-splines reach,
    and are zero beyond: kriging (Gaussian process regression: Rasmussen and Williams, 2006, section 2.2) with
    the B-splines' autocorrelation for the covariance. It is not trained; until :meth:`solve` it is zero.

    Args:
        cells: along x and y.
        channels: of a sample.
        order: degree of the B-splines: 2 or 3, since those of degree 1 at vertices reach no other.
        extent: how far the grid reaches from 0 along x and y.

    Shape:
        - Input: ``(N, 2)``, within the extent.
        - Output: ``(N, channels)``.

    Raises:
        ValueError: an argument is out of its range.

    Examples:
        >>> grid, x = ResidualGrid((8, 8), channels=1), torch.rand(10, 2) * 2 - 1
        >>> values = torch.rand(10, 1)
        >>> grid.solve(x, values)
        >>> torch.allclose(grid(x), values, atol=0.2)
        True
    """

    def __init__(
        self, cells: Sequence[int], channels: int, order: int = 2, extent: Sequence[float] = (1.0, 1.0)
    ) -> None:
        if order < 2:
            raise ValueError(
                f"a residual takes B-splines of degree 2 or 3, got {order}: change it or leave it out"
            )
        vertices = int(np.prod([side + order for side in cells]))
        super().__init__([cells] * channels, 1, max(1, vertices), order, extent, init_scale=0.0)
        self.table.requires_grad_(False)

    @torch.no_grad()
    def solve(self, x: Tensor, residual: Tensor) -> None:
        """Minimise ``sum (grid(x) - residual)^2 + 0.01 sum coefficients^2`` by conjugate gradients.

        A residual that is not finite, of a field that diverged, is left alone.

        Args:
            x: coordinates of all samples, ``(N, 2)``.
            residual: what is left of them, ``(N, channels)``.
        """
        if not bool(residual.isfinite().all()):
            return
        parts = (x / self.extent).split(_CHUNK)
        right = self._transposed(parts, residual.split(_CHUNK))

        def normal(coefficients: NDArray[Any]) -> NDArray[Any]:
            table = self._shaped(coefficients)
            values = (grid_encode(part, table, self.layout, self.order) for part in parts)
            return self._transposed(parts, values) + _RIDGE * coefficients

        operator = LinearOperator((right.size, right.size), matvec=normal, dtype=right.dtype)
        found, _ = cg(operator, right, rtol=_TOLERANCE, maxiter=_MOST_ITERATIONS)
        self.table.copy_(self._shaped(found))

    def _transposed(self, parts: Iterable[Tensor], values: Iterable[Tensor]) -> NDArray[Any]:
        """Products of every coefficient's B-spline with values at all samples."""
        products = torch.zeros_like(self.table)
        for x, g in zip(parts, values, strict=True):
            products += grid_table(x, g.contiguous(), self.layout, len(self.table), self.order, 0, 0)
        return products.cpu().numpy().ravel()

    def _shaped(self, coefficients: NDArray[Any]) -> Tensor:
        return torch.from_numpy(coefficients.reshape(self.table.shape)).to(self.table)
