"""Whole training steps: forward, loss, backward and optimisers of fields as ``kanfield fit`` trains them."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import Any

import torch

from kanfield.bench.clock import Effort, Run, interleaved
from kanfield.config.checks import MATRIX_PRECISIONS
from kanfield.config.image_stats import ImageStats
from kanfield.config.parse import settings_from
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.fields import find_family
from kanfield.fields.field import count_parameters
from kanfield.runs.run import make_field
from kanfield.splines import use_backend
from kanfield.splines.backend import native, triton_unavailable
from kanfield.training.memory import is_out_of_memory
from kanfield.training.optimizers import build_optimizers
from kanfield.training.step import EAGER_STEPS, GraphedStep, Step, make_step

QUICK_BATCH = 256
SIDE = 256  # pixels of the image whose presets are timed
SCALE = ImageStats(SIDE, SIDE, seen=SIDE * SIDE, channels=1)


@dataclass(frozen=True)
class Training:
    """A field, and how its steps are computed.

    Attributes:
        name: in words.
        settings: of the fit.
        backend: forced on its splines, or None.
        eager: run as plain calls where a fit would replay a graph.
    """

    name: str
    settings: Settings
    backend: str | None = None
    eager: bool = False


def trainings_on(device: torch.device) -> list[Training]:
    """What is timed on a device, the default field first."""
    smooth, lossless = Settings(), Settings(preset="lossless")
    kan, sharp, grid = "kan, preset smooth", "kan, preset lossless", "hashgrid"
    trainings = [Training(kan, smooth), Training(sharp, lossless)]
    if device.type == "cuda":
        trainings.append(Training(f"{kan}, without a graph", smooth, eager=True))
        if triton_unavailable(str(device)) is None:
            trainings += [Training(kan, settings_from({"precision": name})) for name in MATRIX_PRECISIONS]
    if device.type == "cuda" or native is not None:
        trainings.append(Training(kan, smooth, "reference"))
    trainings.append(Training(grid, Settings(model="hashgrid")))
    if device.type == "cuda":
        trainings.append(Training(f"{grid}, without a graph", Settings(model="hashgrid"), eager=True))
    trainings.append(Training("tinycudann's hash grid", Settings(model="tcnn-hashgrid")))
    return trainings


def measure_steps(
    trainings: list[Training], device: torch.device, effort: Effort, batch: int | None = None
) -> list[dict[str, Any]]:
    """Time whole training steps.

    Batches are random pixels of an image of 256 x 256; drawing them is not timed. The learning rates are
    zero, so that a field does not change however often it is called; the work is the same.

    Args:
        trainings: what to time.
        device: where.
        effort: how long to measure.
        batch: pixels per step, or None for as many as a fit would take.

    Returns:
        Rows of plain values, one per training: milliseconds per step, pixels per second, and the time over
        that of the first training.
    """
    runs: dict[int, _Stepper] = {}
    reasons: dict[int, str] = {}
    for number, training in enumerate(trainings):
        family = find_family(training.settings.model)
        foreign = family.name.startswith("tcnn")
        if family.unavailable is not None or (foreign and device.type != "cuda"):
            reasons[number] = family.unavailable or f"it needs an NVIDIA GPU, this is {device}"
            continue
        try:
            runs[number] = _Stepper(training, device, batch)
        except Exception as error:  # what tinycudann can raise has no common name
            if not foreign and not is_out_of_memory(error):
                raise
            reasons[number] = str(error).splitlines()[0] if str(error) else type(error).__name__
    named: dict[str, Run] = {str(number): run for number, run in runs.items()}
    seconds = interleaved(named, device, effort)
    default = seconds.get("0")
    return [
        _row(training, runs.get(number), seconds.get(str(number)), default, reasons.get(number))
        for number, training in enumerate(trainings)
    ]


class _Stepper:
    """Steps of a training on one random batch, as a fit takes them; the first ones have been taken."""

    def __init__(self, training: Training, device: torch.device, batch: int | None) -> None:
        settings = resolve(dataclasses.replace(training.settings, batch_size=batch), SCALE)
        assert settings.optimizer is not None and settings.batch_size is not None
        field = make_field(settings, SCALE.channels).to(device)
        generator = torch.Generator().manual_seed(0)
        x = 2 * torch.rand(settings.batch_size, 2, generator=generator) - 1
        self._x, self._device, self._backend = x.to(device), device, training.backend
        self._target = torch.rand(settings.batch_size, SCALE.channels, generator=generator).to(device)
        optimizers = build_optimizers(field, settings.optimizer, 0.0, 0.0)
        self.batch = settings.batch_size
        self.parameters = count_parameters(field)
        self.precision = settings.precision
        plain = training.eager or device.type != "cuda"
        self._step = Step(field, optimizers) if plain else make_step(field, optimizers, compiled=False)
        with self._using():
            field.fit_ranges(self._x)
            self.backend = field.backend
            for _ in range(1 if plain else EAGER_STEPS + 1):
                self._step(self._x, self._target)

    @property
    def graph(self) -> bool:
        """Whether the steps are replayed from a CUDA graph."""
        return isinstance(self._step, GraphedStep) and bool(self._step.captured)

    def __call__(self) -> None:
        with self._using():
            self._step(self._x, self._target)

    def _using(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if self._backend is None else use_backend(self._backend)


def _row(
    training: Training, run: _Stepper | None, seconds: float | None, default: float | None, reason: str | None
) -> dict[str, Any]:
    attributes = ("backend", "precision", "graph", "parameters", "batch")
    return {
        "field": training.name,
        **{key: getattr(run, key, None) for key in attributes},
        "milliseconds": None if seconds is None else 1e3 * seconds,
        "pixels_per_second": None if run is None or seconds is None else run.batch / seconds,
        "times_default": None if seconds is None or default is None else seconds / default,
        "left_out": reason,
    }
