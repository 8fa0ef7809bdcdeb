"""The signal of ten waves, and the amplitudes that a prediction has recovered."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FREQUENCIES = tuple(range(5, 55, 5))  # Hz
SAMPLES = 200  # times in [0, 1)
RECOVERED = 0.9  # of a wave's amplitude: from here on the wave counts as recovered


def amplitudes_of(kind: str) -> Tensor:
    """Amplitudes of the ten waves, float64, shape ``(10,)``.

    Args:
        kind: ``"equal"`` for ones, ``"increasing"`` for 0.1, 0.2, ... 1.

    >>> amplitudes_of("increasing")[:2].tolist()
    [0.1, 0.2]
    """
    ones = torch.ones(len(FREQUENCIES), dtype=torch.float64)
    return ones if kind == "equal" else (torch.arange(len(ones), dtype=torch.float64) + 1) / 10


def target(amplitudes: Tensor, phases: Tensor) -> Tensor:
    """The sum of the waves at the 200 times, float64, shape ``(200, 1)``.

    Args:
        amplitudes: of the waves, shape ``(10,)``.
        phases: of the waves in turns, shape ``(10,)``.
    """
    times = torch.arange(SAMPLES, dtype=torch.float64) / SAMPLES
    turns = torch.tensor(FREQUENCIES, dtype=torch.float64) * times[:, None] + phases
    return (amplitudes * torch.sin(2 * math.pi * turns)).sum(1, keepdim=True)


def recovered(prediction: Tensor, amplitudes: Tensor) -> Tensor:
    """The share of each wave's amplitude that a prediction has, shape ``(10,)``.

    Args:
        prediction: values at the 200 times, shape ``(200, 1)``.
        amplitudes: of the target's waves, shape ``(10,)``.

    >>> waves = amplitudes_of("equal")
    >>> recovered(target(waves, torch.zeros(10)), waves).round(decimals=6).tolist() == [1.0] * 10
    True
    """
    spectrum = torch.fft.rfft(prediction[:, 0]).abs()[list(FREQUENCIES)]
    shares: Tensor = 2 / SAMPLES * spectrum / amplitudes
    return shares
