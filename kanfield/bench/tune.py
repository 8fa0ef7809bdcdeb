"""Which Triton kernel is the faster one, dense or gathering: timed on a card, and saved for it."""

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
from kanfield.splines.triton.dispatch import KERNELS, Case, Timing, force_kernel

PRIMITIVES = ("spline_forward", "grad_input", "grad_coef")


@dataclass(frozen=True)
class Sizes:
    """What is timed: every combination.

    Attributes:
        grids: numbers of cells G.
        outputs: numbers of outputs O of a layer.
        orders: polynomial degrees k.
        precisions: of the products.
        samples: N.
        inputs: I of a layer.
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
    """Check that a device has Triton kernels to choose from.

    Args:
        device: where they would run.

    Raises:
        InputError: it is no NVIDIA GPU, or the Triton kernels do not run on it.
    """
    if device.type != "cuda" or torch.version.hip is not None:
        raise InputError(
            f"--tune needs an NVIDIA GPU: it times the Triton kernels, and {device.type} has none"
        )
    if (reason := triton_unavailable(str(device))) is not None:
        raise InputError(f"--tune times the Triton kernels, which do not run here: {reason}")


def tune(
    device: torch.device,
    sizes: Sizes,
    effort: Effort,
    progress: Callable[[str], None] = lambda line: None,
) -> list[Timing]:
    """Time every primitive of a layer with its branch, by both kernels, in all the sizes.

    Args:
        device: where.
        sizes: what is timed.
        effort: how long each case is timed.
        progress: called with a line of progress now and then.

    Returns:
        What :func:`kanfield.splines.triton.dispatch.save_timings` saves; the rows of a case are counted as
        the launch counts them.
    """
    timings: list[Timing] = []
    for precision, order in itertools.product(sizes.precisions, sizes.orders):
        progress(f"dense or gathering: {precision}, order {order}")
        for grid, outputs in itertools.product(sizes.grids, sizes.outputs):
            layer = _Layer(device, sizes, grid, outputs, order)
            for primitive in PRIMITIVES:
                run = layer.run(primitive, precision)
                seconds = interleaved({name: _forced(name, run) for name in KERNELS}, device, effort)
                # As the launch counts: the branch is a row more, except where it can be computed apart.
                rows = grid + order + (primitive != "grad_coef")
                case = Case(primitive, precision, order, rows, outputs)
                timings.append(Timing(case, **{name: 1e3 * seconds[name] for name in KERNELS}))
    return timings


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
        from kanfield.splines.triton import launch  # triton is slow to import and not always installed

        x, coef, g, grid, base = self.x, self.coef, self.g, self.grid, self.base
        if primitive == "spline_forward":
            return lambda: launch.spline_forward(x, coef, None, *grid, 0, precision, base)
        if primitive == "grad_input":
            return lambda: launch.grad_input(x, coef, g, *grid, 1, precision, base)
        # The branch's gradient is written to base, which nothing reads.
        return lambda: launch.grad_coef(x, None, g, *grid, 0, precision, base)


def _forced(kernel: str, run: Run) -> Run:
    def forced() -> None:
        with force_kernel(kernel):
            run()

    return forced
