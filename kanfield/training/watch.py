"""What watches a run while it goes on: CSV files, TensorBoard, frames and the terminal."""

from __future__ import annotations

import contextlib
from typing import Any

from rich.console import Console

from kanfield.config.parse import to_plain
from kanfield.monitors.base import Monitor
from kanfield.monitors.csv_log import CsvLog
from kanfield.monitors.frames import FrameLog
from kanfield.monitors.spectrum_log import PIXELS, SpectrumLog
from kanfield.monitors.tensorboard import TensorBoardLog
from kanfield.monitors.terminal import TerminalLog
from kanfield.monitors.tolerant import Tolerant
from kanfield.training.trainer import Trainer


def watch(
    trainer: Trainer, console: Console | None, position: int | None, closing: contextlib.ExitStack
) -> Any:
    """Give a trainer its monitors, and the log of its spectrum where the settings ask for one.

    Args:
        trainer: Of a run; its rows go on in the folder's files.
        console: Where progress goes, or None.
        position: Step of the checkpoint that the run goes on from, or None.
        closing: Closes all of them.

    Returns:
        TensorBoard's log, for what is drawn at the end.
    """
    settings, folder = trainer.settings, trainer.folder
    plain = to_plain(settings, str(trainer.image.source))
    rows = CsvLog(folder.rows, position)
    closing.callback(rows.close)
    board: Any = Tolerant(lambda: TensorBoardLog(folder.path, plain, position), "TensorBoard's file", console)
    monitors: list[Monitor] = [board]
    if settings.timelapse:
        frames: Any = Tolerant(lambda: FrameLog(folder.frames), "the timelapse", console)
        monitors.append(frames)
    if console is not None:
        best = trainer.progress.best_psnr
        terminal: Any = Tolerant(
            lambda: TerminalLog(console, trainer.steps, settings.seconds, best), "progress", None
        )
        monitors.append(terminal)
    for monitor in monitors:
        closing.callback(monitor.close)
    trainer.monitors = [rows, *monitors]
    if settings.spectrum:
        trainer.spectrum = _spectrum_log(trainer, board, position)
        closing.callback(trainer.spectrum.close)
    return board


def _spectrum_log(trainer: Trainer, board: TensorBoardLog, resumed_at: int | None) -> SpectrumLog:
    """Make the spectrum's log; it shares the trainer's evaluations where those are of its very pixels."""
    shares = trainer.eval_pixels is None and trainer.target.count <= PIXELS
    return SpectrumLog(
        trainer.image,
        trainer.folder.spectrum,
        board,
        resumed_at,
        trainer.steps,
        trainer.sampler.batch_size,
        trainer.evaluate_every if shares else None,
    )
