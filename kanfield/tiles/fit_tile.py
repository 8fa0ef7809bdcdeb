"""The fit of one tile: an ordinary fit of its window, in a folder that becomes the tile's when it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.fields.field import count_parameters
from kanfield.files import write_json
from kanfield.images import Image
from kanfield.runs.checkpoint import environment
from kanfield.runs.folder import RunFolder
from kanfield.runs.run import make_field
from kanfield.tiles.folder import Split
from kanfield.tiles.held_out import held_out_window
from kanfield.tiles.picture import Picture, checksum
from kanfield.tiles.plan import Plan, Tile
from kanfield.training.evaluation import evaluate
from kanfield.training.memory import peak_memory_bytes
from kanfield.training.signals import Signals
from kanfield.training.target import Target, fingerprint
from kanfield.training.trainer import LOG_EVERY, Trainer


def tile_settings(settings: Settings, plan: Plan, tile: Tile) -> Settings:
    """Settings of one tile's fit: the run's, with a seed of its own and its share of the seconds.

    >>> plan = Plan(64, 64, 32)
    >>> a, b = (tile_settings(Settings(seconds=8.0), plan, tile) for tile in plan.tiles[:2])
    >>> a.seconds, a.seed != b.seed
    (2.0, True)
    """
    words = np.random.SeedSequence([settings.seed, tile.row, tile.column]).generate_state(1, np.uint64)
    seconds = None if settings.seconds is None else settings.seconds / len(plan.tiles)
    return replace(settings, seed=int(words[0] >> np.uint64(1)), seconds=seconds)


def fit_tile(
    settings: Settings,
    split: Split,
    picture: Picture,
    tile: Tile,
    folder: RunFolder,
    device: torch.device,
    signals: Signals,
) -> None:
    """Fit a tile from its beginning or its checkpoint, and write ``metrics.json``.

    The result depends on the tile alone: not on who fits it, when, nor on what was fitted before.

    Args:
        settings: Of the run, resolved.
        split: Of the run.
        picture: Of the run.
        tile: Which one.
        folder: A work folder for it.
        device: Where the field is trained.
        signals: What may interrupt it; then it is saved.

    Raises:
        InputError: The picture is not the one that the run began with.
        RunFailed: Training diverged, or a file cannot be written.
        Interrupted: A signal came.
    """
    plan = split.plan
    window = picture.window(*plan.window(tile))
    _check_same(split, tile, window, folder)
    held_out = None
    if settings.held_out is not None:
        held_out = held_out_window(plan, settings.held_out, settings.seed, *plan.window(tile)).ravel()
    if window is None or _sees_nothing(window, held_out):
        write_json(folder.metrics, {"psnr": None, "squared_error": 0.0, "values": 0, "parameters": 0})
        return
    settings = tile_settings(settings, plan, tile)
    field = make_field(settings, window.channels).to(device)
    target = Target(window, next(field.parameters()), held_out)
    trainer = Trainer(field, target, settings, folder, fingerprint=fingerprint(window))
    if _is_easy(window, held_out, settings.target_psnr):
        trainer.evaluate_every = LOG_EVERY  # so that it ends as soon as it is there
    if folder.last.exists():
        trainer.restore()
    trainer.train(signals)
    trainer.use_best_weights()
    result = evaluate(field, target)
    seen = target.seen()
    progress = trainer.progress
    values = (seen if isinstance(seen, int) else len(seen)) * window.channels
    content: dict[str, Any] = {
        "psnr": result.psnr,
        "held_out_psnr": result.held_out_psnr,
        "wrong_pixels": None if result.wrong is None else int(result.wrong.sum()),
        "squared_error": 10 ** (-result.psnr / 10) * values,
        "values": values,
        "steps": progress.step,
        "best_step": progress.best_step,
        "seconds": round(progress.seconds, 3),
        "parameters": count_parameters(field),
        "peak_memory_bytes": peak_memory_bytes(device),
        **environment(field),
        "seed": settings.seed,
    }
    folder.last.unlink(missing_ok=True)  # the state of the optimiser, three times the weights
    write_json(folder.metrics, content)


def _check_same(split: Split, tile: Tile, window: Image | None, folder: RunFolder) -> None:
    """Refuse pixels that are not those which the run began with."""
    if window is None:
        return
    (rows, columns), (top, left) = split.plan.core(tile), (s.start for s in split.plan.window(tile))
    core = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    pixels = window.pixels[core]
    seen = np.ones(pixels.shape[:2], bool) if window.missing is None else ~window.missing[core]
    if seen.any() and checksum(pixels, seen) != split.checks[tile.name]:
        config = folder.path.parent.parent / "config.yaml"
        raise InputError(f"{config} names an image that is not the one of this run: put that one back")


def _hidden(window: Image, held_out: np.ndarray[Any, Any] | None) -> np.ndarray[Any, Any]:
    hidden = np.zeros(window.height * window.width, dtype=bool)
    for mask in (held_out, None if window.missing is None else window.missing.ravel()):
        if mask is not None:
            hidden |= mask
    return hidden


def _sees_nothing(window: Image, held_out: np.ndarray[Any, Any] | None) -> bool:
    return bool(_hidden(window, held_out).all())


def _is_easy(window: Image, held_out: np.ndarray[Any, Any] | None, psnr: float | None) -> bool:
    """Whether one colour everywhere would reach a PSNR in dB."""
    if psnr is None:
        return False
    values = window.values()[~_hidden(window, held_out)]
    return float(values.var(axis=0, dtype=np.float64).mean()) <= 10 ** (-psnr / 10)
