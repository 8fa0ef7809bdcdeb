"""A roofline estimate of a training step on an A100 and an H100, to compare the first measured figure with.

    python tools/gpu_estimate.py [--side 256] [--channels 1] [--preset smooth] [--batch 2048]
        [--precision fp32] [--steps 1000] [--json FILE]

It is of fields along directions: kernels of grids are not counted. The very step of a fit runs on torch's
meta device, which computes nothing: every kernel that a GPU would start is counted, with its arithmetic, the
bytes it moves to and from memory, those it reads again from the second cache, and the rounds of its longest
loop. A kernel takes the longest of these terms, and a gap to the next one. The assumptions about the cards
are in CARDS and below it; nothing here was measured on one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.fields.field import count_parameters
from kanfield.runs.run import make_field
from kanfield.splines import PRECISIONS, use_backend
from kanfield.splines import backend as backends
from kanfield.splines.triton import kernels, launch
from kanfield.splines.triton.dispatch import KERNELS
from kanfield.training.optimizers import build_optimizers
from kanfield.training.step import Step


@dataclass(frozen=True)
class Card:
    """Peaks of a card by its data sheet; the second cache's rate is what microbenchmarks report."""

    multiprocessors: int
    fp32: float  # multiply-adds per second, ordinary units
    tf32: float  # matrix units, dense
    memory: float  # bytes per second
    cache: float

    def rate(self, precision: str) -> float:
        """Multiply-adds per second of a product, at the peak."""
        by_name = {"fp32": self.fp32, "tf32x3": self.tf32 / 3, "tf32": self.tf32, "bf16": 2 * self.tf32}
        return by_name[precision]


CARDS = {
    "A100 SXM": Card(108, 9.75e12, 78e12, 1.55e12, 4.0e12),
    "H100 SXM": Card(132, 33.5e12, 247e12, 3.35e12, 5.5e12),
}
SHARE = 0.5  # of an arithmetic peak that a plain kernel reaches
ROUND = 0.6e-6  # seconds of one round of a loop that waits for its loads
RESIDENT = 2  # programs at a time on a multiprocessor
GAP = 1.5e-6  # seconds between two kernels of a replayed graph
CALL = 8e-6  # seconds from one kernel that Python starts to the next


@dataclass
class Work:
    """What one kernel does."""

    kind: str
    products: float = 0.0  # multiply-adds in the field's precision
    others: float = 0.0  # multiply-adds of ordinary units
    memory: float = 0.0  # bytes
    cache: float = 0.0  # bytes
    rounds: int = 0
    programs: int = 1

    def terms(self, card: Card, precision: str) -> dict[str, float]:
        """Seconds that each resource takes."""
        waves = math.ceil(self.programs / (RESIDENT * card.multiprocessors))
        return {
            "arithmetic": self.products / (SHARE * card.rate(precision)) + self.others / (SHARE * card.fp32),
            "memory": self.memory / card.memory,
            "cache": self.cache / card.cache,
            "latency": self.rounds * waves * ROUND,
        }


class _Launches:
    """Stands in for a Triton kernel and notes what a launch would do."""

    def __init__(self, name: str, parameters: list[str], works: list[Work]) -> None:
        self.name, self.parameters, self.works = name, parameters, works

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def note(*arguments: Any, **flags: Any) -> None:
            values = dict(zip(self.parameters, arguments, strict=False))
            self.works.append(_spline_work(self.name, values, flags, math.prod(grid)))

        return note


def _spline_work(name: str, values: dict[str, Any], flags: dict[str, Any], programs: int) -> Work:
    samples, inputs, outputs, size = (values[k] for k in ("samples", "inputs", "outputs", "size"))
    taps, count = flags["ORDER"] + 1 + flags["BASE"], size + flags["ORDER"] + flags["BASE"]
    wide, summed = math.ceil(outputs / flags["BLOCK_O"]), values.get("share", inputs)
    table, edges = 4.0 * inputs * count * outputs, float(samples * inputs * outputs)
    memory = 4.0 * samples * (2 * inputs + outputs) + table
    if "gather" in name:
        return Work(
            name,
            others=edges * taps,
            memory=memory,
            cache=4 * edges * taps,
            rounds=summed if name.startswith("spline_forward") else wide,
            programs=programs,
        )
    blocks = math.ceil(count / flags["BLOCK_R"])
    rows = blocks * flags["BLOCK_R"]
    padded = edges / outputs * wide * flags["BLOCK_O"]
    if flags.get("SORTED"):  # a sample meets the blocks of rows that it touches, not all
        rows, share = 2 * flags["BLOCK_R"], math.ceil(samples / blocks)
    else:
        share = values.get("share", samples)
    tile = samples * inputs * rows * (taps + 2.0) * wide
    again = {
        "spline_forward_dense": samples / flags["BLOCK_N"] * table,
        "grad_input_dense": samples / flags["BLOCK_N"] * table + 4 * edges,
        "grad_coef": 4 * edges * (2 if flags.get("SORTED") else blocks),
    }
    rounds = {
        "spline_forward_dense": summed * blocks,
        "grad_input_dense": blocks * wide,
        "grad_coef": math.ceil(share / flags["BLOCK_N"]),
    }
    return Work(name, padded * rows, tile, memory, again[name], rounds[name], programs)


