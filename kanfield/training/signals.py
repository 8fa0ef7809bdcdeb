"""Ctrl-C and SIGTERM: remembered while a step runs, acted on after it."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from kanfield.errors import Interrupted


class Signals:
    """Catches SIGINT and SIGTERM inside a ``with`` block; a second one acts as it would without the block.

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
        message = f"Interrupted at step {step} and saved. Go on with: kanfield fit --resume {run}"
        return Interrupted(message, 128 + self.received)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
