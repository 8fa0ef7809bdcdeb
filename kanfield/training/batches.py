"""Coordinates and values that a step trains on, worked out for several steps at a time."""

from __future__ import annotations

from torch import Tensor

from kanfield.training.sampling import PixelSampler
from kanfield.training.target import Target

_AHEAD = 1 << 15  # pixels that are worked out at a time, where a batch is smaller


class Batches:
    """The samples of any step: those of the sampler's indices, in order.

    A dozen small operations on one batch cost a tenth of a training step; on several batches they cost
    hardly more.

    Args:
        sampler: says which pixels. target: says where they lie and what colour they have.
    """

    def __init__(self, sampler: PixelSampler, target: Target) -> None:
        self.sampler, self.target = sampler, target
        self._steps = max(1, _AHEAD // sampler.batch_size)
        self._first = -1
        self._samples: list[tuple[Tensor, Tensor]] = []

    def at(self, step: int, focus: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Coordinates ``(N, 2)`` and values ``(N, c)`` of step number ``step``.

        Args:
            focus: see :meth:`kanfield.training.sampling.PixelSampler.batch`.
        """
        if focus is not None and len(focus):
            return self.target.samples(self.sampler.batch(step, focus))
        first = step - step % self._steps
        if first != self._first:
            x, y = self.target.samples(self.sampler.batches(first, self._steps))
            self._samples = list(zip(x.chunk(self._steps), y.chunk(self._steps), strict=True))
            self._first = first
        return self._samples[step - first]
