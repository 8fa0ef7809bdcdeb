"""A run of tiles from its first to its last: an engine has them fitted, this watches the folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from rich.console import Console

from kanfield.tiles.ledger import Ledger
from kanfield.tiles.progress import Progress
from kanfield.tiles.run import TiledRun
from kanfield.tiles.work import interrupted, tiles_failed
from kanfield.training.signals import Signals

_POLL = 0.2  # seconds


class Engine(Protocol):
    """What has workers; all that they know of each other is in the run folder."""

    def tend(self, done: int, left: int) -> None:
        """Start what is missing, and look after what has ended; called several times a second.

        Args:
            done: Tiles that are done.
            left: Tiles that are neither done nor given up.
        """

    def stop(self) -> None:
        """Have all workers save and end."""


def supervise(run: TiledRun, start: Callable[[TiledRun, Ledger], Engine], console: Console | None) -> None:
    """Have every tile fitted, by an engine's workers and whoever else joins.

    Args:
        run: What is fitted; locked by the caller.
        start: Makes the engine.
        console: Where the line of progress goes, or None.

    Raises:
        RunFailed: Tiles were given up, or workers cannot go on.
        InputError: The picture is gone or another.
        Interrupted: A signal came; the workers have saved and ended.
    """
    ledger = Ledger(run.folder, run.split.order, run.split.lease)
    ledger.forgive()
    ledger.clear_dead()
    known = run.folder.done()
    with contextlib.ExitStack() as closing, Signals() as signals:
        progress = Progress(run, known, console)
        closing.callback(progress.close)
        engine = start(run, ledger)
        closing.callback(engine.stop)
        while not ledger.settled():
            if signals.received is not None:
                raise interrupted(signals, run.path)
            done, failed = run.folder.done(), ledger.given_up()
            engine.tend(len(done), len(run.split.order) - len(done) - len(failed))
            for name in sorted(done - known):
                progress.add(name, run.folder.tile_metrics(name))
            known |= done
            progress.show(ledger.running(), len(failed))
            time.sleep(_POLL)
        for name in sorted(run.folder.done() - known):
            progress.add(name, run.folder.tile_metrics(name))
        failed = ledger.given_up()
        progress.show(0, len(failed))
    if failed:
        raise tiles_failed(run, failed)
