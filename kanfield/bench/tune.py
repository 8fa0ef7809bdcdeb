"""Which way of the Triton kernels is the faster, dense or gathering: measured on a card, and kept for it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kanfield.bench.clock import Effort, Run, interleaved
from kanfield.errors import InputError
from kanfield.splines import ORDERS, PRECISIONS
from kanfield.splines.backend import triton_unavailable
from kanfield.splines.triton.choice import WAYS, Case, Measured, force_way

PRIMITIVES = ("synthesis", "projection", "analysis")


@dataclass(frozen=True)
class Sizes:
    """What is measured.

    Attributes:
        grids: cells G. outputs: O of a layer. orders: k. precisions: of the products.
        samples: N. inputs: I of a layer.
    """

    grids: Sequence[int] = (4, 12, 28, 60, 124, 250, 500)
    outputs: Sequence[int] = (1, 16, 64, 128)
    orders: Sequence[int] = ORDERS
    precisions: Sequence[str] = PRECISIONS
    samples: int = 16384
    inputs: int = 64


# Hundreds of cases: a coarse clock will do for a choice between two.
EFFORT = Effort(7, 0.003)
QUICK_SIZES = Sizes(grids=(12, 60, 250), outputs=(64,), orders=(2,))


def check_tunable(device: torch.device) -> None:
    """Whether there is something to choose on a device.

    Raises:
        InputError: it is no NVIDIA GPU, or the Triton kernels do not run on it.
    """
    if device.type != "cuda" or torch.version.hip is not None:
        raise InputError(
            f"--tune needs an NVIDIA GPU: it times the Triton kernels, and {device.type} has none"
        )
    if (lacks := triton_unavailable(str(device))) is not None:
        raise InputError(f"--tune times the Triton kernels, which do not run here: {lacks}")


def tune(
    device: torch.device,
    sizes: Sizes,
    effort: Effort,
    told: Callable[[str], None] = lambda line: None,
) -> list[Measured]:
    """Time every primitive of a layer with its branch, both ways, in all the sizes.

    Args:
        told: gets a line of progress now and then.

    Returns:
        What :func:`kanfield.splines.triton.choice.keep` stores; cases are counted as the launch counts them.
    """
    found: list[Measured] = []
    for precision, order in itertools.product(sizes.precisions, sizes.orders):
        told(f"dense or gathering: {precision}, order {order}")
        for grid, outputs in itertools.product(sizes.grids, sizes.outputs):
            layer = _Layer(device, sizes, grid, outputs, order)
            for primitive in PRIMITIVES:
                run = layer.run(primitive, precision)
                times = interleaved({way: _forced(way, run) for way in WAYS}, device, effort)
                # As the launch counts: the branch is a row more, but where it can be computed apart.
                rows = grid + order + (primitive != "analysis")
                case = Case(primitive, precision, order, rows, outputs)
                found.append(Measured(case, **{way: 1e3 * times[way] for way in WAYS}))
    return found


class _Layer:
    """Tensors of a layer ``I -> O`` with its branch, and a batch."""

    def __init__(self, device: torch.device, sizes: Sizes, grid: int, outputs: int, order: int) -> None:
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return (2 * torch.rand(*shape, generator=generator) - 1).to(device)

        self.x, self.g = random(sizes.samples, sizes.inputs), random(sizes.samples, outputs)
        self.coef, self.base = random(sizes.inputs * (grid + order), outputs), random(sizes.inputs, outputs)
        lower = -torch.ones(sizes.inputs, device=device)
        self.grid = (lower, torch.full_like(lower, grid / 2), grid, order)

    def run(self, primitive: str, precision: str) -> Run:
        """A primitive as a training step calls it."""
        from kanfield.splines.triton import launch  # triton is slow to import, and not everywhere

        if primitive == "synthesis":
            return lambda: launch.synthesis(self.x, self.coef, None, *self.grid, 0, precision, self.base)
        if primitive == "projection":
            return lambda: launch.projection(self.x, self.coef, self.g, *self.grid, 1, precision, self.base)
        # Its branch's gradient is written, and nothing reads it.
        return lambda: launch.analysis(self.x, None, self.g, *self.grid, 0, precision, self.base)


def _forced(way: str, run: Run) -> Run:
    def forced() -> None:
        with force_way(way):
            run()

    return forced
