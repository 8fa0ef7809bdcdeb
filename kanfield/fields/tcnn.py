"""tiny-cuda-nn's fused networks, through its ``tinycudann`` package where that is installed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kanfield.fields.field import Field
from kanfield.fields.hashgrid import HashGrid, resize_tables
from kanfield.fields.registry import Recipe, register

_FUSED_WIDTHS = (16, 32, 64, 128)


def _why_not() -> str | None:
    """Explain why tinycudann cannot be used here and how to fix that; None where it can."""
    fix = (
        "it needs an NVIDIA GPU and CUDA's compiler: pip install "
        "git+https://github.com/NVlabs/tiny-cuda-nn#subdirectory=bindings/torch"
    )
    try:
        importlib.import_module("tinycudann")
    except (ImportError, OSError) as error:  # OSError where the package is there and CUDA is not
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return f"tinycudann does not import ({reason}); {fix}"
    return None


class FusedNetwork(Field):
    """What tinycudann builds, with coordinates and values as kanfield has them.

    tinycudann takes inputs in [0, 1] and answers in half precision on a GPU; here inputs are in [-1, 1] and
    values in single precision, so that the loss is too.

    Attributes:
        module: tinycudann's own module; its parameters are one flat vector.
    """

    backend = "tinycudann"

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Values ``(N, out_features)``, float32, at ``(N, in_features)``."""
        y: Tensor = self.module((x.float() + 1) / 2)
        return y.float()


def _network(widths: Sequence[int]) -> dict[str, Any]:
    if not widths or len(set(widths)) != 1:
        raise ValueError(f"tinycudann's hidden layers are all of one width, got {list(widths)}")
    return {
        "otype": "FullyFusedMLP" if widths[0] in _FUSED_WIDTHS else "CutlassMLP",
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": widths[0],
        "n_hidden_layers": len(widths),
    }


def _tinycudann() -> Any:
    return importlib.import_module("tinycudann")


def _seed() -> int:
    """Draw a seed: tinycudann has a generator of its own; its seed follows torch's."""
    return int(torch.randint(1 << 31, ()))


def _resize_whole_tables(options: dict[str, Any], factor: float) -> dict[str, Any]:
    """As :func:`resize_tables`, in whole powers of two, the only sizes that tinycudann has."""
    resized = resize_tables(options, factor)
    return {**resized, "log2_hashmap_size": round(resized["log2_hashmap_size"])}


def _resize_equal_widths(options: dict[str, Any], factor: float) -> dict[str, Any]:
    """Scale all widths alike: tinycudann's hidden layers have one width."""
    return {**options, "widths": [max(1, round(width * factor**0.5)) for width in options["widths"]]}


@register(
    "tcnn-hashgrid",
    "hash grid and fused MLP of tiny-cuda-nn, on NVIDIA GPUs",
    [Recipe("adam", 1e-2)],
    resize=_resize_whole_tables,
    unavailable=_why_not(),
)
def fused_hash_grid(
    in_features: int,
    out_features: int,
    widths: Sequence[int] = (64, 64),
    levels: int = 12,
    features: int = 2,
    log2_hashmap_size: int = 15,
    base_resolution: int = 16,
    per_level_scale: float = 1.5,
) -> FusedNetwork:
    """The field that ``hashgrid`` builds, fused: same options, no biases, half precision.

    Raises:
        ValueError: widths differ among themselves.
    """
    encoding = {
        "otype": "HashGrid",
        "n_levels": levels,
        "n_features_per_level": features,
        "log2_hashmap_size": log2_hashmap_size,
        "base_resolution": base_resolution,
        "per_level_scale": per_level_scale,
        "interpolation": "Linear",
    }
    network = _network(widths)
    field = FusedNetwork(
        _tinycudann().NetworkWithInputEncoding(in_features, out_features, encoding, network, seed=_seed())
    )
    field.adam_options = HashGrid.adam_options
    return field


@register(
    "tcnn-mlp",
    "fused ReLU MLP of tiny-cuda-nn, on NVIDIA GPUs",
    [Recipe("adam", 1e-3)],
    resize=_resize_equal_widths,
    unavailable=_why_not(),
)
def fused_mlp(in_features: int, out_features: int, widths: Sequence[int] = (128, 128, 128)) -> FusedNetwork:
    """A plain perceptron, fused: no biases, half precision.

    Raises:
        ValueError: widths differ among themselves.
    """
    return FusedNetwork(_tinycudann().Network(in_features, out_features, _network(widths), seed=_seed()))
