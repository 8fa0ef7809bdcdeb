"""Fields as pictures of any size: values, gradients, Laplacians; in chunks, so that memory stays bounded."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kanfield.errors import InputError
from kanfield.images import Image, coordinates

CHUNK = 16384  # coordinates evaluated at a time
PREVIEW = 1 << 18  # pixels of a picture that is drawn during training
_TILE = 1 << 18  # samples of a rendering that are held at a time

Kind = Literal["gradient", "laplacian"]


@torch.no_grad()
def evaluate_field(field: nn.Module, coords: Tensor) -> Tensor:
    """Evaluate a field as image values, in chunks.

    Fields work in [-1, 1]; this is the one place that maps their output to image values and clamps it.

    Args:
        field: From ``(N, d)`` to ``(N, c)``.
        coords: Coordinates, shape ``(N, d)``.

    Returns:
        Values in [0, 1], float32, shape ``(N, c)``.
    """
    values = [((field(part) + 1) / 2).clamp(0, 1) for part in torch.split(coords, CHUNK)]
    return torch.cat(values).float()


def render(
    field: nn.Module,
    like: Image,
    shape: tuple[int, int],
    window: tuple[float, float, float, float] | None = None,
) -> Image:
    """Draw a field, or a window of it, at any size.

    Args:
        field: From ``(N, 2)`` to ``(N, c)``.
        like: The image that was fitted, or a blank one of its size and kind.
        shape: Rows and columns of the picture.
        window: ``(x0, y0, x1, y1)`` in pixels of ``like``; None for all of it.

    Returns:
        A picture with the pixel type, mode, range and profile of ``like``.
    """
    height, width = shape
    pixels = np.empty((height, width, like.channels), dtype=like.pixels.dtype)
    first = next(field.parameters())
    rows = max(1, _TILE // width)
    for start in range(0, height, rows):
        part = slice(start, min(start + rows, height))
        coords = coordinates(like.height, like.width, window=window, shape=shape, rows=part)
        values = evaluate_field(field, coords.to(first)).cpu().numpy()
        values = values.reshape(-1, width, like.channels)
        pixels[part] = Image.from_values(values, like).pixels
    return like.with_pixels(pixels)


def preview(field: nn.Module, like: Image) -> Image:
    """A picture of the whole field, scaled down where it has more than ``PREVIEW`` pixels."""
    shrink = min(1.0, (PREVIEW / (like.height * like.width)) ** 0.5)
    return render(field, like, (max(1, int(like.height * shrink)), max(1, int(like.width * shrink))))


def derivative(
    field: nn.Module,
    like: Image,
    shape: tuple[int, int],
    window: tuple[float, float, float, float],
    kind: Kind,
) -> NDArray[np.float32]:
    """Length of the field's gradient, or its Laplacian, at the samples of a rendering.

    Args:
        field: From ``(N, 2)`` to ``(N, c)``.
        like: The image that was fitted, or a blank one of its size and kind.
        shape: Rows and columns of the result.
        window: ``(x0, y0, x1, y1)`` in pixels of ``like``.
        kind: ``"gradient"`` or ``"laplacian"``.

    Returns:
        Shape ``(height, width)``, for values in [0, 1] and distances in pixels of ``like``. The gradient's
        length is the root mean square over the colours, the Laplacian their mean; alpha is left out.

    Raises:
        InputError: The kind is unknown.
    """
    if kind not in ("gradient", "laplacian"):
        raise InputError(f"there is no derivative {kind!r}: give gradient or laplacian")
    result = np.empty(shape, dtype=np.float32)
    first = next(field.parameters())
    pixel = 2 / max(like.height, like.width)  # in coordinates; a value in [0, 1] is half of the field's
    colours = like.channels - like.has_alpha
    rows = max(1, CHUNK // shape[1])
    for start in range(0, shape[0], rows):
        part = slice(start, min(start + rows, shape[0]))
        x = coordinates(like.height, like.width, window=window, shape=shape, rows=part).to(first)
        values = torch.cat([_derivative(field, few, kind, pixel, colours) for few in torch.split(x, CHUNK)])
        result[part] = values.cpu().numpy().reshape(-1, shape[1])
    return result


def _derivative(field: nn.Module, x: Tensor, kind: Kind, pixel: float, colours: int) -> Tensor:
    """A derivative at coordinates ``(N, 2)``, shape ``(N,)``."""
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

    A gradient of zero is black, a Laplacian of zero middle gray. One value in a thousand may be clipped.

    Args:
        values: What :func:`derivative` returned.
        kind: Of the derivative.

    Returns:
        The picture, and the value shown as white.

    >>> view(np.array([[0.0, 0.5]], np.float32), "gradient")[0].pixels.ravel().tolist()
    [0, 255]
    """
    white = float(np.quantile(np.abs(values), 0.999)) or 1.0
    unit = values / white if kind == "gradient" else (values / white + 1) / 2
    return Image((unit.clip(0, 1) * 255 + 0.5).astype(np.uint8)[..., None], "L"), white
