"""Measure a run's best weights again."""

from __future__ import annotations

import os
from typing import Any

from kanfield.errors import InputError
from kanfield.training.fit import fingerprint, pick_device
from kanfield.training.results import measure
from kanfield.training.run import load, make_field, make_target
from kanfield.training.trainer import Trainer


def evaluate_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of ``metrics.json``, with every quality measured anew on the image as it is now.

    What belongs to the training (steps, seconds, first crossings) comes from the run's checkpoint.

    Raises:
        InputError: the folder is not a run, has no checkpoint, or its image has changed.
    """
    run = load(path)
    try:
        device = pick_device(run.settings.device)
    except InputError:  # fitted on another machine
        device = pick_device("auto")
    net = make_field(run.settings, run.image.channels).to(device)
    target = make_target(run.settings, run.image, next(net.parameters()))
    trainer = Trainer(net, target, run.settings, run.folder, fingerprint=fingerprint(run.image))
    trainer.restore()
    trainer.use_best_weights()
    return measure(trainer)[1]
