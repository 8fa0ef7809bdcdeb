"""Ctrl-C, SIGTERM and SIGHUP: remembered while a step runs, acted on after it."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from kanfield.errors import Interrupted
from kanfield.names import command_line

_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


class Signals:
    """Catches SIGINT, SIGTERM and SIGHUP inside a ``with`` block; a second one acts as it would without.

    A terminal that goes away may send SIGHUP twice, by itself and through the shell: only the first counts.
    Where it is ignored, as nohup has it, it stays so.

    Outside the main thread, where Python cannot catch signals, it does nothing.

    Attributes:
        received: Number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not None:  # one that C installed could not be put back
                    self._before[number] = signal.signal(number, self._note)
            if _HANGUP is not None and signal.getsignal(_HANGUP) not in (None, signal.SIG_IGN):
                self._before[_HANGUP] = signal.signal(_HANGUP, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def interrupted(self, step: int, run: Path) -> Interrupted:
        """The exception that ends the run.

        Args:
            step: At which the run was saved.
            run: Its folder.

        Returns:
            An exception whose message names the command that resumes the run.
        """
        assert self.received is not None
        again = command_line("kanfield", "fit", "--resume", run)
        message = f"Interrupted at step {step} and saved. Go on with: {again}"
        return Interrupted(message, 128 + self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or number
        self._restore(keep=_HANGUP)

    def _restore(self, keep: int | None = None) -> None:
        for number in [number for number in self._before if number != keep]:
            signal.signal(number, self._before.pop(number))
