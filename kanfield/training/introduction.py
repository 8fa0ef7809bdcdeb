"""What a fit prints before it begins."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from rich.console import Console

from kanfield.config.settings import Settings
from kanfield.fields.field import count_parameters
from kanfield.monitors.tolerant import say
from kanfield.names import command_line
from kanfield.splines import explain_backend
from kanfield.splines.backend import BACKENDS
from kanfield.training.distributed import LEAST_PART
from kanfield.training.trainer import Trainer


def introduce(console: Console | None, trainer: Trainer) -> None:
    """Print what is about to happen, and anything a person should know before."""
    if console is None:
        return
    settings, image = trainer.settings, trainer.image
    device = next(trainer.field.parameters()).device
    backend, why = trainer.field.backend, ""
    if backend in BACKENDS:
        precision = "fp32" if settings.precision == "fp64" else settings.precision
        why = f" ({explain_backend(str(device), precision)[1]})"
    parameters = count_parameters(trainer.field)
    pixels = image.height * image.width
    name = image.source.name if image.source else "image"
    kind = settings.title + _levels(settings)
    slow = device.type == "cpu" and backend == "reference"
    folder = trainer.folder.path
    watch = command_line("tensorboard", "--logdir", folder)
    lines = [
        (f"{name}: {image.width} x {image.height} {image.kind}, {pixels:,} pixels", ""),
        *((note, "") for note in image.notes),
        *_goal_notes(trainer),
        (f"{kind}: {parameters:,} parameters, {parameters / pixels:.2f} per pixel{_residual(trainer)}", ""),
        (f"{device}, {torch.get_num_threads()} threads, {backend} backend{why}", "yellow" if slow else ""),
        *_processes(trainer),
        (f"run folder {folder}; watch it with: {watch}", ""),
    ]
    for line, style in lines:
        say(console, line, style)


def _levels(settings: Settings) -> str:
    """The levels of a KAN's grids, in parentheses."""
    resolutions = (settings.options or {}).get("resolutions")
    if settings.model != "kan" or not resolutions:
        return ""
    (first, last), count = (resolutions[0], resolutions[-1]), len(resolutions)
    return f" ({count} levels, {first[0]} x {first[1]} to {last[0]} x {last[1]} cells)"


def _residual(trainer: Trainer) -> str:
    """How many parameters are not trained."""
    if not trainer.field.has_residual:
        return ""
    count = sum(p.numel() for p in trainer.field.parameters() if not p.requires_grad)
    return f"; {count:,} are fitted at the end, to what training leaves"


def introduce_resumed(
    console: Console | None, trainer: Trainer, differences: Sequence[str], changes: Sequence[str]
) -> None:
    """Print where a run goes on, and why it may end elsewhere than it would have.

    Args:
        console: Where to print, or None.
        trainer: Of the run, restored.
        differences: Between the machine that the run began on and this one, in words.
        changes: Of settings that ``--resume`` was given, in words.
    """
    if console is None:
        return
    say(console, f"resumed at step {trainer.progress.step}")
    if changes or (differences and trainer.settings.seconds is None):
        words = "; ".join([*changes, *differences])
        say(console, f"the result will not be bit-identical to an uninterrupted run's: {words}", "yellow")


def _processes(trainer: Trainer) -> list[tuple[str, str]]:
    """How several processes share the work, as lines with their styles."""
    size = trainer.ranks.size
    if size == 1:
        return []
    part = trainer.sampler.batch_size // size
    lines = [(f"{size} processes train this field, {part:,} pixels of every step each", "")]
    if part < LEAST_PART:
        text = (
            f"this cannot pay: below {LEAST_PART:,} pixels a process takes longer to exchange gradients than "
            "it saves; give a larger --batch-size, or fewer processes"
        )
        lines.append((text, "yellow"))
    return lines


def _goal_notes(trainer: Trainer) -> list[tuple[str, str]]:
    """What is unusual about the goal, as lines with their styles."""
    lines, missing = [], trainer.target.missing
    if missing is not None:
        lines.append((f"{missing.sum():,} pixels are missing and will be predicted", ""))
    if trainer.settings.lossless and trainer.image.bits == 16:
        # Rounding of a trained field, measured: 1e-6 at most, 135 dB in the mean.
        text = (
            "16-bit pixels are exact when no value is off by 1/131,070; fp32 rounds ten times finer, but "
            "training rarely gets so far: the result says how many pixels are not exact"
        )
        lines.append((text, "yellow"))
    return lines
