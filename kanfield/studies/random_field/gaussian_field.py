"""Gaussian random fields on [-1, 1]^d by a truncated Karhunen-Loeve expansion."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

_NODES = 96  # of the quadrature along an axis
_KEPT = 0.1  # of the largest eigenvalue: smaller ones are left out, as in arXiv:2410.01803


class GaussianField:
    """A random function with covariance ``exp(-|x - y|^2 / (2 sigma^2))``, without its small modes.

    Modes whose eigenvalue is at most a tenth of the largest are left out, which smooths the function: its
    covariance is the kernel's only as far as ``variance`` is near 1.

    The kernel is a product over axes, so its eigenfunctions on the cube are products of those on one axis,
    which the Nystrom method gives from their values at Gauss-Legendre nodes.

    Args:
        dimension: d.
        sigma: length scale, in units of the cube's half side.
        seed: of the coefficients.

    Attributes:
        modes: for every mode, the numbers of its eigenfunctions along the axes, in a tuple.
        variance: of the function, mean over the cube; with all modes it would be 1.

    >>> GaussianField(2, 0.5, seed=0)(torch.zeros(3, 2, dtype=torch.float64)).shape
    torch.Size([3, 1])
    """

    def __init__(self, dimension: int, sigma: float, seed: int) -> None:
        self.dimension, self.sigma = dimension, sigma
        nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(_NODES))
        roots = weights.sqrt()
        values, vectors = torch.linalg.eigh(roots[:, None] * self._kernel(nodes, nodes) * roots)
        values, vectors = values.flip(0), vectors.flip(1)
        count = int((values > _KEPT * values[0]).sum())
        products = itertools.product(range(count), repeat=dimension)
        sizes = {modes: math.prod(float(values[m]) for m in modes) for modes in products}
        largest = float(values[0]) ** dimension
        kept = (modes for modes, size in sizes.items() if size > _KEPT * largest)
        self.modes = sorted(kept, key=lambda modes: -sizes[modes])
        self.variance = sum(sizes[m] for m in self.modes) / 2**dimension
        self._nodes = nodes
        # From kernel values between points and nodes to the eigenfunctions at the points.
        self._extension = roots[:, None] * vectors[:, :count] / values[:count]
        generator = torch.Generator().manual_seed(seed)
        normal = torch.randn(len(self.modes), dtype=torch.float64, generator=generator)
        self._factors = normal * torch.tensor([sizes[m] for m in self.modes], dtype=torch.float64).sqrt()

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-(a[:, None] - b).square() / (2 * self.sigma**2))

    def __call__(self, x: Tensor) -> Tensor:
        """Values ``(N, 1)`` at points ``(N, d)``, float64."""
        axes = [
            self._kernel(x[:, i].contiguous(), self._nodes) @ self._extension for i in range(self.dimension)
        ]
        numbers = torch.tensor(self.modes)
        total = torch.zeros(len(x), 1, dtype=torch.float64)
        for part in torch.split(torch.arange(len(self.modes)), 256):
            modes = torch.ones(len(x), len(part), dtype=torch.float64)
            for i, functions in enumerate(axes):
                modes = modes * functions[:, numbers[part, i]]
            total += modes @ self._factors[part, None]
        return total
