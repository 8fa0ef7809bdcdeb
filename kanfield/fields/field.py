"""``Field``: what every family of fields derives from, with the hooks that training calls."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn


class Field(nn.Module, abc.ABC):
    """A map from coordinates to values that can be trained.

    A family implements :meth:`forward`. Every hook below has a default that suits a field without special
    needs, so that a family overrides only what it has.

    Attributes:
        backend: what computes the field, as the log and ``metrics.json`` name it: ``"torch"``, or for
            splines and grid encodings ``"native"``, ``"triton"`` or ``"reference"``. Triton's kernels are
            compiled before the training is timed.
        has_residual: whether :meth:`fit_residual` is called at the end of training. Default: False.
        adam_options: keywords for Adam beside its learning rate, such as ``betas`` and ``eps``.

    Shape:
        - Input: ``(N, in_features)``, coordinates in [-1, 1].
        - Output: ``(N, out_features)``, values in [-1, 1] once trained.

    Examples:
        >>> class Constant(Field):
        ...     def __init__(self, in_features, out_features):
        ...         super().__init__()
        ...         self.colour = nn.Parameter(torch.zeros(out_features))
        ...     def forward(self, x):
        ...         return self.colour.expand(len(x), -1)
        >>> import torch
        >>> Constant(2, 3)(torch.rand(10, 2)).shape
        torch.Size([10, 3])
    """

    backend: str = "torch"
    adam_options: Mapping[str, Any] = MappingProxyType({})
    has_residual: bool = False

    @abc.abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the field.

        Args:
            x: coordinates, ``(N, in_features)``, in [-1, 1].

        Returns:
            Values, ``(N, out_features)``.
        """

    def muon_parameters(self) -> list[Tensor]:
        """Parameters that Muon trains, matrices ``(R, C)``; Adam trains the others. Default: none."""
        return []

    def fit_ranges(self, x: Tensor) -> None:
        """Move grids to where the data are. Default: nothing.

        Called every tenth step of the first ``range_steps``.

        Args:
            x: coordinates of a batch, ``(N, in_features)``.
        """

    def smooth_coefficients(self, rate: float) -> None:
        """Diffuse coefficients towards their neighbours' mean. Default: nothing.

        Called every tenth step where the setting ``smoothness`` is above zero.

        Args:
            rate: share of the second difference that is added, 0 to 0.25.
        """

    def fit_residual(self, x: Tensor, values: Tensor) -> None:
        """Fit a part that is not trained to what the others leave of all samples. Default: nothing.

        Called at the end of training where :attr:`has_residual` says so.

        Args:
            x: coordinates, ``(N, in_features)``.
            values: there, ``(N, out_features)``.
        """

    def fraction_outside(self, x: Tensor) -> Tensor:
        """Fraction (0 to 1) of hidden values that leave their grids, a scalar for the log. Default: 0.

        Args:
            x: coordinates, ``(N, in_features)``.
        """
        return x.new_zeros(())


class Wrapped(Field):
    """A plain module as a field, with the hooks of one.

    Args:
        module: from ``(N, in_features)`` to ``(N, out_features)``.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate the module, see :class:`Field`."""
        values: Tensor = self.module(x)
        return values


@contextlib.contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a block: dropout is off, batch norm uses its running statistics.

    Afterwards every part is in the mode that it was in, frozen ones too.

    Args:
        module: the field.

    >>> drop = nn.Dropout()
    >>> with eval_mode(drop):
    ...     drop.training
    False
    >>> drop.training
    True
    """
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def count_parameters(module: nn.Module) -> int:
    """Count the parameters of a field or layer.

    Args:
        module: the field.

    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    return sum(p.numel() for p in module.parameters())
