"""The Poisson equation with a solution of two frequencies, and the loss and errors of a field for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ENERGY_WEIGHT = 0.01  # of the Ritz energy, beside a weight of 1 for the squares of the two ends


@dataclass(frozen=True)
class Problem:
    """The equation for a frequency w, at equispaced points with the weights of the trapezoidal rule.

    The authors' mean over points with equal weights counts the ends twice as much as the rule does; for these
    periodic integrands the rule is exact to rounding. For even w, u' is zero at the ends, so the penalty
    there does not move the minimiser: u also minimises the discrete loss.

    Attributes:
        w: frequency of the second sine, even.
        count: number of points N.

    >>> problem = Problem(4, 200)
    >>> x = problem.points()
    >>> problem.errors(problem.solution(x), problem.slope(x))
    (0.0, 0.0)
    """

    w: int
    count: int

    def points(self) -> Tensor:
        """Shape ``(N, 1)``, float64, both ends included."""
        return torch.linspace(-1, 1, self.count, dtype=torch.float64)[:, None]

    def weights(self) -> Tensor:
        """Weights of the points in a mean over [-1, 1], float64, shape ``(N, 1)``."""
        weights = torch.full((self.count, 1), 1 / (self.count - 1), dtype=torch.float64)
        weights[[0, -1]] /= 2
        return weights

    def solution(self, x: Tensor) -> Tensor:
        """The exact u at points ``(N, 1)``."""
        return torch.sin(math.pi * x) + torch.sin(self.w * math.pi * x) / self.w

    def slope(self, x: Tensor) -> Tensor:
        """The exact u' at points ``(N, 1)``."""
        return math.pi * (torch.cos(math.pi * x) + torch.cos(self.w * math.pi * x))

    def force(self, x: Tensor) -> Tensor:
        """The right-hand side f at points ``(N, 1)``."""
        return math.pi**2 * (self.w * torch.sin(self.w * math.pi * x) + torch.sin(math.pi * x))

    def loss(self, u: Tensor, slope: Tensor) -> Tensor:
        """Ritz energy and penalty of values and slopes ``(N, 1)`` at the points: a scalar."""
        energy = self.weights() * (slope.square() / 2 - self.force(self.points()) * u)
        return ENERGY_WEIGHT * energy.sum() + u[0, 0].square() + u[-1, 0].square()

    def errors(self, u: Tensor, slope: Tensor) -> tuple[float, float]:
        """Relative errors of values and slopes ``(N, 1)``, in L2 and in the H1 seminorm."""
        x, weights = self.points(), self.weights()
        pairs = ((u, self.solution(x)), (slope, self.slope(x)))
        l2, h1 = (
            float(((weights * (a - b).square()).sum() / (weights * b.square()).sum()).sqrt())
            for a, b in pairs
        )
        return l2, h1


def value_and_slope(field: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Values and derivatives of a field at points, each ``(N, 1)`` and with a graph."""
    x = x.detach().requires_grad_(True)
    u = field(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    return u, slope
