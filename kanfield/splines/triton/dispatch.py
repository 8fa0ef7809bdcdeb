"""Which kernel computes a primitive, the dense or the gathering one, and with what tile sizes.

The default is a roofline. A dense product multiplies every row of an input's coefficients, at the rate of the
matrix units; gathering reads k + 1 of them, at the rate at which a multiprocessor reads scattered rows from
its caches. ``kanfield bench --tune`` times both on a GPU and saves the result for it; the nearest case that
was timed then decides. :func:`force_kernel` overrides both, for measuring and for tests.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from kanfield.files import write_json
from kanfield.splines.forced import Forced

KERNELS = ("dense", "gather")

# Multiply-adds of one H100 multiprocessor per cycle, at half of their peak: the tile has to be built too.
# bf16 is twice tf32, tf32x3 takes three products, fp32 has no matrix units. Other cards have other rates in
# about the same proportions.
_DENSE_RATE = {"fp32": 64.0, "tf32x3": 170.0, "tf32": 512.0, "bf16": 1024.0}
# Coefficients gathered per cycle: 32 bytes, between the rates of the first and the second cache.
_GATHER_RATE = 8.0
_TILE_SIDE = 16  # of the smallest tile that matrix units take
_SECTOR = 8  # coefficients in 32 bytes, the least that a cache hands over
_PROGRAMS = 264  # two for each multiprocessor of an H100

_forced = Forced()


@dataclass(frozen=True)
class Case:
    """What the choice depends on.

    Attributes:
        primitive: ``"spline_forward"``, ``"grad_coef"`` or ``"grad_input"``.
        precision: of the products.
        order: polynomial degree k.
        rows: rows K of an input's coefficients, the branch's included.
        outputs: O.
    """

    primitive: str
    precision: str
    order: int
    rows: int
    outputs: int


@dataclass(frozen=True)
class Timing:
    """Milliseconds that either kernel takes for a case."""

    case: Case
    dense: float
    gather: float


def force_kernel(name: str) -> contextlib.AbstractContextManager[None]:
    """Compute all primitives with one kind of kernel inside a ``with`` block, in all threads.

    Args:
        name: ``"dense"`` or ``"gather"``.

    Raises:
        ValueError: the name is neither.

    >>> with force_kernel("gather"):
    ...     prefers_dense(Case("spline_forward", "tf32", 3, 13, 64), None)
    False
    """
    if name not in KERNELS:
        raise ValueError(f"kernel {name!r} is not one of {', '.join(KERNELS)}")
    return _forced.block(name)


def prefers_dense(case: Case, gpu: str | None) -> bool:
    """Whether the dense kernel is the faster one.

    Args:
        case: what is computed.
        gpu: name of the card, whose timings are looked up; None for the roofline alone.

    >>> prefers_dense(Case("spline_forward", "tf32", 3, 13, 64), None)
    True
    >>> prefers_dense(Case("spline_forward", "fp32", 3, 203, 64), None)
    False
    """
    if (name := _forced.name) is not None:
        return name == "dense"
    return _unforced(case, gpu)


@functools.cache
def _unforced(case: Case, gpu: str | None) -> bool:
    """Cached: a table has a thousand rows, and every launch asks."""
    timings = [] if gpu is None else load_timings(gpu)
    comparable = [t for t in timings if _kind(t.case) == _kind(case)]
    if comparable:
        nearest = min(comparable, key=lambda t: _distance(t.case, case))
        return nearest.dense <= nearest.gather
    return roofline(case)


def roofline(case: Case) -> bool:
    """Whether arithmetic and cache rates suggest the dense kernel.

    Matrix units multiply whole tiles and caches hand over whole sectors, so both take as long for one output
    as for a full tile or sector of them.

    >>> [roofline(Case("spline_forward", "fp32", 3, 20, outputs)) for outputs in (1, 64)]
    [False, True]
    """
    dense = _padded(case.rows, _TILE_SIDE) * _padded(case.outputs, _TILE_SIDE) / _DENSE_RATE[case.precision]
    gather = (case.order + 1) * _padded(case.outputs, _SECTOR) / _GATHER_RATE
    return dense <= gather


def _padded(number: int, multiple: int) -> int:
    return multiple * math.ceil(number / multiple)


def _kind(case: Case) -> tuple[str, str, int]:
    return case.primitive, case.precision, case.order


def _distance(a: Case, b: Case) -> float:
    return math.hypot(math.log(a.rows / b.rows), math.log(a.outputs / b.outputs))


def timings_path(gpu: str) -> Path:
    """Where the timings of a card are saved: ``$XDG_CACHE_HOME/kanfield/<card>.json``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not cache.is_absolute():  # a user without a home
        cache = Path(tempfile.gettempdir())
    return cache / "kanfield" / (gpu.replace(" ", "-").replace("/", "-") + ".json")


@functools.cache
def load_timings(gpu: str) -> list[Timing]:
    """The timings saved for a card; none where the file cannot be read."""
    try:
        rows = json.loads(timings_path(gpu).read_text(encoding="utf-8"))
        return [Timing(Case(**row["case"]), float(row["dense"]), float(row["gather"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def save_timings(gpu: str, rows: list[Timing]) -> Path:
    """Save the timings of a card and use them from now on.

    Args:
        gpu: name of the card.
        rows: its timings.

    Returns:
        The file.
    """
    path = timings_path(gpu)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, [asdict(row) for row in rows])
    clear_cache()
    return path


def clear_cache() -> None:
    """Read the saved timings again when they are next needed."""
    load_timings.cache_clear()
    _unforced.cache_clear()


@dataclass(frozen=True)
class TileSizes:
    """Sizes of a program's tiles, all powers of two.

    Attributes:
        samples: of a tile.
        rows: of coefficients.
        outputs: of a tile.
        warps: that share a tile.
    """

    samples: int
    rows: int
    outputs: int
    warps: int


def tile_sizes(samples: int, rows: int, outputs: int, most_samples: int = 64) -> TileSizes:
    """Tiles that spill no registers.

    Args:
        samples: N.
        rows: of an input's coefficients.
        outputs: O.
        most_samples: in a tile.

    >>> tile_sizes(65536, 10, 64)
    TileSizes(samples=64, rows=16, outputs=64, warps=8)
    """
    wide = min(64, max(_TILE_SIDE, _power_of_two(outputs)))
    high = min(32, max(_TILE_SIDE, _power_of_two(rows)))
    tall = min(most_samples, max(_TILE_SIDE, _power_of_two(samples)))
    return TileSizes(tall, high, wide, 8 if tall == most_samples else 4)


def num_splits(programs: int, rounds: int, fewest: int) -> int:
    """Into how many parts a sum is split, each added up by programs of its own.

    Few programs would leave multiprocessors idle, while each of their loops waits for one load after another.

    Args:
        programs: number of them without a split.
        rounds: of a program's loop without a split.
        fewest: rounds that a part has to have.

    >>> num_splits(programs=32, rounds=64, fewest=4)
    8
    """
    return max(1, min(_PROGRAMS // max(1, programs), rounds // fewest))


def _power_of_two(number: int) -> int:
    return 1 << max(0, number - 1).bit_length()
