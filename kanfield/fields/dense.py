"""The skeleton that dense networks share: linear layers with an activation after each but the last."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from kanfield.fields.field import Field


class DenseNetwork(Field):
    """Linear layers, an activation after each, and a linear layer at the end.

    Args:
        in_features: numbers of a coordinate.
        out_features: numbers of a value.
        widths: units of the hidden layers.

    Attributes:
        hidden: the hidden layers.
        last: the layer at the end.

    Raises:
        ValueError: a number is below 1, or there is no hidden layer.
    """

    def __init__(self, in_features: int, out_features: int, widths: Sequence[int]) -> None:
        super().__init__()
        if in_features < 1 or out_features < 1 or not widths or min(widths) < 1:
            raise ValueError(
                f"a network needs units in every layer, got {[in_features, *widths, out_features]}"
            )
        sizes = [in_features, *widths]
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(sizes))
        self.last = nn.Linear(widths[-1], out_features)

    @abc.abstractmethod
    def activate(self, z: Tensor, layer: int) -> Tensor:
        """Apply an activation elementwise.

        Args:
            z: linear part of a hidden layer, ``(*, width)``.
            layer: number of the layer, from 0.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(*, out_features)`` at ``(*, in_features)``."""
        for number, layer in enumerate(self.hidden):
            x = self.activate(layer(x), number)
        y: Tensor = self.last(x)
        return y

    def linear_layers(self) -> list[nn.Linear]:
        """The hidden layers, typed."""
        return [layer for layer in self.hidden if isinstance(layer, nn.Linear)]

    def muon_parameters(self) -> list[Tensor]:
        """Weights between hidden layers; orthogonalised updates of the first layer lose quality."""
        return [layer.weight for layer in self.linear_layers()[1:]]


class EncodedNetwork(Field):
    """A dense network that sees a fixed encoding of the coordinates.

    Attributes:
        network: of the encoding's numbers.
    """

    network: DenseNetwork

    @abc.abstractmethod
    def encode(self, x: Tensor) -> Tensor:
        """What the network sees, ``(*, E)`` numbers at ``(*, in_features)``, without trained parameters."""

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(*, out_features)`` at ``(*, in_features)``."""
        y: Tensor = self.network(self.encode(x))
        return y

    def muon_parameters(self) -> list[Tensor]:
        """Weights between hidden layers, and those on the features."""
        return [self.network.linear_layers()[0].weight, *self.network.muon_parameters()]


def layer_shapes(
    in_features: int, out_features: int, widths: Sequence[int], grids: Sequence[int]
) -> list[tuple[int, int, int]]:
    """Input features, output features and grid size of every layer of a network.

    Raises:
        ValueError: widths and grids do not fit each other, or a number is below 1.

    >>> layer_shapes(2, 3, widths=[16], grids=[32, 8])
    [(2, 16, 32), (16, 3, 8)]
    """
    sizes = [in_features, *widths, out_features]
    if len(grids) != len(sizes) - 1:
        raise ValueError(f"{len(widths)} hidden layers need {len(sizes) - 1} grids, got {len(grids)}")
    if not all(isinstance(grid, int) for grid in grids):
        raise ValueError("nested levels belong to the splines of --model kan: give one grid size a layer")
    if min(*sizes, *grids) < 1:
        raise ValueError(f"every width and grid starts at 1, got {sizes} and {list(grids)}")
    return [(i, o, g) for (i, o), g in zip(itertools.pairwise(sizes), grids, strict=True)]
