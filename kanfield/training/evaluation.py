"""How good a field is on its image: PSNR seen and unseen; at which pixels that is asked, and how often."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kanfield import metrics
from kanfield.images import Image
from kanfield.runs.rendering import CHUNK, evaluate_field
from kanfield.training.permutation import EVALUATION, shuffle
from kanfield.training.sampling import PixelSampler
from kanfield.training.target import Target


@dataclass
class Evaluation:
    """How good a field is on an image, or on some of its pixels."""

    psnr: float  # dB, float output, on the pixels trained on; NaN where the field gives NaN
    held_out_psnr: float | None  # dB, on those held out
    band_psnr: list[float]  # of every channel, on the pixels trained on; empty where the field gives NaN
    wrong: NDArray[np.bool_] | None  # trained pixels whose stored value differs; None where they are floats
    picture: Image | None  # the reconstruction, where all pixels were evaluated


def evaluate(
    field: nn.Module,
    target: Target,
    indices: NDArray[np.int64] | None = None,
    kept: NDArray[np.float64] | None = None,
) -> Evaluation:
    """Compare a field with its target.

    Args:
        field: from coordinates to values.
        target: the image it is fitted to.
        indices: the pixels to evaluate, ascending; None for all.
        kept: filled with the field's values in [0, 1] at these pixels, shape ``(N, c)``, where given.
    """
    image = target.image
    flat = image.pixels.reshape(target.count, -1)
    pixels = np.empty_like(flat) if indices is None else None
    total = target.count if indices is None else len(indices)
    seen, held_out, wrong = _Error(), _Error(), np.zeros(total, dtype=bool)
    for start in range(0, total, CHUNK):
        stop = min(start + CHUNK, total)
        part = np.arange(start, stop) if indices is None else indices[start:stop]
        values = evaluate_field(field, target.coordinates(torch.from_numpy(part).to(target.device))).cpu()
        if values.isnan().any():
            return Evaluation(math.nan, None, [], None, None)
        if kept is not None:
            kept[start:stop] = values.numpy()
        got = Image.from_values(values.numpy()[None], image).pixels[0]
        # In double on the CPU: some devices have no double precision.
        error = values.double().numpy() - image.to_unit(flat[part])
        squared = np.square(error)
        unseen = target.held_out[part] if target.held_out is not None else np.zeros(len(part), bool)
        known = ~target.missing[part] if target.missing is not None else np.ones(len(part), bool)
        seen.add(squared[known & ~unseen])
        held_out.add(squared[known & unseen])
        wrong[start:stop] = (got != flat[part]).any(1) & known & ~unseen
        if pixels is not None:
            pixels[start:stop] = got
    psnr = seen.psnr()
    assert psnr is not None, "evaluated no pixel that is trained on"
    return Evaluation(
        psnr,
        held_out.psnr(),
        seen.by_band(),
        None if image.is_float else wrong,
        None if pixels is None else image.with_pixels(pixels.reshape(image.pixels.shape)),
    )


class _Error:
    """Squared errors, added up."""

    def __init__(self) -> None:
        self._sums, self._count = np.zeros(1), 0  # of every channel, pixels

    def add(self, squared: NDArray[np.float64]) -> None:
        self._sums, self._count = self._sums + squared.sum(axis=0), self._count + len(squared)

    def psnr(self) -> float | None:
        """In dB; None of no pixels."""
        return metrics.psnr(float(self._sums.mean()) / self._count) if self._count else None

    def by_band(self) -> list[float]:
        """In dB, of every channel."""
        return [metrics.psnr(each / self._count) for each in self._sums.tolist()] if self._count else []


def error_map(image: Image, reconstruction: Image, gain: int = 10) -> Image:
    """Mean absolute error of every pixel, brightened ``gain`` times, as an 8-bit gray image.

    Black where the image is missing: nothing is known of the error there.
    """
    low, high = image.value_range
    in_proportion = image.log_scale is None and not image.premultiplied
    gray = np.empty((image.height, image.width, 1), dtype=np.uint8)
    for row in range(image.height):
        truth, drawn = image.pixels[row], reconstruction.pixels[row]
        if in_proportion:
            difference = np.abs(truth.astype(np.float64) - drawn).mean(1) / (high - low)
        else:
            difference = np.abs(image.to_unit(truth) - image.to_unit(drawn)).mean(1)
        gray[row, :, 0] = np.nan_to_num(np.clip(gain * 255 * difference, 0, 255))
    if image.missing is not None:
        gray[image.missing] = 0
    return Image(gray, "L")


EVALUATION_PIXELS = 1 << 16  # a larger image is judged by this many of its pixels while training goes on


_SHARE = 0.05  # of the time, at most about this much goes into evaluation


def evaluation_pixels(target: Target, sampler: PixelSampler) -> NDArray[np.int64] | None:
    """Some pixels that are trained on and some that are held out, ascending; None for all."""
    if target.count <= EVALUATION_PIXELS:
        return None
    held_out = np.zeros(0, dtype=np.int64)
    if target.held_out is not None:
        known = target.held_out if target.missing is None else target.held_out & ~target.missing
        held_out = np.flatnonzero(known)
    parts = []
    for pixels, count in ((sampler.pixels, sampler.count), (held_out, len(held_out))):
        some = shuffle(np.arange(min(count, EVALUATION_PIXELS)), max(count, 1), [sampler.seed, EVALUATION])
        parts.append(some if pixels is None else pixels[some])
    return np.sort(np.concatenate(parts).astype(np.int64))


def evaluation_interval(pixels: int, batch_size: int, multiple: int) -> int:
    """Compute the steps between two evaluations.

    Args:
        pixels: that are evaluated.
        batch_size: pixels per step.
        multiple: of which the result is one.

    >>> evaluation_interval(65536, batch_size=2048, multiple=10)
    210
    """
    # An evaluation costs a forward pass over its pixels; a step three over a batch.
    every = pixels / batch_size / (3 * _SHARE)
    return multiple * max(1, round(every / multiple))
