"""Looks at the image while training goes on: at which pixels, and how often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kanfield.training.sampling import LOOKS, PixelSampler, shuffle
from kanfield.training.target import Target

LOOK_PIXELS = 1 << 16  # a larger image is judged by this many of its pixels while training goes on
_SHARE = 0.05  # of the time, at most about this much goes into looking


def pixels_to_look_at(target: Target, sampler: PixelSampler) -> NDArray[np.int64] | None:
    """Some pixels that are trained on and some that are held out, ascending; None for all."""
    if target.count <= LOOK_PIXELS:
        return None
    held_out = np.zeros(0, dtype=np.int64)
    if target.held_out is not None:
        known = target.held_out if target.missing is None else target.held_out & ~target.missing
        held_out = np.flatnonzero(known)
    parts = []
    for pixels, count in ((sampler.pixels, sampler.count), (held_out, len(held_out))):
        some = shuffle(np.arange(min(count, LOOK_PIXELS)), max(count, 1), [sampler.seed, LOOKS])
        parts.append(some if pixels is None else pixels[some])
    return np.sort(np.concatenate(parts).astype(np.int64))


def steps_between_looks(pixels: int, batch_size: int, multiple: int) -> int:
    """Steps from a look at so many pixels to the next, a multiple of ``multiple``.

    >>> steps_between_looks(65536, batch_size=2048, multiple=10)
    210
    """
    # A look costs a forward pass over its pixels; a step three over a batch.
    every = pixels / batch_size / (3 * _SHARE)
    return multiple * max(1, round(every / multiple))
