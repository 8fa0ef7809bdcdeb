"""Learning rates over a run: warm-up and decay, or phases of constant rates."""

from __future__ import annotations

from collections.abc import Sequence

from kanfield.config.settings import Phase

WARM_UP_FRACTION = 0.05  # fraction of the run
_POLISH_FROM, _POLISH_RATE = 0.8, 0.005  # fraction of the run, and of the highest rate


def warm_up_and_decay(progress: float) -> float:
    """Factor on the learning rate: linear warm-up, then linear decay to zero.

    Args:
        progress: Fraction of the run, 0 to 1.

    Returns:
        0 to 1.

    >>> [round(warm_up_and_decay(p), 2) for p in (0.0, 0.05, 0.525, 1.0)]
    [0.0, 1.0, 0.5, 0.0]
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < WARM_UP_FRACTION:
        return progress / WARM_UP_FRACTION
    return (1 - progress) / (1 - WARM_UP_FRACTION)


def decay_and_polish(progress: float) -> float:
    """Factor on the learning rate of a lossless fit: the decay ends early, at a small rate that stays.

    By that rate the last pixels are put right.

    >>> [round(decay_and_polish(p), 3) for p in (0.0, 0.04, 0.42, 0.8, 1.0)]
    [0.005, 1.0, 0.5, 0.005, 0.005]
    """
    return max(warm_up_and_decay(progress / _POLISH_FROM), _POLISH_RATE)


def phase_at(phases: Sequence[Phase], step: int) -> tuple[Phase, int]:
    """The phase that step number ``step`` (from 0) belongs to, and its position in that phase.

    >>> phase_at([Phase(10, 1e-3), Phase(10, 1e-4)], 12)
    (Phase(steps=10, lr=0.0001), 2)
    """
    for phase in phases:
        if step < phase.steps:
            return phase, step
        step -= phase.steps
    return phases[-1], phases[-1].steps + step


def scale_phases(phases: Sequence[Phase], steps: int) -> list[Phase]:
    """The phases stretched or shortened in proportion to ``steps`` steps in all.

    >>> scale_phases([Phase(10, 1e-3), Phase(10, 1e-4)], 6)
    [Phase(steps=3, lr=0.001), Phase(steps=3, lr=0.0001)]
    """
    total, taken, position, result = sum(p.steps for p in phases), 0, 0, []
    for phase in phases:
        position += phase.steps
        end = round(steps * position / total)
        result.append(Phase(end - taken, phase.lr))
        taken = end
    return [phase for phase in result if phase.steps > 0]
