"""Checkpoints: safetensors files that hold tensors and JSON, read without running any code."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from kanfield.errors import InputError, RunFailed
from kanfield.fields.field import Field
from kanfield.files import replacing
from kanfield.images import Image
from kanfield.splines import instruction_set
from kanfield.splines.backend import BACKENDS

FORMAT = 2  # 1 had no frame, and its runs drew other batches


_OPTIMIZER = "optimizer"


FOCUS = "focus"  # pixels that a lossless fit attends to


@dataclass
class Checkpoint:
    """Tensors by name, and what else there is to know as plain JSON values."""

    tensors: dict[str, Tensor]
    info: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in one atomic step: weights and state are never of different ages.

    Raises:
        RunFailed: the disk is full or the folder gone; an older checkpoint stays as it was.
    """
    info = json.dumps({"format": FORMAT, **checkpoint.info}, allow_nan=False)
    tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"kanfield": info})
    except (SafetensorError, OSError) as error:
        raise RunFailed(
            f"{path} cannot be written ({error}); the checkpoint before it is intact: make room, then "
            f"kanfield fit --resume {path.parent.parent}"
        ) from None


def read_checkpoint(path: Path, fingerprint: str | None = None) -> Checkpoint:
    """Read a checkpoint.

    Args:
        path: of the file.
        fingerprint: of the image that it must belong to, or None for any.

    Raises:
        InputError: the file is missing, damaged, not kanfield's, of another format, or of another image.
    """
    if not path.is_file():
        run = path.parent.parent
        again = f"--config {run / 'config.yaml'}" if (run / "metrics.json").exists() else f"--resume {run}"
        raise InputError(f"{path} is missing: fit again with kanfield fit {again}")
    try:
        with safe_open(path, framework="pt") as file:
            info = json.loads((file.metadata() or {}).get("kanfield", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path} is damaged or not a safetensors file ({error})") from None
    if not isinstance(info, dict) or not isinstance(info.get("format"), int):
        raise InputError(f"{path} was not written by kanfield: give a run folder of 'kanfield fit'")
    if info["format"] > FORMAT:
        raise InputError(
            f"{path} has checkpoint format {info['format']}, and this kanfield reads up to {FORMAT}: "
            "upgrade kanfield"
        )
    if fingerprint is not None and info.get("image") != fingerprint:
        raise InputError(
            f"the image is not the one that {path.parent.parent} was fitted to: put that one back"
        )
    return Checkpoint(tensors, info)


def load_field(field: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Load a checkpoint's weights into a field.

    Raises:
        InputError: names or shapes differ from the field's.
    """
    weights = {n: t for n, t in checkpoint.tensors.items() if not n.startswith(f"{_OPTIMIZER}.")}
    weights.pop(FOCUS, None)
    try:
        field.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{path} does not fit the run's config.yaml ({reason})") from None


def optimizer_tensors(optimizers: list[Optimizer]) -> dict[str, Tensor]:
    """The optimisers' state as named tensors: ``optimizer.<number>.<parameter>.<name>``."""
    tensors = {}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"{_OPTIMIZER}.{number}.{index}.{name}"] = torch.as_tensor(value)
    return tensors


def load_optimizers(optimizers: list[Optimizer], tensors: dict[str, Tensor]) -> None:
    """Put back what :func:`optimizer_tensors` took."""
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    for key, tensor in tensors.items():
        if key.startswith(f"{_OPTIMIZER}."):
            _, number, index, name = key.split(".")
            if int(number) >= len(optimizers):
                raise InputError("the checkpoint's optimisers are not those of config.yaml: undo the change")
            states[int(number)].setdefault(int(index), {})[name] = tensor
    for optimizer, state in zip(optimizers, states, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def image_spec(image: Image) -> dict[str, Any]:
    """Size, mode, pixel type, value range and colour profile as plain JSON values.

    >>> image_spec(Image(np.zeros((2, 3, 1), np.uint8), "L"))["width"]
    3
    """
    profile = None if image.icc_profile is None else base64.b64encode(image.icc_profile).decode()
    return {
        "height": image.height,
        "width": image.width,
        "mode": image.mode,
        "dtype": image.pixels.dtype.name,
        "value_range": list(image.value_range),
        "icc_profile": profile,
    }


def blank_image(frame: dict[str, Any]) -> Image:
    """A blank image of that frame, which takes no memory however large.

    >>> blank_image(image_spec(Image(np.ones((2, 3, 1), np.uint8), "L"))).pixels.shape
    (2, 3, 1)
    """
    blank = np.zeros((1, 1, len(frame["mode"])), dtype=frame["dtype"])
    low, high = frame["value_range"]
    profile = frame["icc_profile"]
    return Image(
        np.broadcast_to(blank, (frame["height"], frame["width"], len(frame["mode"]))),
        frame["mode"],
        icc_profile=None if profile is None else base64.b64decode(profile),
        value_range=(low, high),
    )


def environment(field: Field) -> dict[str, Any]:
    """Describe what the last bits of a field's weights depend on.

    Args:
        field: on its device.
    """
    splines = field.backend in BACKENDS
    return {
        "backend": field.backend,
        "instruction_set": instruction_set() if splines else torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": str(next(field.parameters()).device),
        "torch": torch.__version__,
    }
