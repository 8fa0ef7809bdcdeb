"""What the machine can do at best: operations of a matrix product, and bytes of a copy, per second."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from kanfield.bench.clock import Effort, Run, interleaved


@dataclass(frozen=True)
class Rates:
    """Measured rates.

    Attributes:
        products: operations per second of a matrix product, by precision (a multiply-add is two).
        copy: bytes per second of a copy, counting those read and those written.
    """

    products: dict[str, float]
    copy: float


class Products:
    """Square matrix products in every precision that a device has units for.

    Args:
        device: where.
        quick: take smaller ones, which reach a little less.

    Attributes:
        runs: what to time, by precision.
    """

    def __init__(self, device: torch.device, quick: bool = False) -> None:
        large, small = (8192, 4096) if device.type == "cuda" else (1024, 512)
        self.side = small if quick else large
        a = torch.randn(self.side, self.side, device=device)
        self.runs: dict[str, Run] = {"fp32": _product(a, device, "fp32")}
        if device.type == "cuda":
            self.runs["tf32"] = _product(a, device, "tf32")
            self.runs["bf16"] = _product(a.bfloat16(), device, "bf16")

    def rates(self, seconds: dict[str, float]) -> dict[str, float]:
        """Operations per second, by precision.

        ``tf32x3`` is three products in tf32, and so has a third of their rate.

        Args:
            seconds: that each of :attr:`runs` took.
        """
        rates = {name: 2 * self.side**3 / seconds[name] for name in self.runs}
        if "tf32" in rates:
            rates["tf32x3"] = rates["tf32"] / 3
        return rates


class Copy:
    """A copy of far more numbers than a cache holds; call it to time it.

    Args:
        device: where.
    """

    def __init__(self, device: torch.device) -> None:
        self._source = torch.randn(1 << (24 if device.type == "cpu" else 26), device=device)
        self._target = torch.empty_like(self._source)

    def __call__(self) -> None:
        """Copy once."""
        self._target.copy_(self._source)

    def rate(self, seconds: float) -> float:
        """Bytes per second, counting those read and those written.

        Args:
            seconds: that a copy took.
        """
        return 2 * self._source.nbytes / seconds


def measure_rates(device: torch.device, effort: Effort, quick: bool = False) -> Rates:
    """Measure the rates of a device.

    Args:
        device: which one.
        effort: how long to measure.
        quick: take smaller matrices, which reach a little less.
    """
    products, moving = Products(device, quick), Copy(device)
    seconds = interleaved({**products.runs, "copy": moving}, device, effort)
    return Rates(products.rates(seconds), moving.rate(seconds["copy"]))


@contextlib.contextmanager
def matrix_precision(device: torch.device, precision: str) -> Iterator[None]:
    """Compute torch's own float32 products on a GPU in a precision, inside a ``with`` block.

    Args:
        device: where; nothing changes on others than CUDA's.
        precision: ``"fp32"`` or ``"tf32"``; nothing changes for others.
    """
    if device.type != "cuda" or precision not in ("fp32", "tf32"):
        yield
        return
    # The older of torch's two switches: its compiler reads that one, and fails where the newer was used.
    settings = torch.backends.cuda.matmul
    before = settings.allow_tf32
    settings.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        settings.allow_tf32 = before


def _product(a: Tensor, device: torch.device, precision: str) -> Run:
    def run() -> None:
        with matrix_precision(device, precision):
            torch.mm(a, a)

    return run
