"""The variants of computing a layer: backends in every precision, and the usual dense formulation."""

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
class Variant:
    """One variant of computing a layer.

    Attributes:
        name: a backend, :data:`DENSE` or :data:`COMPILED`.
        precision: of its products.
        unavailable: why it is left out, in words, or None.
    """

    name: str
    precision: str = "fp32"
    unavailable: str | None = None

    @property
    def key(self) -> str:
        """Name and precision."""
        return f"{self.name}, {self.precision}"


@dataclass
class Problem:
    """A layer with inputs and a gradient of its outputs, random but the same every time.

    Attributes:
        shape: of the layer.
        samples: N.
        device: of all tensors.
        layer: the layer.
        x: inputs, shape ``(N, I)``.
        g: gradient of the outputs, shape ``(N, O)``.
    """

    shape: Shape
    samples: int
    device: torch.device
    layer: KANLayer = field(init=False)
    x: Tensor = field(init=False)
    g: Tensor = field(init=False)

    def __post_init__(self) -> None:
        generator, s = torch.Generator().manual_seed(0), self.shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = KANLayer(s.inputs, s.outputs, s.grid, s.order).to(self.device)
        x = 2 * torch.rand(self.samples, s.inputs, generator=generator) - 1
        self.x = x.to(self.device).requires_grad_()
        self.g = torch.randn(self.samples, s.outputs, generator=generator).to(self.device)

    def run(self, variant: Variant) -> Pass:
        """Forward and backward of the layer by a variant."""
        if variant.name in (DENSE, COMPILED):
            return Pass(DenseLayer(self.layer), self.x, self.g, variant)
        s = self.shape
        own = KANLayer(s.inputs, s.outputs, s.grid, s.order, precision=variant.precision).to(self.device)
        own.load_state_dict(self.layer.state_dict())
        return Pass(own, self.x, self.g, variant)


class Pass:
    """Forward and backward of a module; keeps the results of the last call.

    Args:
        net: the module.
        x: its inputs.
        g: gradient of its outputs.
        variant: how the module is computed.
    """

    def __init__(self, net: nn.Module, x: Tensor, g: Tensor, variant: Variant) -> None:
        self._net: Callable[[Tensor], Tensor] = torch.compile(net) if variant.name == COMPILED else net
        self._x, self._g, self._variant = x, g, variant
        self._parameters = list(net.parameters())
        self._y: Tensor | None = None

    def __call__(self) -> None:
        """Run forward and backward once, from gradients of None."""
        self._x.grad = None
        for parameter in self._parameters:
            parameter.grad = None
        with _configured(self._variant, self._x.device):
            self._y = self._net(self._x)
            self._y.backward(self._g)  # type: ignore[no-untyped-call]

    def results(self) -> list[Tensor]:
        """Values and the gradients of inputs and parameters, freshly computed."""
        self()
        assert self._y is not None
        gradients = [leaf.grad for leaf in (self._x, *self._parameters)]
        results = [self._y.detach(), *(g for g in gradients if g is not None)]
        self.release()
        return results

    def release(self) -> None:
        """Free the results of the last call."""
        self._y = self._x.grad = None
        for parameter in self._parameters:
            parameter.grad = None


@contextlib.contextmanager
def _configured(variant: Variant, device: torch.device) -> Iterator[None]:
    if variant.name in (DENSE, COMPILED):
        with matrix_precision(device, variant.precision):
            yield
    else:
        # Plain torch multiplies too, for the smooth branch.
        with use_backend(variant.name), matrix_precision(device, "fp32"):
            yield


def variants_on(device: torch.device, compiled: bool = True) -> list[Variant]:
    """Every variant that a device has or might have, the default backend first.

    Args:
        device: where the layer is computed.
        compiled: with ``torch.compile`` of the dense formulation.

    >>> [variant.name for variant in variants_on(torch.device("cpu"), compiled=False)]
    ['native', 'reference', 'dense formulation']
    """
    variants: list[Variant] = []
    if device.type == "cpu":
        reason = None if native is not None else f"the native core is not built ({native_error})"
        variants.append(Variant("native", unavailable=reason))
    elif device.type == "cuda":
        reason = triton_unavailable(str(device))
        variants += [Variant("triton", precision, reason) for precision in PRECISIONS]
    variants.append(Variant("reference"))
    for name in (DENSE, COMPILED)[: 2 if compiled else 1]:
        precisions = ("fp32", "tf32") if device.type == "cuda" else ("fp32",)
        variants += [Variant(name, precision) for precision in precisions]
    return variants
