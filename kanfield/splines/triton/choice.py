"""Which way a primitive is computed, dense or gathering, and in blocks of what size.

The default is a roofline. A dense product multiplies every row of an input's coefficients, at the rate of the
matrix units; gathering touches k + 1 of them, at the rate at which a multiprocessor reads scattered rows from
its caches. ``kanfield bench --tune`` measures both on a GPU and keeps the result for it; the nearest
measured case then decides. :func:`force_way` overrules all that, for measuring and for tests.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from kanfield.files import write_json

WAYS = ("dense", "gather")

# Multiply-adds of one H100 multiprocessor in a cycle, at half of their peak: the tile has to be built too.
# bf16 is twice tf32, tf32x3 takes three products, fp32 has no matrix units.
_DENSE_RATE = {"fp32": 64.0, "tf32x3": 170.0, "tf32": 512.0, "bf16": 1024.0}
# Of gathered coefficients in a cycle: 32 bytes, between the first and the second cache's rate.
_GATHER_RATE = 8.0
_SMALLEST = 16  # sides of the smallest tile that matrix units take
_PROGRAMS = 264  # two for each of an H100's multiprocessors

# Of the whole process: autograd runs the backward of CUDA tensors in a thread of its own.
_forced: list[str] = []


@dataclass(frozen=True)
class Case:
    """What decides: a primitive, its precision, order k, rows K of an input's coefficients, and outputs O."""

    primitive: str
    precision: str
    order: int
    rows: int
    outputs: int


@dataclass(frozen=True)
class Measured:
    """Milliseconds of a case both ways."""

    case: Case
    dense: float
    gather: float


@contextlib.contextmanager
def force_way(name: str) -> Iterator[None]:
    """Compute all primitives in one way inside a ``with`` block, in all threads.

    Args:
        name: ``"dense"`` or ``"gather"``.

    Raises:
        ValueError: the name is neither.

    >>> with force_way("gather"):
    ...     prefers_dense(Case("synthesis", "tf32", 3, 13, 64), None)
    False
    """
    if name not in WAYS:
        raise ValueError(f"way {name!r} is not one of {', '.join(WAYS)}")
    _forced.append(name)
    try:
        yield
    finally:
        _forced.pop()


def prefers_dense(case: Case, gpu: str | None) -> bool:
    """Whether the dense way is the faster one.

    Args:
        gpu: the card's name, whose measurements are looked up; None for the roofline alone.

    >>> prefers_dense(Case("synthesis", "tf32", 3, 13, 64), None)
    True
    >>> prefers_dense(Case("synthesis", "fp32", 3, 203, 64), None)
    False
    """
    if _forced:
        return _forced[-1] == "dense"
    return _unforced(case, gpu)


@functools.cache
def _unforced(case: Case, gpu: str | None) -> bool:
    """Looked up once for a case: a table has a thousand rows, and every launch asks."""
    measured = [] if gpu is None else measurements(gpu)
    alike = [m for m in measured if _kind(m.case) == _kind(case)]
    if alike:
        nearest = min(alike, key=lambda m: _distance(m.case, case))
        return nearest.dense <= nearest.gather
    return roofline(case)


def roofline(case: Case) -> bool:
    """The choice that arithmetic and cache rates suggest."""
    padded = _SMALLEST * math.ceil(case.rows / _SMALLEST)
    return padded / _DENSE_RATE[case.precision] <= (case.order + 1) / _GATHER_RATE


def _kind(case: Case) -> tuple[str, str, int]:
    return case.primitive, case.precision, case.order


def _distance(a: Case, b: Case) -> float:
    return math.hypot(math.log(a.rows / b.rows), math.log(a.outputs / b.outputs))


def table_path(gpu: str) -> Path:
    """Where the measurements of a card are kept: ``$XDG_CACHE_HOME/kanfield/<card>.json``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "kanfield" / (gpu.replace(" ", "-").replace("/", "-") + ".json")


@functools.cache
def measurements(gpu: str) -> list[Measured]:
    """What was measured on a card; a file that cannot be read counts as none."""
    try:
        rows = json.loads(table_path(gpu).read_text(encoding="utf-8"))
        return [Measured(Case(**row["case"]), float(row["dense"]), float(row["gather"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def keep(gpu: str, rows: list[Measured]) -> Path:
    """Store the measurements of a card, from now on in use."""
    path = table_path(gpu)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, [asdict(row) for row in rows])
    forget()
    return path


def forget() -> None:
    """Read the measurements anew when they are asked for next."""
    measurements.cache_clear()
    _unforced.cache_clear()


@dataclass(frozen=True)
class Blocks:
    """Sizes of a program's tiles: samples, rows of coefficients, outputs (powers of two); and its warps."""

    samples: int
    rows: int
    outputs: int
    warps: int


def blocks(samples: int, rows: int, outputs: int, tallest: int = 64) -> Blocks:
    """Tiles that spill no registers.

    Args:
        tallest: most samples in a tile.

    >>> blocks(65536, 10, 64)
    Blocks(samples=64, rows=16, outputs=64, warps=8)
    """
    wide = min(64, max(_SMALLEST, _power_of_two(outputs)))
    high = min(32, max(_SMALLEST, _power_of_two(rows)))
    tall = min(tallest, max(_SMALLEST, _power_of_two(samples)))
    return Blocks(tall, high, wide, 8 if tall == tallest else 4)


def parts(programs: int, rounds: int, fewest: int) -> int:
    """Into how many parts a sum is split, each added up by programs of its own.

    Few programs would leave multiprocessors idle, and one after the other they would wait for each of their
    loads.

    Args:
        programs: with one part. rounds: of a program's loop then. fewest: rounds that a part is worth.

    >>> parts(programs=32, rounds=64, fewest=4)
    8
    """
    return max(1, min(_PROGRAMS // max(1, programs), rounds // fewest))


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
