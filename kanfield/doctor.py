"""``kanfield doctor``: what is installed, what serves splines here, and whether it is right."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import kanfield
from kanfield.splines import Grid, explain_backend, spline, use_backend
from kanfield.splines.backend import native

_PACKAGES = ("torch", "numpy", "pillow", "imageio", "lpips", "torchmetrics", "tensorboard", "safetensors")
_TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


def examine() -> dict[str, Any]:
    """Findings as plain values; ``healthy`` is false where something has to be mended."""
    backend, reason = explain_backend("cpu")
    errors = {str(dtype).removeprefix("torch."): self_test(dtype) for dtype in _TOLERANCE}
    right = all(error <= _TOLERANCE[getattr(torch, name)] for name, error in errors.items())
    return {
        "kanfield": kanfield.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "threads": torch.get_num_threads(),
        "devices": _devices(),
        "backend": {"cpu": backend, "reason": reason},
        "native_core": native is not None,
        "self_test": {"largest_relative_error": errors, "passed": right},
        "healthy": right,
    }


def self_test(dtype: torch.dtype) -> float:
    """Largest relative difference of values and gradients between the backend in use and the reference."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for order in (1, 2, 3):
        inputs, outputs, size = 9, 21, 12
        x = 3 * torch.rand(300, inputs, dtype=dtype, generator=generator) - 1.5
        coef = torch.randn(inputs * (size + order), outputs, dtype=dtype, generator=generator)
        grid = Grid(-torch.ones(inputs, dtype=dtype), torch.ones(inputs, dtype=dtype), size)
        results = []
        for forced in (None, "reference"):
            a, c = x.clone().requires_grad_(), coef.clone().requires_grad_()
            with contextlib.nullcontext() if forced is None else use_backend(forced):
                y = spline(a, c, grid, order)
                gradients = torch.autograd.grad(y.sin().sum(), (a, c))
            results.append((y, *gradients))
        for mine, true in zip(*results, strict=True):
            difference = (mine - true).detach().abs().max() / true.detach().abs().max()
            worst = max(worst, float(difference.nan_to_num(nan=torch.inf)))
    return worst


def print_report(findings: dict[str, Any]) -> None:
    """Show the findings as a table, what has to be mended below it."""
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("kanfield", f"{findings['kanfield']}, Python {findings['python']}")
    for name, version in findings["packages"].items():
        table.add_row(name, version or "[red]missing[/]")
    table.add_row("devices", ", ".join(findings["devices"]) + f"; {findings['threads']} CPU threads")
    table.add_row("backend on the CPU", f"{findings['backend']['cpu']}: {findings['backend']['reason']}")
    errors = findings["self_test"]["largest_relative_error"]
    detail = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
    verdict = "[green]passed[/]" if findings["self_test"]["passed"] else "[red]FAILED[/]"
    table.add_row("self-test of the operator", f"{verdict} (largest relative error: {detail})")
    console.print(table)
    if not findings["native_core"]:
        console.print(
            "[yellow]Warning: splines run on plain torch, several times slower than the native core. "
            "Install a C++ compiler, then: pip install --force-reinstall --no-deps kanfield "
            "(in a checkout: pip install -e .)[/]"
        )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _devices() -> list[str]:
    found = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return ["cpu", *found]
