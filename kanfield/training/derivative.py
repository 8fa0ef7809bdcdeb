"""Pictures of a field's gradient and Laplacian, by the splines' own derivatives."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kanfield.errors import InputError
from kanfield.images import Image, coordinates
from kanfield.training.evaluation import CHUNK

Kind = Literal["gradient", "laplacian"]


def derivative(
    field: nn.Module,
    like: Image,
    shape: tuple[int, int],
    window: tuple[float, float, float, float],
    kind: Kind,
) -> NDArray[np.float32]:
    """Length of the field's gradient, or its Laplacian, where a rendering would draw it.

    Returns:
        Shape ``(height, width)``, for values from 0 to 1 and distances in pixels of ``like``. The gradient's
        length is the root mean square over the colours, the Laplacian their mean; alpha is left out.
    """
    if kind not in ("gradient", "laplacian"):
        raise InputError(f"there is no derivative {kind!r}: give gradient or laplacian")
    result = np.empty(shape, dtype=np.float32)
    first = next(field.parameters())
    pixel = 2 / max(like.height, like.width)  # in coordinates; a value in [0, 1] is half of the field's
    colours = like.channels - like.mode.endswith("A")
    rows = max(1, CHUNK // shape[1])
    for start in range(0, shape[0], rows):
        part = slice(start, min(start + rows, shape[0]))
        x = coordinates(like.height, like.width, window=window, shape=shape, rows=part).to(first)
        values = torch.cat([_derivative(field, few, kind, pixel, colours) for few in torch.split(x, CHUNK)])
        result[part] = values.cpu().numpy().reshape(-1, shape[1])
    return result


def _derivative(field: nn.Module, x: Tensor, kind: Kind, pixel: float, colours: int) -> Tensor:
    """Shape (N,), at coordinates (N, 2)."""
    y = field(x.requires_grad_())
    gradients = torch.stack(
        [torch.autograd.grad(y[:, c].sum(), x, create_graph=True)[0] for c in range(colours)]
    )
    if kind == "gradient":
        return (gradients.square().sum(2).mean(0).sqrt() * pixel / 2).detach()
    mean = gradients.mean(0).sum(0)
    second = [torch.autograd.grad(mean[axis], x, retain_graph=True)[0][:, axis] for axis in (0, 1)]
    return (second[0] + second[1]) * pixel**2 / 2


def view(values: NDArray[np.float32], kind: Kind) -> tuple[Image, float]:
    """An 8-bit gray picture of a derivative, and the value that its white stands for.

    Black is zero of a gradient; middle gray is zero of a Laplacian. One value in a thousand may be brighter
    than white.

    >>> view(np.array([[0.0, 0.5]], np.float32), "gradient")[0].pixels.ravel().tolist()
    [0, 255]
    """
    white = float(np.quantile(np.abs(values), 0.999)) or 1.0
    unit = values / white if kind == "gradient" else (values / white + 1) / 2
    return Image((unit.clip(0, 1) * 255 + 0.5).astype(np.uint8)[..., None], "L"), white
