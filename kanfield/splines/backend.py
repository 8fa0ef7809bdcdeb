"""What computes splines and grid encodings: native CPU kernels, Triton kernels on a GPU, or plain torch.

The choice is automatic; ``KANFIELD_BACKEND=reference`` (or ``native``, ``triton``) in the environment or
:func:`use_backend` in code forces one.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from typing import Any

import torch
from torch import Tensor

from kanfield.errors import InputError
from kanfield.splines.forced import Forced

BACKENDS = ("native", "triton", "reference")
_OLDEST = (8, 0)  # compute capability from which there are matrix units for float32

_forced = Forced()


def _load_native() -> tuple[Any, str]:
    # torch comes first: the core then shares torch's OpenMP threads.
    try:
        core = importlib.import_module("kanfield._native")
        core.instruction_set()
    except ImportError as error:
        return None, str(error)
    except RuntimeError as error:
        raise InputError(str(error)) from None
    return core, ""


native, native_error = _load_native()


@functools.cache
def triton_unavailable(device: str) -> str | None:
    """Why the Triton kernels do not run on a device, in words; None where they do.

    Args:
        device: as :class:`torch.device` reads it, such as ``"cuda:1"``.

    >>> triton_unavailable("mps")
    'plain torch serves mps'
    """
    index = torch.device(device)
    interpreted = index.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    if not interpreted and index.type != "cuda":
        return f"plain torch serves {index.type}"
    if not interpreted and torch.version.hip is not None:
        return "plain torch serves ROCm, the Triton kernels are proven on CUDA alone"
    try:
        importlib.import_module("kanfield.splines.triton.launch")
    except ImportError as error:
        return f"Triton cannot be imported ({error}); it is several times faster"
    if index.type == "cuda" and torch.cuda.get_device_capability(index) < _OLDEST:
        return (
            f"{torch.cuda.get_device_name(index)} is older than compute capability {_OLDEST[0]}.{_OLDEST[1]}"
        )
    return None if interpreted else _triton_fails()


def _triton_fails() -> str | None:
    """Why Triton does not start, in words; it compiles C at its first launch, which not every machine can."""
    try:
        _ = importlib.import_module("triton.runtime").driver.active
    except Exception as error:  # of a compiler, a linker, a driver
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return f"Triton does not start ({reason}); it needs a C compiler and Python's headers"
    return None


def use_backend(name: str) -> contextlib.AbstractContextManager[None]:
    """Force a backend inside a ``with`` block, in all threads.

    Where blocks of several threads overlap, the one that was entered last decides for the whole process.

    Args:
        name: ``"native"``, ``"triton"`` or ``"reference"``.

    Raises:
        InputError: the name is unknown, or the native core is not built.

    >>> with use_backend("reference"):
    ...     forced_backend()
    'reference'
    """
    return _forced.block(_checked(name, "use_backend"))


def forced_backend() -> str | None:
    """The backend forced by :func:`use_backend` or ``KANFIELD_BACKEND``, or None.

    Raises:
        InputError: ``KANFIELD_BACKEND`` names no backend, or the native core, which is not built.
    """
    if (name := _forced.name) is not None:
        return name
    if name := os.environ.get("KANFIELD_BACKEND"):
        return _checked(name, "KANFIELD_BACKEND")
    return None


def choose_backend(x: Tensor, precision: str = "fp32") -> str:
    """The backend that computes a spline of ``x`` in a precision.

    Args:
        x: inputs; their device and type decide.
        precision: one of :data:`kanfield.splines.PRECISIONS`.

    Returns:
        One of :data:`BACKENDS`.

    Raises:
        InputError: the backend that is forced cannot compute it.

    >>> choose_backend(torch.zeros(1, 1)) in BACKENDS
    True
    """
    # What the matrix units of a GPU round, the CPU emulates, in plain torch.
    native_fits = x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64) and precision == "fp32"
    if (name := forced_backend()) is not None:
        if name == "native" and x.device.type != "cpu":
            raise InputError(f"the native backend serves the CPU, not {x.device}; leave it unforced")
        if name == "native" and not native_fits:
            raise InputError(f"the native backend has no {precision} of {x.dtype}; leave it unforced")
        if name == "triton" and (reason := triton_unavailable(str(x.device))) is not None:
            raise InputError(f"the Triton backend does not serve {x.device}: {reason}; leave it unforced")
        if name == "triton" and x.dtype != torch.float32:
            raise InputError(f"the Triton backend has no {x.dtype}; leave it unforced")
        return name
    if x.is_cuda and x.dtype == torch.float32 and triton_unavailable(str(x.device)) is None:
        return "triton"
    return "native" if native is not None and native_fits else "reference"


def explain_backend(device: str, precision: str = "fp32") -> tuple[str, str]:
    """The backend that splines on ``device`` get in a precision, and the reason in words.

    Args:
        device: as :class:`torch.device` reads it, such as ``"cuda:1"``.
        precision: one of :data:`kanfield.splines.PRECISIONS`.

    Returns:
        One of :data:`BACKENDS`, and a clause for people.

    Raises:
        InputError: ``KANFIELD_BACKEND`` names no backend, or the native core, which is not built.

    >>> explain_backend("mps")
    ('reference', 'plain torch serves mps')
    """
    if (name := forced_backend()) is not None:
        return name, "forced by KANFIELD_BACKEND or use_backend"
    if device != "cpu":
        reason = triton_unavailable(device)
        return ("triton", _explain_triton(device)) if reason is None else ("reference", reason)
    if precision != "fp32":
        return "reference", f"plain torch emulates {precision}, slowly, to show what it costs"
    if native is None:
        return "reference", f"the native core is not built ({native_error}); it is several times faster"
    sharing = "OpenMP" if native.openmp else "one thread: built without OpenMP"
    return "native", f"{native.instruction_set()} kernels, {sharing}"


def _explain_triton(device: str) -> str:
    from kanfield.splines.triton.dispatch import load_timings

    card = torch.cuda.get_device_name(device) if device.startswith("cuda") else "an interpreter"
    tuned = "as measured by kanfield bench --tune" if load_timings(card) else "chosen by a roofline"
    return f"Triton kernels on {card}, dense or gathering {tuned}"


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
        raise InputError(f"{where}: unknown backend '{name}'; use {', '.join(BACKENDS)}")
    if name == "native" and native is None:
        raise InputError(
            f"{where}: the native core is not built ({native_error}); install a C++ compiler and "
            "reinstall kanfield, or use 'reference'"
        )
    return name
