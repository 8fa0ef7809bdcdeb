"""Measuring a finished run again: what ``kanfield eval`` does."""

from __future__ import annotations

import os
from typing import Any

from kanfield.errors import InputError
from kanfield.machine import pick_device
from kanfield.process import default_settings
from kanfield.runs.checkpoint import load_field, read_checkpoint
from kanfield.runs.progress import Progress
from kanfield.runs.run import load, make_field
from kanfield.training.results import measure
from kanfield.training.target import fingerprint, make_target


@default_settings()
def evaluate_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Measure a run's best weights again, on the image as it is now.

    What belongs to the training (steps, seconds, first crossings) comes from the run's checkpoint.

    Args:
        path: of the run folder.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: the folder is not a run, has no checkpoint, or its image has changed.
    """
    run = load(path)
    try:
        device = pick_device(run.settings.device)
    except InputError:  # fitted on another machine
        device = pick_device("auto")
    last = read_checkpoint(run.folder.last, fingerprint(run.image))
    progress = Progress.from_checkpoint(last.info, run.folder.last)
    field = make_field(run.settings, run.image.channels)
    evaluated = progress.best_psnr is not None
    load_field(field, read_checkpoint(run.folder.best) if evaluated else last, run.folder.best)
    field = field.to(device)
    target = make_target(run.settings, run.image, next(field.parameters()))
    return measure(field, target, progress, run.settings, run.folder)[1]
