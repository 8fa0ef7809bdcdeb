"""Timing of several calls that are compared: in turns, so that a slow moment hits all of them equally."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

Run = Callable[[], object]
_MOST_CALLS = 1000  # of one run in a round


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: number of times that every run is timed.
        seconds: the least that the calls of one run take in a round: around a few microseconds of a GPU's
            work, a clock would time the wait for it instead. 0: one call per round, whatever it takes.
        patience: seconds after which a run gets no more rounds; the first three it gets in any case.
    """

    rounds: int
    seconds: float
    patience: float = 3.0


THOROUGH, QUICK = Effort(15, 0.01), Effort(3, 0.0)
_FEWEST_ROUNDS = 3


def interleaved(runs: Mapping[str, Run], device: torch.device, effort: Effort = THOROUGH) -> dict[str, float]:
    """Median seconds of a call of each, all timed in turns.

    Args:
        runs: what to time, by name. Each is first called once or twice, to warm up and to see how long it
            takes.
        device: where they work; the clock is read when it has finished.
        effort: how long to measure.

    >>> sorted(interleaved({"a": list, "b": dict}, torch.device("cpu"), QUICK))
    ['a', 'b']
    """
    calls, rounds = dict.fromkeys(runs, 1), dict.fromkeys(runs, effort.rounds)
    for name, run in runs.items():
        once = seconds(run, device)
        if effort.seconds:
            if once < effort.patience:  # otherwise warming up added little, and another call takes long
                once = max(seconds(run, device), 1e-9)
            calls[name] = min(_MOST_CALLS, max(1, math.ceil(effort.seconds / once)))
            affordable = int(effort.patience / (once * calls[name]))
            rounds[name] = min(effort.rounds, max(_FEWEST_ROUNDS, affordable))
    times: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(effort.rounds):
        for name, run in runs.items():
            if number < rounds[name]:
                times[name].append(seconds(run, device, calls[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def seconds(run: Run, device: torch.device, calls: int = 1) -> float:
    """Seconds per call, until the device has finished.

    Args:
        run: what to time.
        device: where it works.
        calls: number of calls in a row, of which this is the mean.
    """
    wait_for(device)
    start = time.perf_counter()
    for _ in range(calls):
        run()
    wait_for(device)
    return (time.perf_counter() - start) / calls


def wait_for(device: torch.device) -> None:
    """Wait until a device has finished all its work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
