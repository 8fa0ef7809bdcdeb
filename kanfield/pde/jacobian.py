"""Exact Jacobians of residuals in all parameters of a field.

A residual depends on a KAN layer's coefficients through the jet of the layer's outputs, which is linear in
them: ``dr/dc[i, j, o] = sum over the jet's parts of (dr / d part_o) * part of B_j(z_i)``. The first factor
comes from one backward pass for all samples at once, since no sample depends on another; the second holds the
k + 1 B-splines that do not vanish. In a linear layer z itself stands in their place. The short twin, by
``torch.func``, is :func:`reference_jacobian`; it also serves all other families of fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from kanfield.errors import InputError
from kanfield.fields.kan_layer import KANLayer
from kanfield.pde.jets import Jet, chain, field_jet, layer_jets, silu_derivative, spline_layers
from kanfield.splines.basis import active_basis, locate


class Samples(NamedTuple):
    """Points, and what is known there before the field is.

    The solution is ``lift + mask * field(features)``: where the mask is zero, the lift is prescribed.

    Attributes:
        points: coordinates, shape ``(N, D)``.
        features: jet of what the field sees, ``F`` numbers a point.
        lift: jet of one number a point.
        mask: jet of one number a point.
    """

    points: Tensor
    features: Jet
    lift: Jet
    mask: Jet


Residual = Callable[[Jet, Samples], Tensor]


def jacobian(
    field: nn.Module, samples: Samples, residual: Residual, outer: bool = False
) -> tuple[Tensor, Tensor]:
    """Residuals and their derivatives in all parameters.

    Args:
        field: of one value.
        samples: ``N`` of them.
        residual: from the jet of the field's values to residuals ``(N,)``, each from its own sample alone.
        outer: whether the derivatives are those in the parameters of a KAN's last layer alone.

    Returns:
        Shapes ``(N,)`` and ``(N, P)``, without a graph; columns in the order of ``field.parameters()``.

    >>> from kanfield.fields.kan import KAN
    >>> from kanfield.pde.jets import jet_of
    >>> features = jet_of(lambda p: p, torch.rand(6, 2))
    >>> samples = Samples(features.value, features, features, features)
    >>> field = KAN(2, 1, widths=[3], grids=5)
    >>> r, matrix = jacobian(field, samples, lambda u, samples: u.second.sum(0)[:, 0])
    >>> matrix.shape
    torch.Size([6, 81])
    """
    layers = spline_layers(field)
    nested = any(len(layer.coarse_coef) for layer in layers or [])
    with torch.enable_grad():
        passes = None if nested else layer_jets(field, samples.features)
    if passes is None:
        r, matrix = reference_jacobian(field, samples, residual)
        return r, matrix[:, -outer_size(layers) :] if outer and layers is not None else matrix
    with torch.enable_grad():
        r = residual(passes[-1].outputs, samples)
        passes = passes[-1:] if outer else passes
        wanted = [part for each in passes for part in each.outputs]
        found = torch.autograd.grad(r.sum(), wanted, allow_unused=True, materialize_grads=True)
    widths = [sum(p.numel() for p in each.layer.parameters()) for each in passes]
    matrix = torch.zeros(len(r), sum(widths), dtype=r.dtype)
    with torch.no_grad():
        for number, (each, block) in enumerate(zip(passes, matrix.split(widths, 1), strict=True)):
            fill = _fill_linear if isinstance(each.layer, nn.Linear) else _fill_splines
            inputs = Jet(*(part.detach() for part in each.inputs))
            fill(block, each.layer, inputs, Jet(*found[3 * number : 3 * number + 3]))  # type: ignore[arg-type]
    return r.detach(), matrix


def outer_size(layers: list[KANLayer]) -> int:
    """How many parameters the last layer has."""
    return sum(p.numel() for p in layers[-1].parameters())


def _fill_linear(block: Tensor, layer: nn.Linear, inputs: Jet, adjoint: Jet) -> None:
    """Write a layer's columns: first those of ``weight``, then those of ``bias``."""
    block[:, : layer.weight.numel()] = _products(adjoint, inputs).flatten(1)
    block[:, layer.weight.numel() :] = adjoint.value


