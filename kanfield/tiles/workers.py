"""The processes of this machine that work on a run: started, and started again when they die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from kanfield.child import child
from kanfield.container import cpu_count
from kanfield.errors import InputError, RunFailed
from kanfield.machine import pick_device
from kanfield.tiles.ledger import TRIES, Ledger
from kanfield.tiles.run import TiledRun

CORES = 2  # of a worker without a GPU; more would change the last bits, so that all workers have as many
_PATIENCE = 60.0  # seconds that workers have to save and end
_STOPPED = {0, 129, 130, 143}  # exit codes of a worker that found nothing left, or was told to end
_TAIL = 1 << 16  # bytes of what a worker has said, in which its last line is


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


class Workers:
    """Processes of ``kanfield work``, one for each device; see :class:`kanfield.tiles.supervise.Engine`.

    Args:
        run: What is fitted.
        ledger: Its tiles.
        devices: Of each worker.
    """

    def __init__(self, run: TiledRun, ledger: Ledger, devices: Sequence[str]) -> None:
        self._run, self._ledger, self._devices = run, ledger, devices
        self._workers: list[_Worker] = []
        self._barren = 0  # deaths of workers that held no tile, since a tile was done
        self._done = 0

    def tend(self, done: int, left: int) -> None:
        """Start workers that are missing, and judge how others ended.

        Raises:
            RunFailed: Workers cannot go on.
            InputError: The picture is gone or another.
        """
        if done > self._done:
            self._done, self._barren = done, 0
        missing = list(self._devices)
        for worker in self._workers:
            missing.remove(worker.device)
        for device in missing[: max(0, left - len(self._workers))]:
            self._workers.append(_Worker(self._run, device))
        for worker in [each for each in self._workers if each.process.poll() is not None]:
            self._workers.remove(worker)
            self._bury(worker)

    def stop(self) -> None:
        """Tell workers to save and end, and wait for them; whoever does not end is killed."""
        for worker in self._workers:
            worker.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + _PATIENCE
        for worker in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, until - time.monotonic()))
            worker.end()

    def _bury(self, worker: _Worker) -> None:
        code, pid = worker.process.returncode, worker.process.pid
        line = worker.end()
        if code in _STOPPED or self._ledger.settled():
            return
        said = line.removeprefix("kanfield: ")
        if said != line and code in (1, 2):  # in words, for a person; a crash ends otherwise
            raise (InputError if code == 2 else RunFailed)(said)
        reason = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}: {said}"
        if self._ledger.bury(pid, f"its worker was {reason}" if code < 0 else f"its worker {reason}"):
            self._barren = 0
            return
        self._barren += 1
        if self._barren >= TRIES:
            raise RunFailed(f"workers end before they take a tile ({reason}): kanfield work RUN says more")


class _Worker:
    """A process that works on the run."""

    def __init__(self, run: TiledRun, device: str) -> None:
        self.device = device
        self._stack = contextlib.ExitStack()
        words: list[str | Path] = ["work", run.path, "--quiet", "--device", device]
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
