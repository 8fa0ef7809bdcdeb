"""How far a tiled run is: one line, ``tiles.csv``, and TensorBoard's mosaic."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.live import Live
from rich.text import Text

from kanfield import metrics
from kanfield.config.parse import to_plain
from kanfield.files import replacing
from kanfield.images import Image
from kanfield.monitors.event_file import EventFile
from kanfield.monitors.tolerant import Tolerant
from kanfield.tiles.plan import Tile
from kanfield.tiles.run import TiledRun

_PLAIN_SECONDS = 5.0  # between lines off a terminal
_MOSAIC = 1024  # pixels of the longer side
COLUMNS = (
    *("tile", "row", "column", "x0", "y0", "x1", "y1", "psnr", "held_out_psnr", "wrong_pixels"),
    *("steps", "best_step", "seconds", "parameters"),
)


class Progress:
    """What is known of the tiles that are done, added up as they come.

    Args:
        run: What is on.
        done: Names of the tiles that were done before.
        console: Where the line is printed, or None.
    """

    def __init__(self, run: TiledRun, done: set[str], console: Console | None) -> None:
        self._run, self._console, self._before = run, console, len(done)
        self._squared, self._values, self._pixels, self._done = 0.0, 0, 0, 0
        self._started = time.monotonic()
        self._printed = self._started - _PLAIN_SECONDS
        self._line = ""
        self._state = self._shown = (-1, 0, 0)  # tiles done, running and failed: now, and as printed last
        self._live: Live | None = None
        if console is not None and console.is_terminal:
            self._live = Live(console=console, refresh_per_second=4, transient=False)
            self._live.start()
        with replacing(run.folder.table) as temporary:
            temporary.write_text(",".join(COLUMNS) + "\r\n", encoding="utf-8")
        self._table = open(run.folder.table, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._rows = csv.DictWriter(self._table, COLUMNS, extrasaction="ignore")
        self._board: Any = Tolerant(lambda: _Board(run, bool(done)), "TensorBoard's file", console)
        for name in sorted(done):
            self.add(name, run.folder.tile_metrics(name))

    def add(self, name: str, content: Mapping[str, Any]) -> None:
        """Note a tile that is done."""
        plan = self._run.split.plan
        tile = Tile.named(name)
        (rows, columns) = plan.core(tile)
        self._rows.writerow(_row(self._run, name, content))
        self._done += 1
        if self._done > self._before:
            self._pixels += (rows.stop - rows.start) * (columns.stop - columns.start)
        self._squared += content["squared_error"]
        self._values += content["values"]
        if self._done > self._before:
            self._board.add(tile, self._done, self.psnr)
        else:
            self._board.draw(tile)

    @property
    def psnr(self) -> float | None:
        """In dB of all tiles that are done, over the pixels that they were trained on."""
        return metrics.psnr(self._squared / self._values) if self._values else None

    def show(self, running: int, failed: int) -> None:
        """Show the line; off a terminal only every few seconds."""
        self._line, self._state = self._text(running, failed), (self._done, running, failed)
        if self._live is not None:
            self._live.update(Text(self._line, overflow="ellipsis", no_wrap=True))
        elif self._state != self._shown and time.monotonic() - self._printed >= _PLAIN_SECONDS:
            self._print()

    def close(self) -> None:
        """Print the last line for good."""
        if self._live is not None:
            self._live.stop()
        elif self._state != self._shown:
            self._print()
        self._table.close()
        self._board.close()

    def _print(self) -> None:
        if self._console is not None:
            self._console.print(self._line, markup=False, highlight=False, soft_wrap=True)
        self._printed, self._shown = time.monotonic(), self._state

    def _text(self, running: int, failed: int) -> str:
        plan = self._run.split.plan
        total, seconds = len(plan.tiles), time.monotonic() - self._started
        rate = self._pixels / max(seconds, 1e-9)
        psnr = "--" if self.psnr is None else f"{self.psnr:.2f}"
        new = self._done - self._before
        left = seconds / new * (total - self._done - failed) if new else None
        return (
            f"tiles {self._done}/{total} done, {running} running, {failed} failed  {psnr} dB so far  "
            f"{rate / 1000:.1f}k px/s" + ("" if left is None else f"  {_duration(left)} left")
        )


class _Board:
    """TensorBoard's file: tiles done, PSNR so far, and the picture as it grows."""

    def __init__(self, run: TiledRun, resumed: bool) -> None:
        self._run, self._events = run, EventFile(run.path)
        if not resumed:
            text = "\n".join(f"{key}: {value}" for key, value in to_plain(run.settings, "").items())
            self._events.text("config", "\n".join(f"    {line}" for line in text.splitlines()))
        like = run.split.like
        self._shrink = min(1.0, _MOSAIC / max(like.height, like.width))
        shape = (max(1, round(like.height * self._shrink)), max(1, round(like.width * self._shrink)))
        self._mosaic: NDArray[Any] = np.zeros((*shape, like.channels), like.pixels.dtype)

    def add(self, tile: Tile, done: int, psnr: float | None) -> None:
        self.draw(tile)
        self._events.scalar("tiles/done", done, done)
        if psnr is not None:
            self._events.scalar("psnr", psnr, done)
        if done & (done - 1) == 0 or done == len(self._run.split.plan.tiles):  # powers of two, and the last
            picture = self._run.split.like.with_pixels(self._mosaic.copy()).to_8bit()
            self._events.image("mosaic", picture.pixels, done)
        self._events.flush()

    def draw(self, tile: Tile) -> None:
        """Draw a tile's core into the mosaic, at the positions of the mosaic's own pixels."""
        run, plan = self._run, self._run.split.plan
        height, width = self._mosaic.shape[:2]
        ys, xs = (np.arange(n) + 0.5 for n in (height, width))
        ys, xs = ys * plan.height / height, xs * plan.width / width
        rows, columns = plan.core(tile)
        there = np.flatnonzero((ys >= rows.start) & (ys < rows.stop))
        here = np.flatnonzero((xs >= columns.start) & (xs < columns.stop))
        if len(there) and len(here):
            values = run.field.alone(tile, torch.from_numpy(ys[there]), torch.from_numpy(xs[here]))
            pixels = Image.from_values(((values + 1) / 2).clamp(0, 1).numpy(), run.split.like).pixels
            self._mosaic[there[0] : there[-1] + 1, here[0] : here[-1] + 1] = pixels

    def close(self) -> None:
        self._events.close()


def write_table(run: TiledRun) -> None:
    """Write ``tiles.csv`` with a row for every tile that is done, in the tiles' order."""
    with replacing(run.folder.table) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        rows.writeheader()
        for name in sorted(run.folder.done()):
            rows.writerow(_row(run, name, run.folder.tile_metrics(name)))


def _row(run: TiledRun, name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    tile = Tile.named(name)
    rows, columns = run.split.plan.core(tile)
    place = {"x0": columns.start, "y0": rows.start, "x1": columns.stop, "y1": rows.stop}
    return {**content, "tile": name, "row": tile.row, "column": tile.column, **place}


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> _duration(3725)
    '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
