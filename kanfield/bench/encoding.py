"""A grid encoding, forward and backward, by every backend that a device has, against its memory traffic."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch

from kanfield.bench.clock import Effort, Run, interleaved
from kanfield.bench.operator import check_agreement
from kanfield.bench.rates import Copy
from kanfield.bench.variants import Pass, Variant, variants_on
from kanfield.encodings import GridEncoding
from kanfield.encodings.grid_encode import ORDERS
from kanfield.splines.backend import BACKENDS

_FLOATS = 4  # bytes of one
SAMPLES, QUICK_SAMPLES = (4096, 65536), (512,)
LEVELS, FEATURES, ENTRIES = 12, 2, 1 << 15  # those of the family hashgrid, as its resolutions are


def measure_encodings(device: torch.device, quick: bool, effort: Effort) -> list[dict[str, Any]]:
    """Time encodings of every order by every backend, gradients of the features with it.

    All backends are first checked against the first. A copy is timed in the same turns, so that a row's floor
    is of the very moments in which it was measured.

    Args:
        device: where.
        quick: small batches only.
        effort: how long to measure.

    Returns:
        Rows of plain values, one for each order, batch and backend: milliseconds, times the floor, times
        faster than plain torch.

    Raises:
        RunFailed: two backends disagree.
    """
    sizes = QUICK_SAMPLES if quick else SAMPLES
    return [row for order in ORDERS for n in sizes for row in _measure(order, n, device, effort)]


def traffic_bytes(encoding: GridEncoding, samples: int) -> int:
    """Bytes that forward and backward move if no tap is found in a cache.

    Those of every tap's features are read once, and their gradients read and written; coordinates are read
    twice, the output is written and its gradient read.

    Args:
        encoding: whose taps count.
        samples: N.

    >>> traffic_bytes(GridEncoding([(4, 4)], features=2, order=1), 10)  # 4 taps, 2 coordinates, 2 outputs
    1280
    """
    taps = (encoding.order + 1) ** 2
    outputs = encoding.out_features
    return _FLOATS * samples * (3 * taps * outputs + 2 * 2 + 2 * outputs)


def _measure(order: int, samples: int, device: torch.device, effort: Effort) -> list[dict[str, Any]]:
    sides = [math.ceil(16 * 1.4**level) - 1 for level in range(LEVELS)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoding = GridEncoding([(n, n) for n in sides], FEATURES, ENTRIES, order).to(device)
        x = (2 * torch.rand(samples, 2) - 1).to(device)
        g = torch.randn(samples, encoding.out_features).to(device)
    variants = [
        v for v in variants_on(device, compiled=False) if v.name in BACKENDS and v.precision == "fp32"
    ]
    passes: dict[str, Pass] = {}
    first: tuple[str, list[torch.Tensor]] | None = None
    for variant in variants:
        if variant.unavailable is None:
            run = Pass(copy.deepcopy(encoding), x, g, variant)
            results = run.results()
            first = first or (variant.key, results)
            check_agreement(f"encoding of order {order}", first, variant, results)
            passes[variant.name] = run
    moving = Copy(device)
    runs: dict[str, Run] = {**passes, "copy": moving}
    seconds = interleaved(runs, device, effort)
    floor = traffic_bytes(encoding, samples) / moving.rate(seconds["copy"])
    return [_row(order, samples, v, seconds.get(v.name), seconds["reference"], floor) for v in variants]


def _row(
    order: int, samples: int, variant: Variant, seconds: float | None, plain: float, floor: float
) -> dict[str, Any]:
    return {
        "order": order,
        "samples": samples,
        "variant": variant.name,
        "milliseconds": None if seconds is None else 1e3 * seconds,
        "floor_milliseconds": 1e3 * floor,
        "times_the_floor": None if seconds is None else seconds / floor,
        "times_faster_than_reference": None if seconds is None else plain / seconds,
        "left_out": variant.unavailable,
    }
