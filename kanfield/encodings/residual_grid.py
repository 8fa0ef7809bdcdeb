"""``ResidualGrid``: what a field leaves of its samples, on one fine grid of B-splines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor, nn

from kanfield.encodings.grid_encoding import GridEncoding

# Against the squares of the samples' B-splines, whose sum is 0.3 to 0.4 for quadratic ones at the middle of
# their cells. Half of it or twice as much changes PSNR on hidden pixels by less than 0.02 dB.
_RIDGE = 1e-2
_TOLERANCE = 1e-4  # of the gradient, relative
_MOST_ITERATIONS = 200


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
            raise ValueError(f"a residual takes B-splines of degree 2 or 3, got {order}")
        vertices = int(np.prod([side + order for side in cells]))
        super().__init__([cells] * channels, 1, max(1, vertices), order, extent, init_scale=0.0)
        self.table.requires_grad_(False)

    @torch.no_grad()
    def solve(self, x: Tensor, residual: Tensor) -> None:
        """Minimise ``sum (grid(x) - residual)^2 + 0.01 sum coefficients^2`` by conjugate gradients.

        Args:
            x: coordinates of all samples, ``(N, 2)``.
            residual: what is left of them, ``(N, channels)``.
        """
        size, right = self.table.numel(), self._transposed(x, residual)
        normal = LinearOperator((size, size), matvec=lambda c: self._normal(x, c), dtype=right.dtype)
        found, _ = cg(normal, right, rtol=_TOLERANCE, maxiter=_MOST_ITERATIONS)
        self.table.copy_(self._shaped(found))

    def _normal(self, x: Tensor, coefficients: NDArray[Any]) -> NDArray[Any]:
        self.table.copy_(self._shaped(coefficients))
        return self._transposed(x, self(x)) + _RIDGE * coefficients

    def _transposed(self, x: Tensor, values: Tensor) -> NDArray[Any]:
        """Products of every coefficient's B-spline with values at all samples."""
        table = nn.Parameter(self.table)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.at(x, table), table, values)
        return gradient.cpu().numpy().ravel()

    def _shaped(self, coefficients: NDArray[Any]) -> Tensor:
        return torch.from_numpy(coefficients.reshape(self.table.shape)).to(self.table)
