"""Layers that are timed, and the least time that a machine could take for them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kanfield.bench.rates import Rates

_FLOATS = 4  # bytes of one


@dataclass(frozen=True)
class Shape:
    """A layer ``inputs -> outputs`` of splines of an order on ``grid`` cells."""

    inputs: int
    outputs: int
    grid: int
    order: int

    def __str__(self) -> str:
        return f"{self.inputs} -> {self.outputs}, G = {self.grid}, order {self.order}"

    def operations(self, samples: int) -> float:
        """Of forward and backward: values and two gradients, k + 1 taps and the branch for every edge."""
        return 3 * 2.0 * samples * self.inputs * (self.order + 2) * self.outputs

    def bytes(self, samples: int) -> float:
        """That forward and backward have to move: inputs, outputs, parameters and the gradients of all."""
        parameters = self.inputs * (self.grid + self.order + 1) * self.outputs
        # Inputs and parameters are read for either pass; their gradients, and the outputs, written once.
        return _FLOATS * (3.0 * samples * self.inputs + 2.0 * samples * self.outputs + 3.0 * parameters)


SHAPES = (Shape(128, 128, 10, 3), Shape(64, 64, 8, 2), Shape(64, 64, 10, 3), Shape(64, 64, 200, 3))
QUICK_SHAPES = (Shape(64, 64, 8, 2), Shape(64, 64, 200, 2), Shape(32, 32, 10, 3))
SAMPLES, QUICK_SAMPLES = 16384, 512


def floor_seconds(shape: Shape, samples: int, rates: Rates, precision: str, device: torch.device) -> float:
    """The least time of forward and backward: arithmetic at the rate of a matrix product in that precision.

    On a GPU also what has to be moved, at the rate of a copy, where that takes longer; what a CPU works on
    may lie in its caches.
    """
    arithmetic = shape.operations(samples) / rates.products[precision]
    return arithmetic if device.type == "cpu" else max(arithmetic, shape.bytes(samples) / rates.copy)
