"""Which pixels a step sees: batches without replacement, a pure function of the step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Distinct streams of random numbers from one seed.
_EPOCHS, _FOCUS = 0, 1


class PixelSampler:
    """Batches of pixel indices; each pixel comes once before any comes again.

    Nothing is drawn from a running generator: a batch depends on the seed and the step alone, so a resumed
    run sees the same batches and evaluation cannot disturb them.

    Args:
        pixels: indices to draw from, shape ``(P,)``, int64.
        batch_size: pixels in a step; at most all of them are taken.
        seed: 0 or more.

    >>> sampler = PixelSampler(torch.arange(6), batch_size=3, seed=0)
    >>> sorted(torch.cat([sampler.batch(0), sampler.batch(1)]).tolist())
    [0, 1, 2, 3, 4, 5]
    """

    def __init__(self, pixels: Tensor, batch_size: int, seed: int) -> None:
        self.pixels, self.seed = pixels, seed
        self.batch_size = min(batch_size, len(pixels))
        self._epoch, self._order = -1, pixels

    def batch(self, step: int, focus: Tensor | None = None) -> Tensor:
        """Indices of step number ``step`` (from 0), shape ``(batch_size,)``.

        Args:
            focus: pixel indices that deserve attention; up to half of the batch is drawn from them, each
                twice on average.
        """
        epoch, start = divmod(step * self.batch_size, len(self.pixels))
        indices = self._permutation(epoch)[start : start + self.batch_size]
        if len(indices) < self.batch_size:
            rest = self._permutation(epoch + 1)[: self.batch_size - len(indices)]
            indices = torch.cat([indices, rest])
        if focus is not None and len(focus):
            # Few wrong pixels must not crowd out the many right ones, which would then go wrong.
            count = min(self.batch_size // 2, 2 * len(focus))
            chosen = torch.randint(len(focus), (count,), generator=self._generator(_FOCUS, step))
            indices = torch.cat([focus[chosen.to(focus.device)], indices[count:]])
        return indices

    def _permutation(self, epoch: int) -> Tensor:
        if epoch != self._epoch:
            order = torch.randperm(len(self.pixels), generator=self._generator(_EPOCHS, epoch))
            self._epoch, self._order = epoch, self.pixels[order.to(self.pixels.device)]
        return self._order

    def _generator(self, stream: int, number: int) -> torch.Generator:
        # Hashed, because torch's CPU generator looks at the low 32 bits of a seed only.
        words = np.random.SeedSequence([self.seed, stream, number]).generate_state(1)
        return torch.Generator().manual_seed(int(words[0]))
