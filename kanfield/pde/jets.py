"""Jets: values with their first and pure second derivatives in every coordinate, carried forward.

A jet goes through a KAN layer by the chain rule, on the spline operator's own derivative orders:
``y_d = sum phi'(z) z_d`` and ``y_dd = sum phi''(z) z_d^2 + phi'(z) z_dd``; likewise through the linear layers
and the activations of dense networks. Other fields take their gradients, and derivatives of these along each
coordinate, from ``torch.func``. Everything can be differentiated again in the parameters. The short twin, by
double backward, is :func:`jet_of`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import grad, jvp

from kanfield.fields.dense import DenseNetwork, EncodedNetwork
from kanfield.fields.kan import KAN
from kanfield.fields.kan_layer import KANLayer
from kanfield.process import quiet_warnings
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
    passes = layer_jets(field, inputs)
    return _by_gradients(field, inputs) if passes is None else passes[-1].outputs


def spline_layers(field: nn.Module) -> list[KANLayer] | None:
    """The layers of a KAN that are the whole of it but for directions; None for any other field."""
    if not isinstance(field, KAN) or field.encoding not in ("none", "directions") or field.has_residual:
        return None
    return [layer for layer in field.layers if isinstance(layer, KANLayer)]


class LayerJets(NamedTuple):
    """What goes into a layer and what comes out of it, before any activation."""

    layer: KANLayer | nn.Linear
    inputs: Jet
    outputs: Jet


def layer_jets(field: nn.Module, inputs: Jet) -> list[LayerJets] | None:
    """The jets at all layers of a KAN or a dense network, in the order of its parameters.

    Args:
        field: any; None is returned for other families.
        inputs: jet of what the field sees.
    """
    splines = spline_layers(field)
    if splines is not None:
        return _spline_jets(field, splines, inputs)
    if isinstance(field, EncodedNetwork):
        inputs = _jet_along(field.encode, inputs)
        field = field.network
    if isinstance(field, DenseNetwork) and type(field).forward is DenseNetwork.forward:
        return _dense_jets(field, inputs)
    return None


def _spline_jets(field: nn.Module, layers: list[KANLayer], inputs: Jet) -> list[LayerJets]:
    axes = getattr(field, "axes", None)
    jet = inputs if axes is None else Jet(*(part @ axes.to(part) for part in inputs))
    passes = []
    for layer in layers:
        passes.append(LayerJets(layer, jet, layer_jet(layer, jet)))
        jet = passes[-1].outputs
    return passes


def _dense_jets(field: DenseNetwork, inputs: Jet) -> list[LayerJets]:
    jet, passes = inputs, []
    for number, layer in enumerate(field.linear_layers()):
        passes.append(LayerJets(layer, jet, _linear_jet(layer, jet)))
        z = passes[-1].outputs
        jet = chain(_derivatives(functools.partial(field.activate, layer=number), z.value), z)
    return [*passes, LayerJets(field.last, jet, _linear_jet(field.last, jet))]


def _linear_jet(layer: nn.Linear, inputs: Jet) -> Jet:
    weight = layer.weight.T
    return Jet(layer(inputs.value), inputs.first @ weight, inputs.second @ weight)


def _derivatives(function: Callable[[Tensor], Tensor], z: Tensor) -> list[Tensor]:
    """Values of an elementwise function, its first and its second derivative."""
    ones = torch.ones_like(z)
    slope, bend = _jvp(lambda z: _jvp(function, (z,), (ones,))[1], (z,), (ones,))
    return [function(z), slope, bend]


def _jet_along(function: Callable[[Tensor], Tensor], inputs: Jet) -> Jet:
    """The jet of any function of each row, one coordinate after another."""

    def turn(x: Tensor, direction: Tensor) -> Tensor:
        return _jvp(function, (x,), (direction,))[1]

    x = inputs.value
    pairs = [_jvp(turn, (x, v), (v, a)) for v, a in zip(inputs.first, inputs.second, strict=True)]
    return Jet(function(x), *(torch.stack(parts) for parts in zip(*pairs, strict=True)))


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
        turn = _jvp(slopes, (inputs.value,), (first,))[1]
        firsts.append((steep * first).sum(1, keepdim=True))
        seconds.append((turn * first + steep * second).sum(1, keepdim=True))
    return Jet(field(inputs.value), torch.stack(firsts), torch.stack(seconds))


def _jvp(
    function: Callable[..., Tensor], at: tuple[Tensor, ...], along: tuple[Tensor, ...]
) -> tuple[Tensor, Tensor]:
    with quiet_warnings():  # the first call in a process makes torch warn of its own code
        value, slope = jvp(function, at, along)  # type: ignore[misc]
    return value, slope