def _fill_splines(block: Tensor, layer: KANLayer, inputs: Jet, adjoint: Jet) -> None:
    """Write a layer's columns: first those of ``coef``, then those of ``base_weight``."""
    splines = block[:, : layer.coef.numel()].unflatten(1, (-1, layer.out_features))
    columns, taps = active_jet(layer, inputs)
    samples = torch.arange(len(block))[:, None]
    splines[samples, columns.flatten(1)] = _products(taps, adjoint).flatten(1, 2)
    if layer.base_weight is not None:
        branch = chain([silu_derivative(inputs.value, v) for v in range(3)], inputs)
        block[:, layer.coef.numel() :] = _products(branch, adjoint).flatten(1)


def _products(basis: Jet, adjoint: Jet) -> Tensor:
    """``dr/dc`` of every function of a basis ``(N, ..., O)``: products summed over the parts of the jets."""
    return torch.einsum("pn...,pno->n...o", _stack(basis), _stack(adjoint))


def _stack(jet: Jet) -> Tensor:
    return torch.cat([jet.value[None], jet.first, jet.second])


def active_jet(layer: KANLayer, inputs: Jet) -> tuple[Tensor, Jet]:
    """The jets of the k + 1 B-splines of a layer's finest grid that do not vanish at each sample.

    Args:
        layer: with ``I`` inputs and ``K`` B-splines on each.
        inputs: ``I`` numbers a point.

    Returns:
        Numbers of the splines among all ``I K`` of the layer, shape ``(N, I, k + 1)``, and their jet, with
        shapes ``(N, I, k + 1)`` and ``(D, N, I, k + 1)``.
    """
    x, scale = inputs.value, layer.grid.scale.to(inputs.value)
    cells = locate(x, layer.lower.to(x), scale, layer.grid_size)
    splines = layer.grid_size + layer.order
    first = cells.cell + splines * torch.arange(x.shape[1])
    taps = [torch.stack(active_basis(cells, scale, layer.order, derivative), -1) for derivative in range(3)]
    return first[..., None] + torch.arange(layer.order + 1), chain(taps, inputs)


class _WithJet(nn.Module):
    """A field whose values come with their jets, for ``functional_call``."""

    def __init__(self, field: nn.Module) -> None:
        super().__init__()
        self.field = field

    def forward(self, inputs: Jet) -> Jet:
        return field_jet(self.field, inputs)


def reference_jacobian(field: nn.Module, samples: Samples, residual: Residual) -> tuple[Tensor, Tensor]:
    """As :func:`jacobian`, by ``torch.func``: one gradient for each sample.

    Raises:
        InputError: the residual cannot be computed for one sample by itself.
    """
    module = _WithJet(field)
    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def one(values: dict[str, Tensor], sample: Samples) -> tuple[Tensor, Tensor]:
        points, *jets = sample
        alone = Samples(
            points[None], *(Jet(j.value[None], j.first[:, None], j.second[:, None]) for j in jets)
        )
        r = residual(functional_call(module, values, (alone.features,)), alone)[0]
        return r, r

    each = Jet(0, 1, 1)  # type: ignore[arg-type]
    with torch.enable_grad():
        run = vmap(grad(one, has_aux=True), in_dims=(None, Samples(0, each, each, each)))  # type: ignore[arg-type]
        try:
            gradients, r = run(parameters, samples)
        except RuntimeError as error:
            if "Batching rule" in str(error):  # which torch lacks for products of complex numbers, say
                raise InputError(
                    "torch cannot differentiate this family of fields sample by sample, as --optimizer lm "
                    "asks: give lbfgs or adam"
                ) from None
            if "vmap" not in str(error):
                raise
            raise InputError(
                "the problem's functions ask for numbers of all points (if, item(), NumPy), which are taken "
                "one by one here: write torch.where in place of if"
            ) from None
    return r, torch.cat([g.reshape(len(r), -1) for g in gradients.values()], 1)
