"""Five toy functions with KANs that can represent them (arXiv:2404.19756, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Toy:
    """A function on [-1, 1]^d.

    Attributes:
        formula: in words for figures and tables.
        shape: units of the KAN that can represent it, from inputs to output.
        decade: lowest and highest grid size between which the slope is measured, from where the grid resolves
            the function.
        function: maps points ``(N, d)`` to values ``(N, 1)``.
    """

    formula: str
    shape: tuple[int, ...]
    decade: tuple[int, int]
    function: Callable[[Tensor], Tensor]

    @property
    def inputs(self) -> int:
        """The dimension d."""
        return self.shape[0]

    def samples(self, count: int, seed: int) -> tuple[Tensor, Tensor]:
        """Uniform points ``(count, d)`` in [-1, 1]^d and values ``(count, 1)``, float64."""
        generator = torch.Generator().manual_seed(seed)
        x = 2 * torch.rand(count, self.inputs, dtype=torch.float64, generator=generator) - 1
        return x, self.function(x)


def _pairs(x: Tensor) -> Tensor:
    squares = x.square()
    return torch.sin(math.pi * (squares[:, :2].sum(1))) + torch.sin(math.pi * squares[:, 2:].sum(1))


TOYS = {
    "bessel": Toy("J0(20 x)", (1, 1), (50, 500), lambda x: torch.special.bessel_j0(20 * x)),
    "exp-sin": Toy(
        "exp(sin(pi x) + y^2)",
        (2, 1, 1),
        (5, 50),
        lambda x: torch.exp(torch.sin(math.pi * x[:, :1]) + x[:, 1:].square()),
    ),
    "product": Toy("x y", (2, 2, 1), (5, 50), lambda x: x[:, :1] * x[:, 1:]),
    "exp-100": Toy(
        "exp(mean of 100 sin^2(pi x_i / 2))",
        (100, 1, 1),
        (5, 50),
        lambda x: torch.exp(torch.sin(math.pi / 2 * x).square().mean(1, keepdim=True)),
    ),
    "nested": Toy(
        "exp((sin(pi (x1^2 + x2^2)) + sin(pi (x3^2 + x4^2))) / 2)",
        (4, 4, 2, 1),
        (5, 50),
        lambda x: torch.exp(_pairs(x)[:, None] / 2),
    ),
}
