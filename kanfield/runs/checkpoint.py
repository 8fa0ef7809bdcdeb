"""Checkpoints: safetensors files that hold tensors and JSON, read without running any code."""

from __future__ import annotations

import base64
import json
import re
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
from kanfield.names import command_line
from kanfield.splines import instruction_set
from kanfield.splines.backend import BACKENDS

FORMAT = 1
FOCUS = "focus"  # name of the tensor with the pixels that a lossless fit trains on more often
_KEY = re.compile(r"optimizer\.(\d{1,9})\.(\d{1,9})\.(\w+)")
_OPTIMIZER = "optimizer"  # its tensors are called optimizer.<number>.<parameter>.<name>


@dataclass
class Checkpoint:
    """What a checkpoint file holds.

    Attributes:
        tensors: By name, on the CPU.
        info: Everything else, as plain JSON values.
    """

    tensors: dict[str, Tensor]
    info: dict[str, Any]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint in one atomic step: weights and state are never of different ages.

    Args:
        path: The file, ``checkpoints/last.safetensors`` or ``best.safetensors`` of a run folder.
        checkpoint: What to write.

    Raises:
        RunFailed: The disk is full or the folder gone; an older checkpoint stays as it was.
    """
    info = json.dumps({"format": FORMAT, **checkpoint.info}, allow_nan=False)
    tensors = _apart({name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()})
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"kanfield": info})
    except (SafetensorError, OSError) as error:
        raise RunFailed(
            f"{path} cannot be written ({error}); the checkpoint before it is intact: make room, then "
            + command_line("kanfield", "fit", "--resume", path.parent.parent)
        ) from None


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that share memory, as tied weights do: the file format has none such."""
    seen: set[int] = set()
    apart = {}
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in seen else tensor
        seen.add(memory)
    return apart


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
        finished = (run / "metrics.json").exists()
        words = ("--config", run / "config.yaml") if finished else ("--resume", run)
        raise InputError(f"{path} is missing: fit again with {command_line('kanfield', 'fit', *words)}")
    try:
        with safe_open(path, framework="pt") as file:
            info = json.loads((file.metadata() or {}).get("kanfield", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise InputError(f"{path} is damaged or not a safetensors file ({error})") from None
    if not isinstance(info, dict) or not isinstance(info.get("format"), int):
        raise InputError(f"{path} was not written by kanfield: give a run folder of 'kanfield fit'")
    if info["format"] != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {info['format']}, and this kanfield reads {FORMAT}: use the "
            "kanfield that wrote it, or fit again"
        )
    if fingerprint is not None and info.get("image") != fingerprint:
        config = path.parent.parent / "config.yaml"
        raise InputError(f"{config} names an image that is not the one of this run: put that one back")
    return Checkpoint(tensors, info)


def is_whole(path: Path) -> bool:
    """Whether a checkpoint is there and of its full length, and says what it is; no tensor is read."""
    try:
        with safe_open(path, framework="pt") as file:
            return isinstance(json.loads((file.metadata() or {}).get("kanfield", "null")), dict)
    except (SafetensorError, ValueError, OSError, RecursionError):
        return False


def load_field(field: nn.Module, checkpoint: Checkpoint, path: Path, assign: bool = False) -> None:
    """Load a checkpoint's weights into a field.

    Args:
        field: Where they go.
        checkpoint: Where they come from.
        path: Its file, for errors.
        assign: Whether the field takes the very tensors, which may be mapped from disk, and no copies.

    Raises:
        InputError: Names or shapes differ from the field's.
    """
    weights = {n: t for n, t in checkpoint.tensors.items() if not n.startswith(f"{_OPTIMIZER}.")}
    weights.pop(FOCUS, None)
    try:
        field.load_state_dict(weights, assign=assign)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise InputError(f"{path} does not fit the run's config.yaml ({reason})") from None


def optimizer_tensors(optimizers: list[Optimizer]) -> dict[str, Tensor]:
    """The optimizers' state as named tensors: ``optimizer.<number>.<parameter>.<name>``."""
    tensors = {}
    for number, optimizer in enumerate(optimizers):
        for index, state in optimizer.state_dict()["state"].items():
            for name, value in state.items():
                tensors[f"{_OPTIMIZER}.{number}.{index}.{name}"] = torch.as_tensor(value)
    return tensors


def load_optimizers(optimizers: list[Optimizer], tensors: dict[str, Tensor]) -> None:
    """Load what :func:`optimizer_tensors` returned.

    Args:
        optimizers: Where the state goes.
        tensors: All tensors of a checkpoint.

    Raises:
        InputError: A tensor belongs to no parameter of these optimisers, or has another shape.
    """
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimizers]
    sizes = [[p.shape for group in o.param_groups for p in group["params"]] for o in optimizers]
    for key, tensor in tensors.items():
        if not key.startswith(f"{_OPTIMIZER}."):
            continue
        match = _KEY.fullmatch(key)
        number, index = (int(match[1]), int(match[2])) if match else (-1, -1)
        known = 0 <= number < len(sizes) and index < len(sizes[number])
        if match is None or not known or tensor.shape not in (sizes[number][index], ()):
            raise InputError(
                f"the checkpoint's optimizer state ({key}) does not fit config.yaml: undo the change to it, "
                "or fit again"
            )
        states[number].setdefault(index, {})[match[3]] = tensor
    for optimizer, state in zip(optimizers, states, strict=True):
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": state, "param_groups": groups})


def image_spec(image: Image) -> dict[str, Any]:
    """Size, channels, pixel type, value range and colour profile of an image, as plain JSON values.

    >>> image_spec(Image(np.zeros((2, 3, 1), np.uint8), "L"))["width"]
    3
    """
    profile = None if image.icc_profile is None else base64.b64encode(image.icc_profile).decode()
    return {
        "height": image.height,
        "width": image.width,
        "mode": image.mode,
        "channels": image.channels,
        "bands": list(image.bands),
        "dtype": image.pixels.dtype.name,
        "value_range": list(image.value_range),
        "icc_profile": profile,
        "log_scale": image.log_scale,
        "premultiplied": image.premultiplied,
    }


def blank_image(spec: Any, path: Path) -> Image:
    """A blank image of some size and kind, which takes no memory however large.

    Args:
        spec: What :func:`image_spec` returned.
        path: The checkpoint that it comes from, for errors.

    Raises:
        InputError: The spec is damaged.

    >>> spec = image_spec(Image(np.ones((2, 3, 1), np.uint8), "L"))
    >>> blank_image(spec, Path("best.safetensors")).pixels.shape
    (2, 3, 1)
    """
    try:
        channels = spec.get("channels", len(spec["mode"]))  # earlier versions named each by a letter
        blank = np.zeros((1, 1, channels), dtype=spec["dtype"])
        low, high = spec["value_range"]
        profile = spec["icc_profile"]
        return Image(
            np.broadcast_to(blank, (spec["height"], spec["width"], channels)),
            spec["mode"],
            icc_profile=None if profile is None else base64.b64decode(profile),
            value_range=(low, high),
            bands=tuple(spec.get("bands", ())),
            log_scale=spec.get("log_scale"),
            premultiplied=spec.get("premultiplied", False),
        )
    except (LookupError, TypeError, ValueError, OverflowError, AttributeError):
        raise InputError(f"{path} is damaged (its image_spec describes no image): fit again") from None


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
