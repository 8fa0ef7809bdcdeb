"""WIRE: complex Gabor wavelets as activations (Saragadam et al., 2023, arXiv:2301.05187)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kanfield.fields.field import Field
from kanfield.fields.registry import Recipe, register, resize_widths


class ComplexLinear(nn.Module):
    """A linear layer of complex numbers, its real and imaginary parts kept as real parameters.

    So it is cast, saved and optimised like any other layer. Both parts start as torch's linear layers do.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.

    >>> ComplexLinear(2, 5)(torch.randn(10, 2, dtype=torch.cfloat)).dtype
    torch.complex64
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.real = nn.Linear(in_features, out_features)
        self.imaginary = nn.Linear(in_features, out_features)

    def forward(self, x: Tensor) -> Tensor:
        """Complex ``(*, out_features)`` of complex ``(*, in_features)``."""
        real, imaginary = self.real.weight, self.imaginary.weight
        # In real numbers: torch cannot differentiate products of complex ones sample by sample, as PDEs ask.
        weight = torch.cat([torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)])
        parts = torch.cat([x.real, x.imag], -1)
        y = nn.functional.linear(parts, weight, torch.cat([self.real.bias, self.imaginary.bias]))
        return torch.complex(*y.chunk(2, -1))


@register(
    "wire",
    "complex Gabor wavelets (Saragadam et al., 2023)",
    [Recipe("adam", 5e-3)],
    resize=resize_widths,
)
class Wire(Field):
    """Layers ``exp(i omega_0 z - |scale z|^2)`` with complex ``z = W x + b``; values are the last real part.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: complex units of the hidden layers; a weight between them counts as two parameters.
        omega_0: frequency of the wavelets.
        scale: inverse of their width; the authors take 20 and 10 to 30
            for images.

    Raises:
        ValueError: omega_0 or scale is not above zero, or a width is below 1.

    >>> Wire(2, 3, widths=[16, 16])(torch.rand(10, 2)).shape
    torch.Size([10, 3])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        widths: Sequence[int] = (90, 90, 90),
        omega_0: float = 20.0,
        scale: float = 10.0,
    ) -> None:
        super().__init__()
        if not (omega_0 > 0 and scale > 0):
            raise ValueError(f"omega_0 and scale must be above zero, got {omega_0} and {scale}")
        if in_features < 1 or out_features < 1 or not widths or min(widths) < 1:
            raise ValueError(
                f"a network needs units in every layer, got {[in_features, *widths, out_features]}"
            )
        self.omega_0, self.scale = omega_0, scale
        self.first = nn.Linear(
            in_features, widths[0]
        )  # coordinates are real, and so is what it makes of them
        sizes = [*widths, out_features]
        self.others = nn.ModuleList(ComplexLinear(i, o) for i, o in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(*, out_features)`` at ``(*, in_features)``."""
        z = self.first(x)
        for layer in self.others:
            z = layer(torch.exp(1j * self.omega_0 * z - (self.scale * z.abs()).square()))
        values: Tensor = z.real
        return values

    def muon_parameters(self) -> list[Tensor]:
        """Both parts of the weights between hidden layers."""
        hidden = [layer for layer in self.others if isinstance(layer, ComplexLinear)][:-1]
        return [part.weight for layer in hidden for part in (layer.real, layer.imaginary)]
