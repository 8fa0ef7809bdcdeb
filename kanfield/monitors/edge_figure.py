"""A figure of what a KAN's edges have learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kanfield.fields.kan import KAN
from kanfield.fields.kan_layer import KANLayer
from kanfield.splines import spline

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_EDGES = 6  # edges drawn per layer
_POINTS = 400


@torch.no_grad()
def edge_functions(layer: KANLayer, inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Splines plus base of some edges over their ranges.

    Args:
        layer: The layer.
        inputs: Input units of the edges, int64, shape ``(E,)``.
        outputs: Their output units, int64, shape ``(E,)``.

    Returns:
        Positions and values, both of shape ``(points, E)``.
    """
    steps = torch.linspace(0, 1, _POINTS).to(layer.coef)[:, None]
    x = layer.lower + steps * (layer.upper - layer.lower)  # (points, I)
    coef, values = layer.merged_coef(), []
    for i, o in zip(inputs.tolist(), outputs.tolist(), strict=True):
        only = torch.zeros(_POINTS, layer.in_features).to(x)
        only[:, i] = 1
        y = spline(x, coef[:, o : o + 1].contiguous(), layer.grid, layer.order, weight=only)[:, 0]
        if layer.base_weight is not None:
            y = y + nn.functional.silu(x[:, i]) * layer.base_weight[i, o]
        values.append(y)
    return x[:, inputs], torch.stack(values, 1)


def edge_figure(field: nn.Module) -> Figure | None:
    """A row of curves for every layer, edges evenly spaced in it; None for fields without splines."""
    if not isinstance(field, KAN):
        return None
    from matplotlib.figure import Figure

    layers = [layer for layer in field.layers if isinstance(layer, KANLayer)]
    figure = Figure(figsize=(1.9 * _EDGES, 1.7 * len(layers) + 0.5), layout="constrained")
    axes = figure.subplots(len(layers), _EDGES, squeeze=False)
    for number, (layer, row) in enumerate(zip(layers, axes, strict=True)):
        count = layer.in_features * layer.out_features
        edges = torch.linspace(0, count - 1, min(_EDGES, count)).round().long()
        inputs, outputs = edges // layer.out_features, edges % layer.out_features
        x, y = edge_functions(layer, inputs, outputs)
        for axis in row[len(edges) :]:
            axis.set_axis_off()
        for e, axis in zip(range(len(edges)), row, strict=False):
            axis.plot(x[:, e].cpu(), y[:, e].cpu(), linewidth=0.9, color="#0072B2")
            axis.set_title(f"{inputs[e]} → {outputs[e]}", fontsize=8)
            axis.tick_params(labelsize=6)
        row[0].set_ylabel(f"layer {number + 1}, G = {layer.grid_size}", fontsize=8)
    figure.suptitle("Learned edge functions over their grids (input unit → output unit)", fontsize=9)
    return figure
