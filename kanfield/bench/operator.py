"""A KAN layer, forward and backward, by every variant that a device has, against the machine's floor."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from kanfield.bench.clock import Effort, Run, interleaved
from kanfield.bench.dense import dense_bytes
from kanfield.bench.rates import Products, Rates
from kanfield.bench.shape import Shape, floor_seconds
from kanfield.bench.variants import COMPILED, DENSE, Pass, Problem, Variant
from kanfield.errors import RunFailed
from kanfield.training.memory import is_out_of_memory

# Largest difference from the first variant, relative to the largest element: sums of thousands of samples.
TOLERANCE = {"fp32": 1e-4, "tf32x3": 1e-4, "tf32": 1e-2, "bf16": 5e-2}


def measure_shape(
    shape: Shape,
    samples: int,
    variants: list[Variant],
    rates: Rates,
    products: Products,
    effort: Effort,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Time a layer by every variant.

    Every variant is first checked against the first one that works. Matrix products are timed in the same
    turns, so that a row's floor is of the very moments in which it was measured.

    Args:
        shape: of the layer.
        samples: N.
        variants: what to time.
        rates: of the device; that of a copy is used.
        products: matrix products, timed along with the variants.
        effort: how long to measure.
        device: where.

    Returns:
        Rows of plain values, one per variant: milliseconds, times the floor, times faster than the dense
        formulation.

    Raises:
        RunFailed: two variants disagree.
    """
    problem = Problem(shape, samples, device)
    variants = [Variant(v.name, v.precision, v.unavailable or _too_large(v, problem)) for v in variants]
    passes: dict[str, Pass] = {}
    first: tuple[str, list[Tensor]] | None = None
    for variant in variants:
        if variant.unavailable is not None:
            continue
        run = problem.run(variant)
        try:
            results = run.results()
        except Exception as error:  # what a compiler can raise has no common name
            variant.unavailable = _reason(error, variant)
            run.release()
            continue
        if first is None:
            first = variant.key, results
        check_agreement(f"layer {shape}", first, variant, results)
        passes[variant.key] = run
    runs: dict[str, Run] = {**passes, **products.runs}
    seconds = interleaved(runs, device, effort)
    measured = Rates(products.rates(seconds), rates.copy)
    for run in passes.values():
        run.release()
    dense = seconds.get(Variant(DENSE).key)
    return [_row(shape, samples, v, seconds.get(v.key), dense, measured, device) for v in variants]


def _row(
    shape: Shape,
    samples: int,
    variant: Variant,
    seconds: float | None,
    dense: float | None,
    rates: Rates,
    device: torch.device,
) -> dict[str, Any]:
    floor = floor_seconds(shape, samples, rates, variant.precision, device)
    return {
        "shape": str(shape),
        "inputs": shape.inputs,
        "outputs": shape.outputs,
        "grid": shape.grid,
        "order": shape.order,
        "samples": samples,
        "variant": variant.name,
        "precision": variant.precision,
        "milliseconds": None if seconds is None else 1e3 * seconds,
        "floor_milliseconds": 1e3 * floor,
        "times_the_floor": None if seconds is None else seconds / floor,
        "times_faster_than_dense": None if seconds is None or dense is None else dense / seconds,
        "left_out": variant.unavailable,
    }


def check_agreement(
    what: str, first: tuple[str, list[Tensor]], variant: Variant, results: list[Tensor]
) -> None:
    """Refuse to time what computes something else.

    Args:
        what: is computed, in words.
        first: name and results of the variant that all others are compared with.
        variant: another one.
        results: its results.

    Raises:
        RunFailed: they differ by more than its precision explains.
    """
    for mine, true in zip(results, first[1], strict=True):
        error = float((mine - true).abs().max() / true.abs().max())
        if not error <= TOLERANCE[variant.precision]:
            raise RunFailed(
                f"{what}: {variant.key} and {first[0]} differ by {error:.1e} of the largest value, so "
                "nothing was timed; kanfield doctor tests the backend"
            )


def _too_large(variant: Variant, problem: Problem) -> str | None:
    if variant.name not in (DENSE, COMPILED):
        return None
    shape = problem.shape
    need, free = dense_bytes(problem.samples, shape.inputs, shape.grid, shape.order), _free(problem.device)
    if free is None or need < free / 2:
        return None
    return f"its basis takes {need / 1e9:.0f} GB of memory, and {free / 1e9:.0f} GB are free"


def _free(device: torch.device) -> int | None:
    """Bytes of memory that nobody uses, or None where a system does not say."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError):
        return None


def _reason(error: Exception, variant: Variant) -> str:
    """Why a variant cannot be timed; an error that nobody could expect is raised again."""
    if is_out_of_memory(error):
        return "out of memory"
    if variant.name != COMPILED:
        raise error
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"does not compile here: {line.strip()}"
