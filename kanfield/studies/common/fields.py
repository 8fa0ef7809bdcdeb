"""Fields in the shapes that papers give, which differ from the registry's defaults for images."""

from __future__ import annotations

from collections.abc import Sequence

from kanfield.fields import build_field
from kanfield.fields.field import Field


def paper_field(
    family: str,
    inputs: int,
    *,
    kan_widths: Sequence[int],
    grid: int,
    mlp_widths: Sequence[int],
    activation: str,
) -> Field:
    """A fresh field of one output in double precision.

    Args:
        family: ``"kan"`` and ``"mlp"`` take the shapes below; any other family has its registered defaults.
        inputs: number of coordinates.
        kan_widths: hidden units of a KAN with cubic splines, started without waves.
        grid: cells of every layer of that KAN.
        mlp_widths: hidden units of an MLP.
        activation: of that MLP.

    >>> field = paper_field("kan", 1, kan_widths=[10], grid=20, mlp_widths=[256], activation="tanh")
    >>> [layer.coef.shape[0] for layer in field.layers]
    [23, 230]
    """
    options: dict[str, object] = {}
    if family == "kan":
        options = {"widths": list(kan_widths), "grids": [grid] * (len(kan_widths) + 1), "order": 3}
        options |= {"init_noise": 0.1}
    elif family == "mlp":
        options = {"widths": list(mlp_widths), "activation": activation}
    return build_field(family, inputs, 1, options).double()
