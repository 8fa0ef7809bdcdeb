"""The machine: what measurements were made on, and which device a command uses."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import torch

import kanfield
from kanfield.errors import InputError


def machine() -> dict[str, Any]:
    """Processor, GPUs and versions that measurements depend on, as plain values."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "processor": _processor(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kanfield": kanfield.__version__,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


_DEVICES = ("cuda", "xpu", "mps")  # in the order in which auto looks for them; torch calls ROCm cuda


def pick_device(name: str) -> torch.device:
    """The device that ``--device`` names; ``auto`` takes a GPU where there is one.

    Args:
        name: ``"auto"``, or as :class:`torch.device` reads it, such as ``"cuda:1"``.

    Raises:
        InputError: there is no such device here.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    if name == "auto":
        found = (name for name in _DEVICES if getattr(torch, name).is_available())
        device = torch.device(next(found, "cpu"))
        return device if _reason_against(device) is None else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in {"cpu", *_DEVICES}:
        raise InputError(f"--device {name} is unknown: use auto, cpu, cuda, cuda:1, xpu or mps")
    if (reason := _reason_against(device)) is not None:
        raise InputError(f"--device {name} cannot be used ({reason}); use auto or cpu")
    return device


def _reason_against(device: torch.device) -> str | None:
    """Why a device cannot be used, in torch's words, such as a GPU in a forked child; None where it can."""
    try:
        torch.zeros(1, device=device)
    except Exception as error:  # torch raises RuntimeError, AssertionError and others here
        return str(error).splitlines()[0].split(". ")[0]
    return None
