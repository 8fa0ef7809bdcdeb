"""Training a KAN on one grid after another, from coarse to fine, on all samples at once."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from kanfield.fields.kan import KAN
from kanfield.full_batch import minimize
from kanfield.studies.common.whitening import whitening


def train_with_moving_grids(
    field: KAN, x: Tensor, loss: Callable[[], Tensor], rounds: int, steps: int
) -> None:
    """Short trainings, before each of which the hidden grids move to where the data now lead.

    Args:
        field: the KAN, trained in place.
        x: coordinates of the samples, shape ``(N, d)``.
        loss: computes the loss, a scalar with a graph.
        rounds: number of trainings.
        steps: iterations of L-BFGS in each.
    """
    for _ in range(rounds):
        field.fit_ranges(x)
        minimize(field.parameters(), loss, steps)


def train_on_grid(
    field: KAN, size: int, x: Tensor, loss: Callable[[], Tensor], steps: int, margin: float = 0.05
) -> None:
    """Move the field to another grid, which keeps its function, and train it there with whitening.

    Args:
        field: the KAN, trained in place.
        size: cells of every layer's new grid.
        x: coordinates of the samples, shape ``(N, d)``.
        loss: computes the loss, a scalar with a graph.
        steps: iterations of L-BFGS.
        margin: how far hidden grids go past the data on either side, as a fraction of their width.
    """
    field.fit_ranges(x, margin)
    field.extend(size)
    with whitening(field):
        minimize(field.parameters(), loss, steps)
