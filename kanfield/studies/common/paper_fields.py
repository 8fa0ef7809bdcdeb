"""Fields in the shapes that papers give, beside those that the registry has for images."""

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
        family: ``"kan"`` gets cubic splines of ``grid`` cells between ``kan_widths`` hidden units and starts
            without waves, ``"mlp"`` has ``mlp_widths`` and ``activation``; any other comes as it is
            registered.
        inputs: number of coordinates.

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
