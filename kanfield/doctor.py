"""``kanfield doctor``: what is installed, which backend computes here, and whether it is right."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor

import kanfield
from kanfield.encodings import grid_encode, make_layout
from kanfield.encodings.grid_encode import ORDERS as GRID_ORDERS
from kanfield.splines import ORDERS, Grid, explain_backend, spline, use_backend
from kanfield.splines.backend import forced_backend, native

_PACKAGES = (
    "torch",
    "triton",
    "numpy",
    "pillow",
    "imageio",
    "lpips",
    "torchmetrics",
    "tensorboard",
    "safetensors",
)
_OPTIONAL = ("triton",)  # comes with torch where there may be an NVIDIA GPU
# Largest relative error that is rounding; the Triton kernels add up in another order.
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def examine() -> dict[str, Any]:
    """Examine the installation and every device.

    Returns:
        Plain values; ``healthy`` is false where something has to be fixed.
    """
    devices = {name: _examine_device(name, card) for name, card in _devices().items()}
    return {
        "kanfield": kanfield.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        "devices": devices,
        "native_core": native is not None,
        "healthy": all(found["passed"] for found in devices.values()),
    }


def _examine_device(device: str, card: str) -> dict[str, Any]:
    """The backend of that device, why, and whether it computes what plain torch computes."""
    backend, reason = explain_backend(device)
    only_float32 = torch.device(device).type == "mps" or forced_backend() == "triton"
    types = [torch.float32] if only_float32 else list(_TOLERANCE)
    errors: dict[torch.dtype, float] = {}
    failure = None
    try:
        errors |= {dtype: self_test(dtype, device) for dtype in types}
    except Exception as error:  # a device may fail in many ways, and the others are still to be examined
        failure = (str(error) or type(error).__name__).splitlines()[0]
    return {
        "name": card,
        "backend": backend,
        "reason": reason,
        "largest_relative_error": {str(dtype).removeprefix("torch."): e for dtype, e in errors.items()},
        "failure": failure,
        "passed": failure is None and all(error <= _TOLERANCE[dtype] for dtype, error in errors.items()),
    }


def self_test(dtype: torch.dtype, device: str = "cpu") -> float:
    """Largest relative difference of values and gradients between the backend in use and the reference.

    Splines and grid encodings of every order are computed by both.

    Args:
        dtype: of all tensors.
        device: of all tensors.
    """
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return (2 * torch.rand(shape, dtype=dtype, generator=generator) - 1).to(device)

    inputs, outputs, size = 9, 21, 12
    ones = torch.ones(inputs, dtype=dtype, device=device)
    grid = Grid(-ones, ones, size)
    errors = []
    for order in ORDERS:
        x, coef = 1.5 * random(300, inputs), random(inputs * (size + order), outputs)
        errors.append(_largest_error(partial(spline, grid=grid, order=order), x, coef))
    for order in GRID_ORDERS:
        layout = torch.tensor(make_layout([(12, 9), (50, 40)], 300, order), device=device)
        x, table = 1.5 * random(300, 2), random(600, 2)
        errors.append(_largest_error(partial(grid_encode, layout=layout, order=order), x, table))
    return max(errors)


def _largest_error(function: Callable[[Tensor, Tensor], Tensor], *leaves: Tensor) -> float:
    results = []
    for forced in (None, "reference"):
        own = [leaf.clone().requires_grad_() for leaf in leaves]
        with contextlib.nullcontext() if forced is None else use_backend(forced):
            y = function(*own)
            results.append((y, *torch.autograd.grad(y.sin().sum(), own)))
    differences = [
        (mine - true).detach().abs().max() / true.detach().abs().max()
        for mine, true in zip(*results, strict=True)
    ]
    return max(float(difference.nan_to_num(nan=torch.inf)) for difference in differences)


def print_report(findings: dict[str, Any]) -> None:
    """Print the findings as a table, and below it what has to be fixed.

    Args:
        findings: of :func:`examine`.
    """
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("kanfield", f"{findings['kanfield']}, Python {findings['python']}")
    for name, version in findings["packages"].items():
        table.add_row(name, version or ("not installed" if name in _OPTIONAL else "[red]missing[/]"))
    table.add_row("CPU threads", str(findings["threads"]))
    for device, found in findings["devices"].items():
        errors = ", ".join(f"{name} {error:.1e}" for name, error in found["largest_relative_error"].items())
        verdict = "[green]passed[/]" if found["passed"] else "[red]FAILED[/]"
        table.add_row(device, found["name"])
        table.add_row("  splines", f"{found['backend']}: {found['reason']}")
        details = found["failure"] or f"largest relative error: {errors}"
        table.add_row("  self-test", Text.from_markup(verdict) + Text(f" ({details})"))
    console.print(table)
    if not findings["native_core"]:
        console.print(
            "[yellow]Warning: splines and grids run on plain torch, several times slower than the native "
            "core. Install a C++ compiler, then: pip install --force-reinstall --no-deps kanfield "
            "(in a checkout: pip install -e .)[/]"
        )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> dict[str, str]:
    """What torch can compute on here, with the names of the cards."""
    found = {"cpu": torch.backends.cpu.get_cpu_capability()}
    for kind in (torch.cuda, torch.xpu):
        names = {f"{kind.__name__.removeprefix('torch.')}:{i}": i for i in range(kind.device_count())}
        found |= {name: kind.get_device_name(i) for name, i in names.items()}
    if torch.backends.mps.is_available():
        found["mps"] = platform.processor()
    return found
