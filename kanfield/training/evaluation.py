"""Fields on images: rendering, derivatives, PSNR seen and unseen; in chunks, so that memory stays bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kanfield import metrics
from kanfield.images import Image, coordinates
from kanfield.training.target import Target

CHUNK = 16384  # coordinates evaluated at a time
PREVIEW = 1 << 18  # pixels of a picture that is drawn while training goes on
_TILE = 1 << 18  # samples of a rendering that are held at a time


@torch.no_grad()
def evaluate_field(field: nn.Module, coords: Tensor) -> Tensor:
    """Values in [0, 1], shape (N, c), at coordinates (N, d).

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
    pixels = np.empty((height, width, like.channels), dtype=like.pixels.dtype)
    first = next(field.parameters())
    rows = max(1, _TILE // width)
    for start in range(0, height, rows):
        part = slice(start, min(start + rows, height))
        coords = coordinates(like.height, like.width, window=window, shape=shape, rows=part)
        values = evaluate_field(field, coords.to(first)).cpu().numpy()
        values = values.reshape(-1, width, like.channels)
        pixels[part] = Image.from_values(values, like).pixels
    return _picture(pixels, like)


def preview(field: nn.Module, like: Image) -> Image:
    """A picture of the whole field, scaled down where it has more than ``PREVIEW`` pixels."""
    shrink = min(1.0, (PREVIEW / (like.height * like.width)) ** 0.5)
    return render(field, like, (max(1, int(like.height * shrink)), max(1, int(like.width * shrink))))


def _picture(pixels: NDArray[Any], like: Image) -> Image:
    return Image(pixels, like.mode, icc_profile=like.icc_profile, value_range=like.value_range)


@dataclass
class Evaluation:
    """One look at the image, or at some of its pixels."""

    psnr: float  # dB, float output, on the pixels trained on; NaN where the field gives NaN
    held_out_psnr: float | None  # dB, on those held out
    wrong: NDArray[np.bool_] | None  # trained pixels whose stored value differs; None where they are floats
    picture: Image | None  # the reconstruction, where all pixels were looked at


def evaluate(
    field: nn.Module,
    target: Target,
    indices: NDArray[np.int64] | None = None,
    kept: NDArray[np.float64] | None = None,
) -> Evaluation:
    """Compare a field with its target.

    Args:
        indices: the pixels to look at, ascending; None for all.
        kept: filled with the field's values in [0, 1] at these pixels, shape ``(N, c)``, where given.
    """
    image = target.image
    flat, (low, high) = image.pixels.reshape(target.count, -1), image.value_range
    pixels = np.empty_like(flat) if indices is None else None
    total = target.count if indices is None else len(indices)
    seen, held_out, wrong = _Error(), _Error(), np.zeros(total, dtype=bool)
    for start in range(0, total, CHUNK):
        stop = min(start + CHUNK, total)
        part = np.arange(start, stop) if indices is None else indices[start:stop]
        values = evaluate_field(field, target.coordinates(torch.from_numpy(part).to(target.device))).cpu()
        if values.isnan().any():
            return Evaluation(math.nan, None, None, None)
        if kept is not None:
            kept[start:stop] = values.numpy()
        got = Image.from_values(values.numpy()[None], image).pixels[0]
        # In double on the CPU: some devices have no double precision.
        error = values.double().numpy() - (flat[part].astype(np.float64) - low) / (high - low)
        squared = np.square(error).mean(1)
        unseen = target.held_out[part] if target.held_out is not None else np.zeros(len(part), bool)
        known = ~target.missing[part] if target.missing is not None else np.ones(len(part), bool)
        seen.add(squared[known & ~unseen])
        held_out.add(squared[known & unseen])
        wrong[start:stop] = (got != flat[part]).any(1) & known & ~unseen
        if pixels is not None:
            pixels[start:stop] = got
    psnr = seen.psnr()
    assert psnr is not None, "looked at no pixel that is trained on"
    return Evaluation(
        psnr,
        held_out.psnr(),
        None if image.is_float else wrong,
        None if pixels is None else _picture(pixels.reshape(image.pixels.shape), image),
    )


class _Error:
    """Squared errors, added up."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, squared: NDArray[np.float64]) -> None:
        self._sum, self._count = self._sum + float(squared.sum()), self._count + squared.size

    def psnr(self) -> float | None:
        """In dB; None of no pixels."""
        return metrics.psnr(self._sum / self._count) if self._count else None


def error_map(target: Target, reconstruction: Image, gain: int = 10) -> Image:
    """Mean absolute error of every pixel, brightened ``gain`` times, as an 8-bit gray image.

    Black where the image is missing: nothing is known of the error there.
    """
    image, (low, high) = target.image, target.image.value_range
    gray = np.empty((image.height, image.width, 1), dtype=np.uint8)
    for row in range(image.height):
        difference = np.abs(image.pixels[row].astype(np.float64) - reconstruction.pixels[row]).mean(1)
        gray[row, :, 0] = np.clip(gain * 255 * difference / (high - low), 0, 255)
    if target.missing is not None:
        gray[target.missing.reshape(image.height, image.width)] = 0
    return Image(gray, "L")
