"""The pixels of each step: batches without replacement, a pure function of the step."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kanfield.splines.backend import triton_unavailable
from kanfield.training.permutation import EPOCHS, FOCUS, shuffle
from kanfield.training.target import Target


class PixelSampler:
    """Batches of pixel indices; each pixel comes once before any comes again.

    Nothing is drawn from a running generator: a batch depends on the seed and the step alone, so a resumed
    run sees the same batches and evaluation cannot disturb them.

    Args:
        pixels: Indices to draw from, integers, shape ``(P,)``; or P, for the first P.
        batch_size: Pixels per step; at most all of them are taken.
        seed: 0 or more.
        device: Where the indices are needed; a GPU that runs Triton computes them itself.

    >>> sampler = PixelSampler(6, batch_size=3, seed=0)
    >>> sorted(torch.cat([sampler.batch(0), sampler.batch(1)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(
        self,
        pixels: NDArray[np.integer] | int,
        batch_size: int,
        seed: int,
        device: torch.device = torch.device("cpu"),  # noqa: B008  a constant
    ) -> None:
        self.pixels, self.seed, self.device = None if isinstance(pixels, int) else pixels, seed, device
        self.count = pixels if isinstance(pixels, int) else len(pixels)
        self.batch_size = min(batch_size, self.count)

    def batches(self, step: int, steps: int) -> Tensor:
        """Indices of several consecutive steps.

        Args:
            step: Number of the first step, from 0.
            steps: How many.

        Returns:
            int64, shape ``(steps * batch_size,)``, one batch after another.
        """
        first, total = step * self.batch_size, steps * self.batch_size
        if self.device.type == "cuda" and triton_unavailable(str(self.device)) is None:
            from kanfield.training.permutation_triton import shuffled

            indices = shuffled(first, total, self.count, self.seed, self.device)
            return (
                indices if self._pixels_on_device is None else self._pixels_on_device[indices].to(torch.int64)
            )
        epochs, positions = np.divmod(first + np.arange(total), self.count)
        spans = range(epochs[0], epochs[-1] + 1)
        found = [self._shuffled(positions[epochs == epoch], epoch) for epoch in spans]
        return self._to_device(torch.from_numpy(np.concatenate(found)))

    @cached_property
    def _pixels_on_device(self) -> Tensor | None:
        return None if self.pixels is None else torch.from_numpy(self.pixels).to(self.device)

    def _to_device(self, indices: Tensor) -> Tensor:
        """Indices on their device, without waiting for it."""
        if self.device.type != "cuda":
            return indices.to(self.device)
        return indices.pin_memory().to(self.device, non_blocking=True)

    def batch(self, step: int, focus: Tensor | None = None) -> Tensor:
        """Indices of one step.

        Args:
            step: Number of the step, from 0.
            focus: Pixel indices to train on more often, int64, on the CPU; up to half of the batch is drawn
                from them, each twice on average.

        Returns:
            int64, shape ``(batch_size,)``.
        """
        batch = self.batches(step, 1)
        if focus is not None and len(focus):
            # With too many of the few wrong pixels in a batch, the many right ones would become wrong.
            count = min(self.batch_size // 2, 2 * len(focus))
            words = np.random.SeedSequence([self.seed, FOCUS, step]).generate_state(1)
            # Hashed, because torch's CPU generator uses only the low 32 bits of a seed.
            generator = torch.Generator().manual_seed(int(words[0]))
            chosen = torch.randint(len(focus), (count,), generator=generator)
            batch = torch.cat([self._to_device(focus[chosen]), batch[count:]])
        return batch

    def _shuffled(self, positions: NDArray[np.int64], epoch: int) -> NDArray[np.int64]:
        indices = shuffle(positions, self.count, [self.seed, EPOCHS, int(epoch)])
        return indices if self.pixels is None else self.pixels[indices].astype(np.int64)


_AHEAD = 1 << 15  # pixels whose samples are computed at a time, where a batch is smaller
_EPOCHS_AHEAD = 64  # of few pixels, at most: each is shuffled by itself


class Batches:
    """Coordinates and values of any step's pixels.

    A dozen small operations on one batch cost a tenth of a training step; on several batches they cost hardly
    more, so several steps are computed together.

    Args:
        sampler: Gives the pixel indices.
        target: Gives their coordinates and values.
    """

    def __init__(self, sampler: PixelSampler, target: Target) -> None:
        self.sampler, self.target = sampler, target
        self._steps = max(1, min(_AHEAD, _EPOCHS_AHEAD * sampler.count) // sampler.batch_size)
        self._first = -1
        self._samples: list[tuple[Tensor, Tensor]] = []

    def at(self, step: int, focus: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The samples of one step.

        Args:
            step: Number of the step, from 0.
            focus: Pixel indices to train on more often, see :meth:`PixelSampler.batch`.

        Returns:
            Coordinates ``(N, 2)`` and values ``(N, c)`` in [-1, 1].
        """
        if focus is not None and len(focus):
            return self.target.samples(self.sampler.batch(step, focus))
        first = step - step % self._steps
        if first != self._first:
            x, y = self.target.samples(self.sampler.batches(first, self._steps))
            self._samples = list(zip(x.chunk(self._steps), y.chunk(self._steps), strict=True))
            self._first = first
        return self._samples[step - first]
