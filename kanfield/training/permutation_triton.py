"""The permutations of :mod:`kanfield.training.permutation` computed on a GPU, by a Triton kernel.

The host would be too slow for large batches; the numbers are the same as the host's to the bit. Imported only
where Triton runs.
"""

from __future__ import annotations

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from kanfield.training.permutation import ROUNDS, round_keys

_BLOCK = 1024


@triton.jit
def _mix(x, keys, mask, half, ROUNDS: tl.constexpr):
    for number in tl.static_range(ROUNDS):
        factor, offset = tl.load(keys + 2 * number), tl.load(keys + 2 * number + 1)
        x = (x * (factor | 1) + offset) & mask
        x = x ^ (x >> half)
    return x


@triton.jit
def _shuffle(keys, out, first, total, count, mask, half, ROUNDS: tl.constexpr, BLOCK: tl.constexpr):
    """Store in ``out[p]`` what the permutation of its epoch makes of position ``first + p``."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    position = first + place
    keys += (position // count - first // count) * (2 * ROUNDS)
    x = _mix(position % count, keys, mask, half, ROUNDS)
    while tl.max((x >= count).to(tl.int32), axis=0) > 0:
        x = tl.where(x >= count, _mix(x, keys, mask, half, ROUNDS), x)
    tl.store(out + place, x, mask=place < total)


def shuffled(first: int, total: int, count: int, seed: int, device: torch.device) -> Tensor:
    """Permuted indices at consecutive positions, one epoch after another.

    Args:
        first: The first position, counted from the start of the first epoch.
        total: How many positions.
        count: Length of an epoch.
        seed: 0 or more.
        device: Where the indices are computed.

    Returns:
        int64, shape ``(total,)``, 0 to ``count - 1``.
    """
    out = torch.empty(total, dtype=torch.int64, device=device)
    blocks = triton.cdiv(total, _BLOCK)
    # Positions past the total, which fill the last block, need keys too.
    epochs = range(first // count, (first + blocks * _BLOCK - 1) // count + 1)
    table = torch.from_numpy(np.stack([round_keys(seed, epoch) for epoch in epochs]).view(np.int64))
    if device.type == "cuda":
        table = table.pin_memory().to(device, non_blocking=True)
    bits = max(1, (count - 1).bit_length())
    with torch.cuda.device_of(out):  # where Triton launches, whatever its tensors are on
        _shuffle[(blocks,)](
            table, out, first, total, count, (1 << bits) - 1, (bits + 1) // 2, ROUNDS=ROUNDS, BLOCK=_BLOCK
        )
    return out
