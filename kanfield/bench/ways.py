"""The ways of computing a KAN layer forward and backward: backends in every precision, and the usual one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from kanfield import KANLayer
from kanfield.bench.dense import DenseLayer
from kanfield.bench.rates import matrix_precision
from kanfield.bench.shape import Shape
from kanfield.splines import PRECISIONS, use_backend
from kanfield.splines.backend import native, native_error, triton_unavailable

DENSE, COMPILED = "dense formulation", "dense, torch.compile"


@dataclass
class Way:
    """One way of computing a layer.

    Attributes:
        name: a backend, :data:`DENSE` or :data:`COMPILED`. precision: of its products.
        lacks: why it is left out, in words, or None.
    """

    name: str
    precision: str = "fp32"
    lacks: str | None = None

    @property
    def key(self) -> str:
        """Name and precision."""
        return f"{self.name}, {self.precision}"


@dataclass
class Problem:
    """A layer of a shape with inputs ``x`` (N, I) and a gradient ``g`` (N, O) of its outputs."""

    shape: Shape
    samples: int
    device: torch.device
    layer: KANLayer = field(init=False)

    def __post_init__(self) -> None:
        generator, s = torch.Generator().manual_seed(0), self.shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = KANLayer(s.inputs, s.outputs, s.grid, s.order).to(self.device)
        x = 2 * torch.rand(self.samples, s.inputs, generator=generator) - 1
        self.x = x.to(self.device).requires_grad_()
        self.g = torch.randn(self.samples, s.outputs, generator=generator).to(self.device)

    def run(self, way: Way) -> Pass:
        """Forward and backward in a way."""
        if way.name in (DENSE, COMPILED):
            return Pass(DenseLayer(self.layer), self, way)
        s = self.shape
        own = KANLayer(s.inputs, s.outputs, s.grid, s.order, precision=way.precision).to(self.device)
        own.load_state_dict(self.layer.state_dict())
        return Pass(own, self, way)


class Pass:
    """Forward and backward of a net on a problem; keeps what came of the last."""

    def __init__(self, net: nn.Module, problem: Problem, way: Way) -> None:
        self._net: Callable[[Tensor], Tensor] = torch.compile(net) if way.name == COMPILED else net
        self._problem, self._way = problem, way
        self._parameters = list(net.parameters())
        self._y: Tensor | None = None

    def __call__(self) -> None:
        x = self._problem.x
        x.grad = None
        for parameter in self._parameters:
            parameter.grad = None
        with _using(self._way, x.device):
            self._y = self._net(x)
            self._y.backward(self._problem.g)  # type: ignore[no-untyped-call]

    def results(self) -> list[Tensor]:
        """Values and the gradients of inputs and parameters, freshly computed."""
        self()
        assert self._y is not None
        gradients = [leaf.grad for leaf in (self._problem.x, *self._parameters)]
        found = [self._y.detach(), *(g for g in gradients if g is not None)]
        self.forget()
        return found

    def forget(self) -> None:
        """Let go of what the last pass made."""
        self._y = self._problem.x.grad = None
        for parameter in self._parameters:
            parameter.grad = None


@contextlib.contextmanager
def _using(way: Way, device: torch.device) -> Iterator[None]:
    if way.name in (DENSE, COMPILED):
        with matrix_precision(device, way.precision):
            yield
    else:
        # Plain torch multiplies too, for the smooth branch.
        with use_backend(way.name), matrix_precision(device, "fp32"):
            yield


def ways_on(device: torch.device, compiled: bool = True) -> list[Way]:
    """Every way that a device has or might have, the default backend first.

    Args:
        compiled: with torch.compile of the dense formulation.

    >>> [way.name for way in ways_on(torch.device("cpu"), compiled=False)]
    ['native', 'reference', 'dense formulation']
    """
    if device.type == "cpu":
        missing = None if native is not None else f"the native core is not built ({native_error})"
        ways = [Way("native", lacks=missing)]
    elif device.type == "cuda":
        missing = triton_unavailable(str(device))
        ways = [Way("triton", precision, missing) for precision in PRECISIONS]
    else:
        ways = []
    ways.append(Way("reference"))
    for name in (DENSE, COMPILED)[: 2 if compiled else 1]:
        ways += [
            Way(name, precision) for precision in (("fp32", "tf32") if device.type == "cuda" else ("fp32",))
        ]
    return ways
