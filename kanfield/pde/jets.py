"""Jets: values with their first and pure second derivatives in every coordinate, carried forward.

A jet goes through a KAN layer by the chain rule, on the spline operator's own derivative orders:
``y_d = sum phi'(z) z_d`` and ``y_dd = sum phi''(z) z_d^2 + phi'(z) z_dd``. Other fields take
their gradients, and derivatives of these along each coordinate, from ``torch.func``. Everything can be
differentiated again in the parameters. The short twin, by double backward, is :func:`jet_of`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad, jvp

from kanfield.fields.kan import KAN
from kanfield.fields.kan_layer import KANLayer
from kanfield.splines import spline


class Jet(NamedTuple):
    """Values at ``N`` points and their derivatives in ``D`` coordinates.

    Attributes:
        value: shape ``(N, F)``.
        first: first derivatives, shape ``(D, N, F)``.
        second: second derivatives, each twice in the same coordinate, shape ``(D, N, F)``.
    """

    value: Tensor
    first: Tensor
    second: Tensor


@torch.enable_grad()
def jet_of(function: Callable[[Tensor], Tensor], points: Tensor) -> Jet:
    """The jet of any function of points, by double backward; the graph of its parameters is kept.

    Args:
        function: from points ``(N, D)`` to values ``(N, F)``, each row by itself.
        points: shape ``(N, D)``.

    >>> jet = jet_of(lambda p: p[:, :1] ** 2 * p[:, 1:], torch.tensor([[3.0, 2.0]]))
    >>> jet.value.item(), jet.first.flatten().tolist(), jet.second.flatten().tolist()
    (18.0, [12.0, 9.0], [4.0, 0.0])
    """
    points = points.detach().requires_grad_(True)
    value = function(points)
    firsts, seconds = [], []
    for column in value.unbind(1):
        first = _slopes(column, points)
        firsts.append(first)
        seconds.append(torch.stack([_slopes(s, points)[:, d] for d, s in enumerate(first.unbind(1))], 1))
    return Jet(value, torch.stack(firsts, -1).transpose(0, 1), torch.stack(seconds, -1).transpose(0, 1))


def _slopes(column: Tensor, points: Tensor) -> Tensor:
    """Derivatives (N, D) of numbers (N,), each of its own point; zero where they depend on none."""
    if not column.requires_grad:
        return torch.zeros_like(points)
    (slopes,) = torch.autograd.grad(
        column.sum(), points, create_graph=True, allow_unused=True, materialize_grads=True
    )
    return slopes


def field_jet(field: nn.Module, inputs: Jet) -> Jet:
    """The jet of a field's values.

    Args:
        field: a KAN, or any other field of one value.
        inputs: jet of what the field sees, ``F`` numbers a point.

    >>> field = KAN(2, 1, widths=[3], grids=5)
    >>> points = torch.rand(7, 2)
    >>> ours, twin = field_jet(field, jet_of(lambda p: p, points)), jet_of(field, points)
    >>> torch.allclose(ours.second, twin.second, atol=1e-4)
    True
    """
    layers = spline_layers(field)
    if layers is None:
        return _by_gradients(field, inputs)
    return layer_jets(field, layers, inputs)[-1]


def spline_layers(field: nn.Module) -> list[KANLayer] | None:
    """The layers of a KAN that are the whole of it but for directions; None for any other field."""
    if not isinstance(field, KAN) or field.encoding not in ("none", "directions"):
        return None
    return [layer for layer in field.layers if isinstance(layer, KANLayer)]


def layer_jets(field: nn.Module, layers: list[KANLayer], inputs: Jet) -> list[Jet]:
    """The jets of a KAN's inputs to its first layer, and of every layer's outputs."""
    axes = getattr(field, "axes", None)
    jets = [inputs if axes is None else Jet(*(part @ axes.to(part) for part in inputs))]
    for layer in layers:
        jets.append(layer_jet(layer, jets[-1]))
    return jets


def layer_jet(layer: KANLayer, inputs: Jet) -> Jet:
    """The jet of a layer's outputs.

    Args:
        layer: with ``I`` inputs and ``O`` outputs.
        inputs: ``I`` numbers a point.
    """
    x, coef = inputs.value, layer.merged_coef()

    def splines(derivative: int, weight: Tensor | None = None) -> Tensor:
        return spline(x, coef, layer.grid, layer.order, derivative=derivative, weight=weight)

    value = splines(0)
    first = torch.stack([splines(1, slope) for slope in inputs.first])
    second = torch.stack(
        [
            splines(2, slope * slope) + splines(1, bend)
            for slope, bend in zip(inputs.first, inputs.second, strict=True)
        ]
    )
    if layer.base_weight is None:
        return Jet(value, first, second)
    branch = chain([silu_derivative(x, v) for v in range(3)], inputs)
    return Jet(*(a + b @ layer.base_weight for a, b in zip((value, first, second), branch, strict=True)))


def chain(derivatives: list[Tensor], inputs: Jet) -> Jet:
    """The jet of ``f(z)``, elementwise, from ``[f(z), f'(z), f''(z)]`` and the jet of z.

    The derivatives may have one more dimension at their end, for several functions of each number.
    """
    value, slope, bend = derivatives
    extra = (...,) + (None,) * (value.ndim - inputs.value.ndim)
    first, second = inputs.first[extra], inputs.second[extra]
    return Jet(value, slope * first, bend * first * first + slope * second)


def silu_derivative(x: Tensor, order: int) -> Tensor:
    """SiLU, ``x s(x)`` with the logistic function s, or its first or second derivative.

    >>> silu_derivative(torch.tensor(0.0), 1).item()
    0.5
    """
    s = torch.sigmoid(x)
    if order == 0:
        return x * s
    slope = s * (1 - s)
    return s + x * slope if order == 1 else slope * (2 + x * (1 - 2 * s))


def _by_gradients(field: nn.Module, inputs: Jet) -> Jet:
    """By the chain rule, from gradients in what the field sees and how they turn along each coordinate."""

    def slopes(x: Tensor) -> Tensor:
        result: Tensor = grad(lambda x: field(x).sum())(x)  # no sample depends on another
        return result

    steep = slopes(inputs.value)
    firsts, seconds = [], []
    for first, second in zip(inputs.first, inputs.second, strict=True):
        turn = jvp(slopes, (inputs.value,), (first,))[1]
        firsts.append((steep * first).sum(1, keepdim=True))
        seconds.append((turn * first + steep * second).sum(1, keepdim=True))
    return Jet(field(inputs.value), torch.stack(firsts), torch.stack(seconds))
