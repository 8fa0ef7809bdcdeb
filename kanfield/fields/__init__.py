"""Fields: coordinates (N, d) to values (N, c). One family a file."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from torch import nn

from kanfield.errors import InputError
from kanfield.fields.kan import KAN
from kanfield.fields.layer import KANLayer, Levels

# What `kanfield models` lists.
MODELS = {"kan": "Kolmogorov-Arnold network: a B-spline on every edge, on fine grids"}


def build_field(
    model: str,
    inputs: int,
    outputs: int,
    widths: Sequence[int],
    grids: Sequence[Levels],
    order: int,
    noise: float,
    frequency: float,
) -> nn.Module:
    """A fresh field of a family in :data:`MODELS`, with ``widths`` hidden units.

    Raises:
        InputError: there is no such family.

    >>> build_field("kan", 2, 3, [16], [20, 10], order=3, noise=0.1, frequency=0.0).layers[0].out_features
    16
    """
    if model not in MODELS:
        near = difflib.get_close_matches(model, MODELS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"use one of {', '.join(MODELS)}"
        raise InputError(f"--model {model} is unknown; {hint}")
    return KAN([inputs, *widths, outputs], list(grids), order, noise=noise, frequency=frequency)


__all__ = ["KAN", "MODELS", "KANLayer", "build_field"]
