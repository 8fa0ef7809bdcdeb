"""Progress on the terminal: one live line, or plain lines where there is no terminal."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

from kanfield.images import Image
from kanfield.monitors.base import Row

_PLAIN_SECONDS = 5.0  # between lines off a terminal


class TerminalLog:
    """Step, loss, PSNR now and best, pixels per second, out-of-range fraction, time left.

    Args:
        console: Where to print; colours follow its terminal and NO_COLOR.
        steps: Budget in steps, or None.
        seconds: Budget in training seconds, or None.
        best: PSNR in dB that a resumed run has reached before.
    """

    def __init__(
        self, console: Console, steps: int | None, seconds: float | None, best: float | None = None
    ) -> None:
        self._console, self._steps, self._seconds = console, steps, seconds
        self._best = best
        self._psnr: float | None = None
        self._printed = time.monotonic() - _PLAIN_SECONDS
        self._live: Live | None = None
        self._pending: str | None = None
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=8, transient=False)
            self._live.start()

    def log(self, row: Row) -> None:
        """Show the row."""
        if row.psnr is not None:
            self._psnr = row.psnr
            self._best = max(row.psnr, self._best or row.psnr)
        if self._live is not None:
            self._live.update(Text(self._line(row), overflow="ellipsis", no_wrap=True))
            return
        self._pending = self._line(row)
        if row.psnr is not None and time.monotonic() - self._printed >= _PLAIN_SECONDS:
            self._print_pending()

    def picture(self, step: int, image: Image) -> None:
        """Do nothing: a terminal shows no pictures."""

    def close(self) -> None:
        """Print the last line for good."""
        if self._live is not None:
            self._live.stop()
        self._print_pending()

    def _print_pending(self) -> None:
        if self._pending is not None:
            self._console.print(self._pending, markup=False, highlight=False, soft_wrap=True)
            self._printed, self._pending = time.monotonic(), None

    def _line(self, row: Row) -> str:
        total = f"/{self._steps}" if self._steps else ""
        now = "--" if self._psnr is None else f"{self._psnr:.2f}"
        best = "--" if self._best is None else f"{self._best:.2f}"
        left = self._left(row)
        return (
            f"step {row.step}{total}  loss {row.loss:.2e}  PSNR {now} dB (best {best})  "
            f"{row.pixels_per_second / 1000:.0f}k px/s  out of range {100 * row.out_of_range:.1f}%  "
            f"{row.seconds:.0f} s" + (f", {left:.0f} s left" if left is not None else "")
        )

    def _left(self, row: Row) -> float | None:
        if self._seconds is not None:
            return max(0.0, self._seconds - row.seconds)
        if self._steps is not None and row.step:
            return row.seconds / row.step * (self._steps - row.step)
        return None
