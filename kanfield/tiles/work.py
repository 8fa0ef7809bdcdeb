"""One worker: takes tiles of a run until all are settled. What ``kanfield work`` does."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from safetensors import SafetensorError

from kanfield.config.checks import check
from kanfield.errors import InputError, Interrupted, RunFailed
from kanfield.machine import pick_device
from kanfield.monitors.tolerant import say
from kanfield.names import command_line
from kanfield.process import default_settings, limit_threads
from kanfield.runs.checkpoint import is_whole
from kanfield.runs.folder import RunFolder
from kanfield.tiles.fit_tile import fit_tile
from kanfield.tiles.folder import TiledFolder
from kanfield.tiles.ledger import Claim, Ledger
from kanfield.tiles.plan import Tile
from kanfield.tiles.run import TiledRun
from kanfield.training.memory import is_out_of_memory
from kanfield.training.signals import Signals

_POLL = 0.5  # seconds between looks for a tile, where all are taken
_SHOWN = 3  # failed tiles that are named
_LOST = -1  # stands for a signal: the tile is another worker's now


class _Watch(Signals):
    """Signals as a tile's training asks for them, and whether the tile is still this worker's."""

    def __init__(self, signals: Signals, claim: Claim, run: Path) -> None:
        self._signals, self._claim, self._run = signals, claim, run
        self._looked = time.monotonic()
        self._lost = False

    @property
    def received(self) -> int | None:  # type: ignore[override]
        if time.monotonic() - self._looked > _POLL:
            self._looked, self._lost = time.monotonic(), self._claim.lost
        return self._signals.received or (_LOST if self._lost else None)

    def interrupted(self, step: int, run: Path) -> Interrupted:
        return interrupted(self._signals, self._run)


def interrupted(signals: Signals, run: Path) -> Interrupted:
    """The exception that ends a worker after a signal; its message names the command that goes on."""
    again = command_line("kanfield", "fit", "--resume", run)
    return Interrupted(f"Interrupted and saved. Go on with: {again}", 128 + (signals.received or 0))


def tiles_failed(run: TiledRun, failed: Mapping[str, str]) -> RunFailed:
    """The exception of a run of which tiles were given up.

    Args:
        run: Which one.
        failed: Why, by their names.
    """
    names = ", ".join(f"{name} ({reason})" for name, reason in list(failed.items())[:_SHOWN])
    more = "" if len(failed) <= _SHOWN else f" and {len(failed) - _SHOWN} more"
    again = command_line("kanfield", "fit", "--resume", run.path)
    return RunFailed(
        f"{len(failed)} of {len(run.split.order):,} tiles failed: {names}{more}; the others are kept; "
        f"{again} tries them again"
    )


@default_settings()
def work(
    path: str | os.PathLike[str],
    *,
    console: Console | None = None,
    device: str | None = None,
    threads: int | None = None,
    most: int | None = None,
) -> int:
    """Fit tiles of a run until every one is done or given up; any number of processes may do so at once.

    Args:
        path: Of the run folder.
        console: Where a line for each tile goes; None for silence.
        device: Where tiles are fitted; None for the run's own.
        threads: CPU threads; None for as many as the run's settings say.
        most: Tiles after which this worker ends; None for no such number.

    Returns:
        How many tiles this worker has fitted.

    Raises:
        InputError: The folder is not a tiled run, or its picture is gone or another.
        RunFailed: The disk is full, so that no worker can go on; or tiles were given up, the others done.
        Interrupted: A signal came; the tile that was on is saved and given back.
    """
    folder = TiledFolder(RunFolder.open(Path(path)).path)
    if not folder.split.is_file():
        raise InputError(f"{path} is a run of one field, which one process fits: kanfield fit --resume")
    run, count = TiledRun(folder), 0
    settings = run.settings if threads is None else replace(run.settings, threads=threads)
    check(settings)
    there = pick_device(device or settings.device)
    ledger = Ledger(folder, run.split.order, run.split.lease)
    with folder.at_work(), limit_threads(settings.threads), Signals() as signals:
        while not ledger.settled() and (most is None or count < most):
            if signals.received is not None:
                raise interrupted(signals, folder.path)
            claim = ledger.take()
            if claim is None:
                time.sleep(_POLL)
                continue
            watch = _Watch(signals, claim, folder.path)
            with claim, ledger.alive(claim):
                try:
                    work_folder = folder.work_folder(claim.name, ledger.worker)
                    if work_folder.last.exists() and not _can_go_on(work_folder):
                        say(console, f"tile {claim.name} is begun anew: its checkpoint is damaged", "yellow")
                        shutil.rmtree(work_folder.last.parent)
                        work_folder.last.parent.mkdir()
                    tile = Tile.named(claim.name)
                    fit_tile(settings, run.split, run.picture, tile, work_folder, there, watch)
                    folder.publish(work_folder, claim.name)
                except Interrupted:
                    if signals.received is not None:
                        raise
                except Exception as error:  # whatever it is, the other tiles go on
                    if claim.lost:
                        continue  # its new owner has moved the folder away
                    _judge(error, folder)
                    reason = " ".join(str(error).split()) or type(error).__name__
                    ledger.note_death(claim.name, reason)
                    say(console, f"tile {claim.name} failed: {reason}", "yellow")
                else:
                    count += 1
                    say(console, f"tile {claim.name} is done")
    if failed := ledger.given_up() if ledger.settled() else {}:
        raise tiles_failed(run, failed)
    return count


def _can_go_on(folder: RunFolder) -> bool:
    """Whether the files of a tile that was begun are as they were written."""
    return is_whole(folder.last) and (not folder.best.exists() or is_whole(folder.best))


def _judge(error: Exception, folder: TiledFolder) -> None:
    """Raise what no worker could do better about: a full disk, a folder or a picture that is gone."""
    if not folder.path.is_dir():
        raise RunFailed(f"{folder.path} is gone: it was removed while the run was on") from None
    if isinstance(error, InputError):
        raise error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, (OSError, SafetensorError)) and not is_out_of_memory(error):
            again = command_line("kanfield", "fit", "--resume", folder.path)
            reason = getattr(cause, "strerror", None) or " ".join(str(cause).split())
            raise RunFailed(
                f"{folder.path} cannot be written ({reason}); what is done is kept: make room, then {again}"
            ) from None
        cause = cause.__context__
