"""Layers that are timed, and the least time that a machine could take for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kanfield.bench.rates import Rates

_FLOATS = 4  # bytes of one


@dataclass(frozen=True)
class Shape:
    """A layer of splines.

    Attributes:
        inputs: I.
        outputs: O.
        grid: cells G of every spline.
        order: polynomial degree k.
    """

    inputs: int
    outputs: int
    grid: int
    order: int

    def __str__(self) -> str:
        return f"{self.inputs} -> {self.outputs}, G = {self.grid}, order {self.order}"

    def operations(self, samples: int) -> float:
        """Operations of forward and backward: k + 1 taps and the branch, in three passes over every edge."""
        return 3 * 2.0 * samples * self.inputs * (self.order + 2) * self.outputs

    def bytes(self, samples: int) -> float:
        """Bytes that forward and backward have to move: inputs, outputs, parameters and their gradients."""
        parameters = self.inputs * (self.grid + self.order + 1) * self.outputs
        # Inputs and parameters are read in either pass; their gradients and the outputs are written once.
        return _FLOATS * (3.0 * samples * self.inputs + 2.0 * samples * self.outputs + 3.0 * parameters)


SHAPES = (Shape(128, 128, 10, 3), Shape(64, 64, 8, 2), Shape(64, 64, 10, 3), Shape(64, 64, 200, 3))
QUICK_SHAPES = (Shape(64, 64, 8, 2), Shape(64, 64, 200, 2), Shape(32, 32, 10, 3))
SAMPLES, QUICK_SAMPLES = 16384, 512


def floor_seconds(shape: Shape, samples: int, rates: Rates, precision: str, device: torch.device) -> float:
    """The least seconds that forward and backward could take.

    That is their arithmetic at the rate of a matrix product, or on a GPU their memory traffic at the rate of
    a copy, if that takes longer; the data of a CPU may lie in its caches.

    Args:
        shape: of the layer.
        samples: N.
        rates: of the device.
        precision: whose rate of products counts.
        device: where.
    """
    arithmetic = shape.operations(samples) / rates.products[precision]
    return arithmetic if device.type == "cpu" else max(arithmetic, shape.bytes(samples) / rates.copy)
