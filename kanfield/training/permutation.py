"""Pseudo-random permutations of pixels: pure functions of seed and position, without a table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Distinct streams of random numbers from one seed.
EPOCHS, FOCUS, EVALUATION, HELD_OUT = 0, 1, 2, 3

ROUNDS = 4  # of mixing


def shuffle(positions: NDArray[np.int64], count: int, key: Sequence[int]) -> NDArray[np.int64]:
    """Apply a pseudo-random permutation of ``range(count)`` to some positions.

    No table is made, so the cost does not depend on the size of the image. Rounds of invertible mixing
    permute the next power of two; what falls outside the range is mixed again until it is inside (cycle
    walking: Black and Rogaway, Ciphers with Arbitrary Finite Domains, CT-RSA 2002).

    Args:
        positions: int64, shape ``(N,)``, 0 to ``count - 1``.
        count: Length of what is permuted.
        key: Whole numbers of 0 or more; each key is another permutation.

    Returns:
        int64, shape ``(N,)``, 0 to ``count - 1``.

    >>> sorted(shuffle(np.arange(5), 5, key=[0]).tolist())
    [0, 1, 2, 3, 4]
    """
    bits = max(1, (count - 1).bit_length())
    mask, half = np.uint64((1 << bits) - 1), np.uint64((bits + 1) // 2)
    constants = _round_keys(key)

    def mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
        for factor, offset in constants.reshape(ROUNDS, 2):
            x = (x * (factor | np.uint64(1)) + offset) & mask
            x = x ^ (x >> half)
        return x

    x = mix(positions.astype(np.uint64))
    while (outside := x >= count).any():
        x[outside] = mix(x[outside])
    return x.astype(np.int64)


def round_keys(seed: int, epoch: int) -> NDArray[np.uint64]:
    """The constants of an epoch's permutation, a factor and an offset per round: shape ``(2 * ROUNDS,)``."""
    return _round_keys([seed, EPOCHS, epoch])


def _round_keys(key: Sequence[int]) -> NDArray[np.uint64]:
    return np.random.SeedSequence(key).generate_state(2 * ROUNDS, np.uint64).astype(np.uint64, copy=False)
