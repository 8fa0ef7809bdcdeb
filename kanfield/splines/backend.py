"""Which implementation computes a spline: the native CPU kernels or plain torch.

The choice is automatic; ``KANFIELD_BACKEND=reference`` (or ``native``) in the environment or
:func:`use_backend` in code forces one.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from kanfield.errors import InputError

BACKENDS = ("native", "reference")

_forced: ContextVar[str | None] = ContextVar("kanfield_backend", default=None)


def _load_native() -> tuple[Any, str]:
    # torch comes first: the core then shares torch's OpenMP threads.
    try:
        core = importlib.import_module("kanfield.splines._native")
        core.instruction_set()
    except ImportError as error:
        return None, str(error)
    except RuntimeError as error:
        raise InputError(str(error)) from None
    return core, ""


native, native_error = _load_native()


@contextlib.contextmanager
def use_backend(name: str) -> Iterator[None]:
    """Force a backend inside a ``with`` block, in this thread.

    Args:
        name: ``"native"`` or ``"reference"``.

    Raises:
        InputError: the name is unknown, or the native core is not built.

    >>> with use_backend("reference"):
    ...     forced_backend()
    'reference'
    """
    token = _forced.set(_checked(name, "use_backend"))
    try:
        yield
    finally:
        _forced.reset(token)


def forced_backend() -> str | None:
    """The backend forced by :func:`use_backend` or ``KANFIELD_BACKEND``, or None."""
    if (name := _forced.get()) is not None:
        return name
    if name := os.environ.get("KANFIELD_BACKEND"):
        return _checked(name, "KANFIELD_BACKEND")
    return None


def choose_backend(x: Tensor) -> str:
    """The backend that computes a spline of ``x``.

    >>> choose_backend(torch.zeros(1, 1)) in BACKENDS
    True
    """
    fits = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if (name := forced_backend()) is not None:
        if name == "native" and not fits:
            raise InputError(f"the native backend serves the CPU, not {x.device}; leave it unforced")
        return name
    return "native" if native is not None and fits else "reference"


def explain_backend(device: str) -> tuple[str, str]:
    """The backend that splines on ``device`` get, and the reason in words.

    >>> explain_backend("cuda")[0]
    'reference'
    """
    if (name := forced_backend()) is not None:
        return name, "forced by KANFIELD_BACKEND or use_backend"
    if device != "cpu":
        return "reference", f"plain torch serves {device}"
    if native is None:
        return "reference", f"the native core is not built ({native_error}); it is several times faster"
    sharing = "OpenMP" if native.openmp else "one thread: built without OpenMP"
    return "native", f"{native.instruction_set()} kernels, {sharing}"


def instruction_set() -> str | None:
    """Instruction set of the native kernels, or None where they are not built.

    >>> instruction_set() in ("avx512", "avx2", "baseline", None)
    True
    """
    return None if native is None else str(native.instruction_set())


def full_precision(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """A ``with`` block in which autocast leaves dtypes alone.

    >>> with torch.autocast("cpu"), full_precision(torch.device("cpu")):
    ...     (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
    torch.float32
    """
    if not torch.amp.is_autocast_available(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


def _checked(name: str, where: str) -> str:
    if name not in BACKENDS:
        raise InputError(f"{where}: unknown backend '{name}'; use {' or '.join(BACKENDS)}")
    if name == "native" and native is None:
        raise InputError(
            f"{where}: the native core is not built ({native_error}); install a C++ compiler and "
            "reinstall kanfield, or use 'reference'"
        )
    return name
