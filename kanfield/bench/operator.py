"""A KAN layer, forward and backward, by every way of computing it that a device has, against its floor."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from kanfield.bench.clock import Effort, Run, interleaved
from kanfield.bench.dense import dense_bytes
from kanfield.bench.rates import Products, Rates
from kanfield.bench.shape import Shape, floor_seconds
from kanfield.bench.ways import COMPILED, DENSE, Pass, Problem, Way
from kanfield.errors import RunFailed
from kanfield.training.memory import is_out_of_memory

# Largest difference from the first way, relative to the largest element: sums of thousands of samples.
TOLERANCE = {"fp32": 1e-4, "tf32x3": 1e-4, "tf32": 1e-2, "bf16": 5e-2}


def measure_shape(
    shape: Shape,
    samples: int,
    ways: list[Way],
    rates: Rates,
    products: Products,
    effort: Effort,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Rows of a shape, one a way: milliseconds, times the floor, times faster than the dense formulation.

    Every way is first checked against the first one that works. Matrix products are timed in the same turns,
    so that a row's floor is of the very moments in which it was measured.

    Raises:
        RunFailed: two ways disagree.
    """
    problem = Problem(shape, samples, device)
    ways = [Way(way.name, way.precision, way.lacks or _too_large(way, problem)) for way in ways]
    passes: dict[str, Pass] = {}
    first: tuple[str, list[Tensor]] | None = None
    for way in ways:
        if way.lacks is not None:
            continue
        run = problem.run(way)
        try:
            found = run.results()
        except Exception as error:  # what a compiler can raise has no common name
            way.lacks = _why(error, way)
            run.forget()
            continue
        if first is None:
            first = way.key, found
        _agree(shape, first, way, found)
        passes[way.key] = run
    runs: dict[str, Run] = {**passes, **products.runs}
    found_seconds = interleaved(runs, device, effort)
    measured = Rates(products.rates(found_seconds), rates.copy)
    for run in passes.values():
        run.forget()
    dense = found_seconds.get(Way(DENSE).key)
    return [_row(shape, samples, way, found_seconds.get(way.key), dense, measured, device) for way in ways]


def _row(
    shape: Shape,
    samples: int,
    way: Way,
    seconds: float | None,
    dense: float | None,
    rates: Rates,
    device: torch.device,
) -> dict[str, Any]:
    floor = floor_seconds(shape, samples, rates, way.precision, device)
    return {
        "shape": str(shape),
        "inputs": shape.inputs,
        "outputs": shape.outputs,
        "grid": shape.grid,
        "order": shape.order,
        "samples": samples,
        "way": way.name,
        "precision": way.precision,
        "milliseconds": None if seconds is None else 1e3 * seconds,
        "floor_milliseconds": 1e3 * floor,
        "times_the_floor": None if seconds is None else seconds / floor,
        "times_faster_than_dense": None if seconds is None or dense is None else dense / seconds,
        "left_out": way.lacks,
    }


def _agree(shape: Shape, first: tuple[str, list[Tensor]], way: Way, found: list[Tensor]) -> None:
    for mine, true in zip(found, first[1], strict=True):
        error = float((mine - true).abs().max() / true.abs().max())
        if not error <= TOLERANCE[way.precision]:
            raise RunFailed(
                f"layer {shape}: {way.key} and {first[0]} differ by {error:.1e} of the largest value, so "
                "nothing was timed; kanfield doctor tests the backend"
            )


def _too_large(way: Way, problem: Problem) -> str | None:
    if way.name not in (DENSE, COMPILED):
        return None
    shape = problem.shape
    need, room = dense_bytes(problem.samples, shape.inputs, shape.grid, shape.order), _free(problem.device)
    if room is None or need < room / 2:
        return None
    return f"its basis takes {need / 1e9:.0f} GB, and of memory {room / 1e9:.0f} are free"


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


def _why(error: Exception, way: Way) -> str:
    """Why a way cannot be timed; an error that nobody could expect goes on."""
    if is_out_of_memory(error):
        return "out of memory"
    if way.name != COMPILED:
        raise error
    told = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"does not compile here: {told.strip()}"
