"""The skeleton that dense networks share: linear layers with an activation after each but the last."""

from __future__ import annotations

import abc
import itertools
from collections.abc import Sequence

from torch import Tensor, nn


class DenseNetwork(nn.Module, abc.ABC):
    """Linear layers, an activation after each, and a linear layer at the end.

    Args:
        inputs, outputs: numbers of both. widths: units of the hidden layers.

    Attributes:
        hidden: the hidden layers. last: the layer at the end.

    Raises:
        ValueError: a number is below 1, or there is no hidden layer.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        if inputs < 1 or outputs < 1 or not widths or min(widths) < 1:
            raise ValueError(f"a network needs units in every layer, got {inputs}, {list(widths)}, {outputs}")
        sizes = [inputs, *widths]
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(sizes))
        self.last = nn.Linear(widths[-1], outputs)

    @abc.abstractmethod
    def activate(self, z: Tensor, layer: int) -> Tensor:
        """What hidden layer number ``layer`` makes of its linear part, shape for shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(*, outputs)`` at ``(*, inputs)``."""
        for number, layer in enumerate(self.hidden):
            x = self.activate(layer(x), number)
        y: Tensor = self.last(x)
        return y

    def linear_layers(self) -> list[nn.Linear]:
        """The hidden layers, as what they are."""
        return [layer for layer in self.hidden if isinstance(layer, nn.Linear)]

    def matrices(self) -> list[Tensor]:
        """What Muon trains: weights between hidden layers. On coordinates orthogonalisation loses."""
        return [layer.weight for layer in self.linear_layers()[1:]]
