"""What a fit aims at: an image's pixels, kept as the file holds them, and which of them it may see."""

from __future__ import annotations

import hashlib
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kanfield.config.image_stats import ImageStats
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image, coordinates, held_out_mask
from kanfield.images.image import row_slices


class Target:
    """An image on a device; coordinates and values of pixels are worked out when they are asked for.

    An 8-bit image takes a byte a channel and nothing more, so one of a hundred megapixels fits.

    Args:
        image: what is fitted.
        like: a tensor of the field, whose device and precision the samples take.
        held_out: pixels that are not trained on but scored apart, bool ``(height * width,)``, or None.

    >>> target = Target(Image(np.array([[[0], [255]]], dtype=np.uint8), "L"), torch.zeros(1))
    >>> x, y = target.samples(torch.tensor([1]))
    >>> x.tolist(), y.tolist()
    ([[0.5, 0.0]], [[1.0]])
    """

    def __init__(
        self,
        image: Image,
        like: Tensor,
        held_out: NDArray[np.bool_] | None = None,
    ) -> None:
        self.image, self.held_out = image, held_out
        # Neither trained on nor scored.
        self.missing = None if image.missing is None else image.missing.ravel()
        self.count = image.height * image.width
        self.device, self.dtype = like.device, like.dtype
        # Rows and columns of the very coordinates that rendering uses.
        height, width = image.height, image.width
        self._x = coordinates(height, width, rows=slice(0, 1))[:, 0].to(like)
        self._y = coordinates(height, width, window=(0, 0, width, height), shape=(height, 1))[:, 1].to(like)
        # Where values are more than pixels in proportion, they are worked out once.
        self._in_unit = image.is_float or image.log_scale is not None or image.premultiplied
        # Devices index few types: 16 bits travel as int16, and are unsigned again when they are read.
        self._unsigned = image.bits == 16 and not self._in_unit

    @cached_property
    def _pixels(self) -> Tensor:
        """What samples are taken from, on the device; made with the first, since some look at masks alone."""
        if self._in_unit:
            return self._values().to(self.device)
        # Torch takes no negative strides and warns of what is read-only: only such pixels are copied.
        pixels = np.require(self.image.pixels, requirements=("C", "W")).reshape(self.count, -1)
        return torch.from_numpy(pixels.view(np.int16) if self._unsigned else pixels).to(self.device)

    def _values(self) -> Tensor:
        """The image's values in [0, 1], shape ``(height * width, c)``."""
        image, double = self.image, self.dtype == torch.float64
        values = np.empty(image.pixels.shape, dtype=np.float64 if double else np.float32)
        for rows in row_slices(image.height, image.width):
            with np.errstate(over="ignore"):  # of missing pixels, which nobody looks at
                values[rows] = image.to_unit(image.pixels[rows])
        return torch.from_numpy(values.reshape(self.count, -1))

    def seen(self) -> NDArray[np.integer] | int:
        """Indices of the pixels to train on, in ascending order; their number where that is all."""
        if self.held_out is None and self.missing is None:
            return self.count
        hidden = np.zeros(self.count, dtype=bool)
        for mask in (self.held_out, self.missing):
            if mask is not None:
                hidden |= mask
        return np.flatnonzero(~hidden).astype(np.int32 if self.count < 2**31 else np.int64)

    def coordinates(self, indices: Tensor) -> Tensor:
        """Coordinates of pixels, shape ``(N, 2)``."""
        width = self.image.width
        return torch.stack([self._x[indices % width], self._y[indices // width]], 1)

    def samples(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Coordinates ``(N, 2)`` and values ``(N, c)`` of pixels; values lie in [-1, 1], as fields' do."""
        indices = indices.to(self.device)
        low, high = (0, 1) if self._in_unit else self.image.value_range
        values = self._pixels[indices]
        if self._unsigned:
            values = values.to(torch.int32) & 0xFFFF
        values = values.to(self.dtype)
        return self.coordinates(indices), (values - low) * (2 / (high - low)) - 1


def make_target(settings: Settings, image: Image, like: Tensor) -> Target:
    """The image with the pixels that the settings hold out, where and how ``like`` is kept.

    Raises:
        InputError: nothing is left to see, or to score.
    """
    held_out = None
    if settings.held_out is not None:
        held_out = held_out_mask(image.height, image.width, settings.held_out, settings.seed)
    if held_out is not None and image.missing is not None and (held_out | image.missing.ravel()).all():
        raise InputError("missing pixels (--mask) and --held-out together hide every pixel: hide fewer")
    return Target(image, like, held_out)


def image_stats(target: Target) -> ImageStats:
    """What a preset has to know of an image and of the pixels that are hidden."""
    image, seen = target.image, target.seen()
    return ImageStats(
        width=image.width,
        height=image.height,
        seen=seen if isinstance(seen, int) else len(seen),
        channels=image.channels,
    )


def fingerprint(image: Image) -> str:
    """A hash of the pixels and their shape, and of which are missing."""
    digest = hashlib.sha256(np.ascontiguousarray(image.pixels).data)
    digest.update(str(image.pixels.shape).encode())
    if image.missing is not None:
        digest.update(np.packbits(image.missing).tobytes())
    return digest.hexdigest()
