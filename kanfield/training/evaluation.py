"""Fields on whole images: rendering in chunks, PSNR seen and unseen, pixels still wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kanfield import metrics
from kanfield.images import Image, coordinates

CHUNK = 16384  # coordinates evaluated at a time


@torch.no_grad()
def evaluate_field(field: nn.Module, coords: Tensor) -> Tensor:
    """Values in [0, 1], shape (N, c), at coordinates (N, d); in chunks, so memory stays bounded.

    Fields work in [-1, 1]; this is the one place that maps their output to image values and clamps it.
    """
    values = [((field(part) + 1) / 2).clamp(0, 1) for part in torch.split(coords, CHUNK)]
    return torch.cat(values).float()


def render(
    field: nn.Module,
    like: Image,
    shape: tuple[int, int],
    window: tuple[float, float, float, float] | None = None,
) -> Image:
    """A picture of ``shape`` (height, width) of the field, of all of ``like``'s frame or a window of it.

    Args:
        window: ``(x0, y0, x1, y1)`` in pixels of ``like``.
    """
    height, width = shape
    pixels = np.empty((height, width, like.channels), dtype=np.uint8)
    first = next(field.parameters())
    rows = max(1, (1 << 20) // width)
    for start in range(0, height, rows):
        part = slice(start, min(start + rows, height))
        coords = coordinates(like.height, like.width, window=window, shape=shape, rows=part)
        values = evaluate_field(field, coords.to(first)).cpu().numpy()
        values = values.reshape(-1, width, like.channels)
        pixels[part] = Image.from_values(values, like).pixels
    return Image(pixels, like.mode)


@dataclass
class Evaluation:
    """One look at the whole image."""

    psnr: float  # dB, float output, on the pixels trained on
    held_out_psnr: float | None  # dB, on the others
    values: Tensor  # (P, c) in [0, 1]
    wrong: Tensor  # indices of trained pixels whose 8-bit value differs

    def picture(self, like: Image) -> Image:
        """The reconstruction."""
        return Image.from_values(self.values.cpu().numpy(), like)


@torch.no_grad()
def evaluate(field: nn.Module, coords: Tensor, targets: Tensor, seen: Tensor, unseen: Tensor) -> Evaluation:
    """Evaluate a field on an image.

    Args:
        coords: (P, 2). targets: (P, c) in [0, 1]. seen, unseen: pixel indices, int64.
    """
    values = evaluate_field(field, coords)
    # In double on the CPU: some devices have no double precision.
    squared = (values - targets.float()).cpu().double().square().mean(1)
    differs = (_to_8bit(values) != _to_8bit(targets.float())).any(1)
    held_out = metrics.psnr(squared[unseen.cpu()].mean().item()) if len(unseen) else None
    return Evaluation(
        metrics.psnr(squared[seen.cpu()].mean().item()),
        held_out,
        values,
        seen[differs[seen]],
    )


def error_map(image: Image, reconstruction: Image, gain: int = 10) -> Image:
    """Mean absolute error of every pixel, brightened ``gain`` times, as a gray image."""
    difference = np.abs(image.pixels.astype(np.int16) - reconstruction.pixels).mean(2, keepdims=True)
    gray: NDArray[np.uint8] = np.clip(gain * difference, 0, 255).astype(np.uint8)
    return Image(gray, "L")


def _to_8bit(values: Tensor) -> Tensor:
    # As Image.from_values rounds.
    return (values * 255 + 0.5).floor()
