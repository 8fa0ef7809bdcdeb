"""The processes of this machine that work on a run: started, counted, and started again when they die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence

import torch
from rich.console import Console

from kanfield.child import child
from kanfield.container import cpu_count
from kanfield.errors import InputError, RunFailed
from kanfield.machine import pick_device
from kanfield.tiles.ledger import TRIES, Ledger
from kanfield.tiles.progress import Progress
from kanfield.tiles.run import TiledRun
from kanfield.tiles.work import interrupted, tiles_failed
from kanfield.training.signals import Signals

CORES = 2  # of a worker without a GPU; more would change the last bits, so that all workers have as many
_POLL = 0.2  # seconds
_PATIENCE = 60.0  # seconds that workers have to save and end
_STOPPED = {0, 129, 130, 143}  # exit codes of a worker that found nothing left, or was told to end
_TAIL = 1 << 16  # bytes of what a worker has said, in which its last line is


class _Worker:
    """A process that works on the run."""

    def __init__(self, run: TiledRun, device: str) -> None:
        self.device = device
        self._stack = contextlib.ExitStack()
        words = ["work", str(run.path), "--quiet", "--device", device]
        # A file, not a pipe: nobody reads it before the end, and libraries may warn without end.
        said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  on the stack
        self._said = self._stack.enter_context(said)
        self.process: subprocess.Popen[str] = self._stack.enter_context(child(words, self._said))

    def end(self) -> str:
        """Close what is open of it, and return the last line that it has said."""
        self._said.seek(max(0, os.fstat(self._said.fileno()).st_size - _TAIL))
        said = self._said.read()
        self._stack.close()
        return ["", *said.strip().splitlines()][-1]


def devices_of(device: str, workers: int | None) -> list[str]:
    """The device of every worker: one for each GPU, or one for every two cores.

    Args:
        device: As ``--device`` names it.
        workers: How many; None for the rule.

    Raises:
        InputError: There is no such device here.

    >>> devices_of("cpu", 3)
    ['cpu', 'cpu', 'cpu']
    """
    kind, gpus = pick_device(device).type, torch.cuda.device_count()
    if kind == "cuda" and ":" not in device:
        return [f"cuda:{number % gpus}" for number in range(workers or gpus)]
    usual = max(1, cpu_count() // CORES) if kind == "cpu" else 1
    return [device] * (workers or usual)


def supervise(run: TiledRun, devices: Sequence[str], console: Console | None) -> None:
    """Have every tile fitted, by this machine's workers and whoever else joins.

    Args:
        run: What is fitted; locked by the caller.
        devices: Of each worker.
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
        workers: list[_Worker] = []
        closing.callback(lambda: _stop(workers, signal.SIGTERM))
        barren = 0  # deaths in a row of workers that held no tile
        while not ledger.settled():
            if signals.received is not None:
                raise interrupted(signals, run.path)
            missing = list(devices)
            for worker in workers:
                missing.remove(worker.device)
            open_tiles = len(run.split.order) - len(run.folder.done()) - len(ledger.given_up())
            for device in missing[: max(0, open_tiles - len(workers))]:
                workers.append(_Worker(run, device))
            for worker in [each for each in workers if each.process.poll() is not None]:
                workers.remove(worker)
                barren = _bury(worker, ledger, barren, signals)
            for name in sorted(run.folder.done() - known):
                known.add(name)
                barren = 0
                progress.add(name, run.folder.tile_metrics(name))
            progress.show(ledger.running(), len(ledger.given_up()))
            time.sleep(_POLL)
        for name in sorted(run.folder.done() - known):
            progress.add(name, run.folder.tile_metrics(name))
        failed = ledger.given_up()
        progress.show(0, len(failed))
    if failed:
        raise tiles_failed(run, failed)


def _bury(worker: _Worker, ledger: Ledger, barren: int, signals: Signals) -> int:
    """Note how a worker ended; returns how many in a row have died without a tile."""
    code, pid = worker.process.returncode, worker.process.pid
    line = worker.end()
    if code in _STOPPED or signals.received is not None or ledger.settled():
        return barren
    said = line.removeprefix("kanfield: ")
    if said != line and code in (1, 2):  # in words, for a person; a crash ends otherwise
        raise (InputError if code == 2 else RunFailed)(said)
    reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}: {said}"
    if ledger.bury(pid, f"its worker was {reason}" if code < 0 else f"its worker {reason}"):
        return 0
    if barren + 1 >= TRIES:
        raise RunFailed(f"workers end before they take a tile ({reason}): kanfield work RUN says more")
    return barren + 1


def _stop(workers: Sequence[_Worker], number: int) -> None:
    """Tell workers to save and end, and wait for them; whoever does not end is killed."""
    for worker in workers:
        worker.process.send_signal(number)
    until = time.monotonic() + _PATIENCE
    for worker in workers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(max(0.0, until - time.monotonic()))
        worker.end()