class _Counted(TorchDispatchMode):
    """Notes torch's own kernels; views and bare allocations start none."""

    def __init__(self, works: list[Work]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.works = works

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func.name().removeprefix("aten::").split(".")[0]
        if not func.is_view and not name.startswith(("empty", "new_empty", "detach", "_reshape_alias")):
            tensors = [t for t in _tensors((args, kwargs, out)) if t.device.type == "meta"]
            work = Work("torch", memory=float(sum(t.numel() * t.element_size() for t in tensors)))
            if name in ("mm", "bmm", "addmm", "baddbmm"):
                a, b = [t for t in _tensors(args) if t.ndim >= 2][-2:]
                work.others = float(a.numel() * b.shape[-1])
            self.works.append(work)
        return out


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (list, tuple)):
        return []
    return [tensor for part in value for tensor in _tensors(part)]


@contextlib.contextmanager
def _noted(works: list[Work]) -> Iterator[None]:
    """Let the Triton backend serve the meta device, and note its launches."""
    names = [f"{primitive}_{kernel}" for primitive in ("spline_forward", "grad_input") for kernel in KERNELS]
    names.append("grad_coef")
    found = {name: _Launches(name, getattr(kernels, name).arg_names, works) for name in names}
    with (
        patch.object(launch, "kernels", SimpleNamespace(**found)),
        patch.object(backends, "triton_unavailable", lambda device: None),
        use_backend("triton"),
        _Counted(works),
    ):
        yield


def works_of_a_step(settings: Settings, channels: int) -> tuple[nn.Module, list[Work]]:
    """A field, and every kernel of one of its steps in the order in which they run.

    Args:
        settings: resolved ones.
        channels: of the image.

    Raises:
        InputError: its kernels are not known here.
    """
    options = settings.options or {}
    if options.get("resolutions") or options.get("base", "silu") is None:  # on meta these launch nothing
        raise InputError("fields on grids, and splines without a branch, are not counted: give directions")
    assert settings.optimizer is not None and settings.batch_size is not None
    field = make_field(settings, channels).to("meta")
    *muon, adam = build_optimizers(field, settings.optimizer, 1e-2, 1e-3, rates_on_device=False)
    step = Step(field, muon)  # the meta device has no fused Adam, which is one kernel: added below
    x, y = (torch.zeros(settings.batch_size, width, device="meta") for width in (2, channels))
    works: list[Work] = []
    for _ in range(2):  # the first makes the optimisers' states
        works.clear()
        with _noted(works):
            step(x, y)
    moved = sum(p.numel() for group in adam.param_groups for p in group["params"])
    works.append(Work("torch", memory=7 * 4.0 * moved))
    return field, works


def estimate(works: list[Work], card: Card, precision: str) -> dict[str, Any]:
    """Seconds of a step by kind of kernel and by what limits it.

    Args:
        works: the kernels of the step.
        card: the GPU.
        precision: of the splines' products.

    Returns:
        Kernels, seconds by kind and by limit, and the step's seconds as a graph and started from Python.
    """
    kinds: dict[str, dict[str, float]] = defaultdict(lambda: {"kernels": 0, "seconds": 0.0})
    limits: dict[str, float] = defaultdict(float)
    for work in works:
        terms = work.terms(card, precision)
        limit = max(terms, key=lambda name: terms[name])
        kinds[work.kind]["kernels"] += 1
        kinds[work.kind]["seconds"] += terms[limit]
        limits[limit] += terms[limit]
    busy = sum(limits.values())
    limits["gaps"] = GAP * len(works)
    return {
        "kernels": len(works),
        "kinds": dict(kinds),
        "limits": dict(limits),
        "graph": busy + GAP * len(works),
        "python": max(busy, CALL * len(works)),
    }


def main() -> None:
    """Read the command line, count, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--preset", default="smooth")
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    pixels = given.side**2
    keys = ("preset", "steps", "precision")
    asked = Settings(
        encoding="directions", batch_size=given.batch, **{key: getattr(given, key) for key in keys}
    )
    try:
        settings = resolve(asked, ImageStats(given.side, given.side, pixels, given.channels))
        field, works = works_of_a_step(settings, given.channels)
    except InputError as error:
        raise SystemExit(f"gpu_estimate: {error}") from None
    parameters, options = count_parameters(field), settings.options or {}
    print(
        f"{given.preset} along directions, {given.side} x {given.side}: {options['widths']}, "
        f"grids {options['grids']}, order {options['order']}, {parameters:,} parameters; "
        f"batch {given.batch}, {given.precision}"
    )
    found = {}
    for name, card in CARDS.items():
        found[name] = step = estimate(works, card, given.precision)
        print(
            f"\n{name}: {step['kernels']} kernels, {1e6 * step['graph']:.0f} us per step as a graph, "
            f"{1e6 * step['python']:.0f} us from Python; {given.steps} steps "
            f"{step['graph'] * given.steps:.2f} s"
        )
        for kind, row in sorted(step["kinds"].items(), key=lambda item: -item[1]["seconds"]):
            print(f"  {kind:20}{row['kernels']:6} kernels{1e6 * row['seconds']:10.1f} us")
        shares = sorted(step["limits"].items(), key=lambda item: -item[1])
        print("  limited by " + ", ".join(f"{limit} {1e6 * s:.1f} us" for limit, s in shares))
    if given.json:
        content = {"settings": vars(given) | {"json": None}, "parameters": parameters, "cards": found}
        given.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
