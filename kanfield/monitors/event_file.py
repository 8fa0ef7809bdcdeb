"""TensorBoard event files, written in the thread that calls.

torch's ``SummaryWriter`` writes in a thread of its own, which prints a traceback when the disk is full and
can be kept quiet only by replacing ``threading.excepthook`` for everybody. Here the caller gets the error.
"""

from __future__ import annotations

import itertools
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kanfield.monitors.tolerant import closed_on_failure
from kanfield.process import quiet_warnings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_numbers = itertools.count()  # two files of one process and second are still different ones


class EventFile:
    """A new event file in a folder. Every method that writes raises OSError where the disk is full.

    Args:
        folder: Where the file is made.
        purge_step: TensorBoard hides what earlier files hold from this step on; None hides nothing.
    """

    def __init__(self, folder: Path, purge_step: int | None = None) -> None:
        with quiet_warnings():
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
            from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]
            from torch.utils.tensorboard import summary
        self._event: Any = Event
        self._summary: Any = summary
        name = f"{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{next(_numbers)}"
        self._records = RecordWriter(open(folder / f"events.out.tfevents.{name}", "xb"))  # noqa: SIM115
        with closed_on_failure(self):
            self._write(file_version="brain.Event:2")
            if purge_step is not None:
                self._write(purge_step, session_log=SessionLog(status=SessionLog.START))
            self.flush()

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write a number."""
        self._write(step, summary=self._summary.scalar(tag, value))

    def image(self, tag: str, pixels: NDArray[np.uint8], step: int) -> None:
        """Write a picture, shape ``(H, W, c)``."""
        self._write(step, summary=self._summary.image(tag, pixels, dataformats="HWC"))

    def figure(self, tag: str, figure: Figure, step: int) -> None:
        """Write a figure of matplotlib as a picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas: Any = FigureCanvasAgg(figure)  # type: ignore[no-untyped-call]
        canvas.draw()
        self.image(tag, np.asarray(canvas.buffer_rgba())[..., :3], step)

    def text(self, tag: str, text: str) -> None:
        """Write text in Markdown."""
        self._write(summary=self._summary.text(tag, text))

    def flush(self) -> None:
        """Hand everything to the system, for TensorBoard to see."""
        self._records.flush()

    def close(self) -> None:
        """Flush and close the file."""
        self._records.close()

    def _write(self, step: int = 0, **content: Any) -> None:
        event = self._event(wall_time=time.time(), step=step, **content)
        self._records.write(event.SerializeToString())
