"""All of ``kanfield bench``: what is measured, as one object of plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

from kanfield.bench.clock import QUICK, THOROUGH
from kanfield.bench.encoding import measure_encodings
from kanfield.bench.operator import measure_shape
from kanfield.bench.rates import Products, measure_rates
from kanfield.bench.shape import QUICK_SAMPLES, QUICK_SHAPES, SAMPLES, SHAPES
from kanfield.bench.step import QUICK_BATCH, measure_steps, trainings_on
from kanfield.bench.tune import EFFORT, QUICK_SIZES, Sizes, check_tunable, tune
from kanfield.bench.variants import COMPILED, DENSE, variants_on
from kanfield.machine import machine
from kanfield.splines import explain_backend
from kanfield.splines.triton.dispatch import save_timings

Progress = Callable[[str], None]


def bench(device: torch.device, quick: bool, progress: Progress) -> dict[str, Any]:
    """Measure the spline operator, grid encodings and whole steps.

    Args:
        device: where.
        quick: small batches, few rounds and no compiler: seconds, for a first look.
        progress: called with a line of progress now and then.

    Returns:
        Plain values: ``machine``, ``device``, ``torch``, ``backend``, ``rates`` (of the device, before the
        rest), ``operator``, ``encoding`` and ``steps`` (rows; times in milliseconds, or ``left_out`` with the
        reason why there is none), and ``grid_growth`` (see :func:`grid_growth`).

    Raises:
        RunFailed: two variants of the same layer or encoding disagree.
    """
    effort = QUICK if quick else THOROUGH
    progress("rates of a matrix product and of a copy")
    rates, products = measure_rates(device, effort, quick), Products(device, quick)
    rows: list[dict[str, Any]] = []
    for shape in QUICK_SHAPES if quick else SHAPES:
        progress(f"layer {shape}")
        samples, variants = QUICK_SAMPLES if quick else SAMPLES, variants_on(device, compiled=not quick)
        rows += measure_shape(shape, samples, variants, rates, products, effort, device)
        torch.compiler.reset()  # compiled for this shape, never called again
    progress("grid encodings")
    encodings = measure_encodings(device, quick, effort)
    progress("whole training steps")
    steps = measure_steps(trainings_on(device), device, effort, QUICK_BATCH if quick else None)
    return {
        **_head(device, quick),
        "rates": {
            "product_gflops": {name: rate / 1e9 for name, rate in rates.products.items()},
            "copy_gbytes": rates.copy / 1e9,
        },
        "operator": rows,
        "grid_growth": grid_growth(rows),
        "encoding": encodings,
        "steps": steps,
    }


def bench_tune(device: torch.device, quick: bool, progress: Progress) -> dict[str, Any]:
    """Time the dense and the gathering Triton kernels, and save the timings for the card.

    Args:
        device: where.
        quick: a few sizes only.
        progress: called with a line of progress now and then.

    Returns:
        Plain values: what :func:`bench` begins with, ``tune`` (cases, with the milliseconds of either kernel)
        and ``saved``, the file.

    Raises:
        InputError: the device is no NVIDIA GPU that the kernels run on.
    """
    check_tunable(device)
    timings = tune(device, QUICK_SIZES if quick else Sizes(), EFFORT, progress)
    path = save_timings(torch.cuda.get_device_name(device), timings)
    return {**_head(device, quick), "tune": [asdict(row) for row in timings], "saved": str(path)}


def grid_growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    """What a finer grid costs: time at the finest grid over time at the coarsest, of the same layer.

    Args:
        rows: of :func:`kanfield.bench.operator.measure_shape`.

    Returns:
        The factor by a description of the layer.

    >>> row = {"variant": "native", "precision": "fp32", "inputs": 8, "outputs": 8, "order": 3}
    >>> grid_growth([{**row, "grid": g, "milliseconds": t} for g, t in ((10, 2.0), (200, 3.0))])
    {'time at G = 200 over that at G = 10, 8 -> 8, order 3, native, fp32': 1.5}
    """
    timed: dict[tuple[Any, ...], dict[int, float]] = {}
    for row in rows:
        if row["milliseconds"] is not None and row["variant"] not in (DENSE, COMPILED):
            layer = tuple(row[key] for key in ("inputs", "outputs", "order", "variant", "precision"))
            timed.setdefault(layer, {})[row["grid"]] = row["milliseconds"]
    growth = {}
    for (inputs, outputs, order, variant, precision), times in timed.items():
        fine, coarse = max(times), min(times)
        if fine > coarse:
            layer_of = f"{inputs} -> {outputs}, order {order}, {variant}, {precision}"
            words = f"time at G = {fine} over that at G = {coarse}, {layer_of}"
            growth[words] = times[fine] / times[coarse]
    return growth


def _head(device: torch.device, quick: bool) -> dict[str, Any]:
    here, (name, why) = machine(), explain_backend(str(device))
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else here["processor"]
    return {
        "machine": here,
        "device": str(device),
        "device_name": card,
        "torch": torch.__version__,
        "backend": {"name": name, "reason": why},
        "quick": quick,
    }
