"""``--spectrum``: the error in every band of frequencies while a fit goes on."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kanfield.errors import InputError
from kanfield.images import Image
from kanfield.metrics.spectra import Bands, bias, learned_at
from kanfield.monitors.csv_log import CsvAppender
from kanfield.monitors.tensorboard import TensorBoardLog

PIXELS = 1 << 16  # of a larger image the central window of about as many is looked at
_SHARE = 0.04  # of the steps' time, at most about this much goes into looks of its own
_FEWEST, _MOST = 4, 24  # looks
_UNKNOWN_STEPS = 2000  # what a budget in seconds is taken for


class SpectrumLog:
    """Error energy by frequency band, as a share of the image's own energy there.

    The error is that of the float output on all pixels of the window, unseen ones too.

    Attributes:
        pixels: numbers of those pixels. shared: whether looks that the fit takes at all pixels serve too.

    Args:
        image: what is fitted. path: of ``spectrum.csv``. board: where scalars go.
        resumed_at: step of the checkpoint that the run goes on from, or None.
        steps: budget, None of seconds. batch_size: pixels a step.
        shared_every: steps between looks at all pixels that the fit takes anyway; None where it takes none.

    Raises:
        InputError: the image is too small to have a spectrum.
    """

    def __init__(
        self,
        image: Image,
        path: Path,
        board: TensorBoardLog,
        resumed_at: int | None,
        steps: int | None,
        batch_size: int,
        shared_every: int | None,
    ) -> None:
        rows, columns = window(image.height, image.width)
        self.pixels = pixels_of(image.width, rows, columns)
        low, high = image.value_range
        self._values = (image.pixels[rows, columns].astype(np.float64) - low) / (high - low)
        self._bands = bands_of(image)
        self._energies = self._bands.energies(self._values)
        self._board = board
        self._table = CsvAppender(path, ["step", "seconds", *self._bands.names()], resumed_at)
        self.shared = shared_every is not None
        last = min(shared_every or steps or _UNKNOWN_STEPS, steps or _UNKNOWN_STEPS)
        looks = logged_steps(steps or _UNKNOWN_STEPS, len(self.pixels) / (3 * batch_size), last)
        self._due = {step for step in looks if not shared_every or step % shared_every}
        self._looked_at = -1

    def is_due(self, step: int, at_end: bool) -> bool:
        """Whether the window is to be looked at for the spectrum's own sake."""
        return step in self._due or (at_end and not self.shared)

    def look(self, step: int, seconds: float, values: NDArray[np.floating]) -> None:
        """Note the error of a field's values in [0, 1] on the window, any shape of its size."""
        if step == self._looked_at:
            return
        self._looked_at = step
        error = values.reshape(self._values.shape) - self._values
        shares = (self._bands.energies(error) / np.maximum(self._energies, 1e-20)).tolist()
        row = dict(zip(self._bands.names(), shares, strict=True))
        self._table.write({"step": step, "seconds": round(seconds, 4), **row})
        self._board.spectrum(step, dict(zip(self._bands.names(".2g"), shares, strict=True)))

    def close(self) -> None:
        """Close the file."""
        self._table.close()


def window(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the central window of an image that is looked at.

    >>> window(100, 300)
    (slice(0, 100, None), slice(0, 300, None))
    >>> window(1024, 1024)
    (slice(384, 640, None), slice(384, 640, None))
    """
    if height * width <= PIXELS:
        return slice(0, height), slice(0, width)
    shrink = (PIXELS / (height * width)) ** 0.5
    h, w = max(1, int(height * shrink)), max(1, int(width * shrink))
    top, left = (height - h) // 2, (width - w) // 2
    return slice(top, top + h), slice(left, left + w)


def pixels_of(width: int, rows: slice, columns: slice) -> Tensor:
    """Numbers of the pixels of a window, row by row, in an image of a width.

    >>> pixels_of(10, slice(1, 3), slice(4, 6)).tolist()
    [14, 15, 24, 25]
    """
    first = torch.arange(rows.start, rows.stop)[:, None] * width
    return (first + torch.arange(columns.start, columns.stop)).reshape(-1)


def bands_of(image: Image) -> Bands:
    """The bands of what is looked at of an image.

    Raises:
        InputError: it is too small to have any.
    """
    rows, columns = window(image.height, image.width)
    bands = Bands(rows.stop - rows.start, columns.stop - columns.start)
    try:
        _ = bands.edges
    except ValueError as error:
        raise InputError(f"--spectrum: {error}; leave it out, or give a larger image") from None
    return bands


def logged_steps(steps: int, cost: float, last: int) -> frozenset[int]:
    """Steps, log-spaced from 1 to ``last``, at which the spectrum is looked at for its own sake.

    Args:
        steps: of the run. cost: of a look, in steps.

    >>> sorted(logged_steps(2400, 10.7, 210))
    [1, 2, 5, 10, 21, 46, 98, 210]
    """
    count = min(max(int(_SHARE * steps / max(cost, 1e-9)), _FEWEST), _MOST)
    return frozenset(np.unique(np.rint(np.geomspace(1, max(last, 1), count)).astype(int)).tolist())


@dataclass(frozen=True)
class SpectrumCurve:
    """What ``spectrum.csv`` holds: the error in bands (B + 1 edges) at looks (L)."""

    edges: tuple[float, ...]
    steps: list[int]
    seconds: list[float]
    errors: NDArray[np.float64]  # (L, B)

    @property
    def centres(self) -> list[float]:
        """Geometric means of the bands' borders, in cycles a pixel."""
        return [(a * b) ** 0.5 for a, b in zip(self.edges[:-1], self.edges[1:], strict=True)]

    def learned(self) -> list[float | None]:
        """The step at which each band was 90 % learned."""
        return [learned_at(self.steps, column.tolist()) for column in self.errors.T]

    def summary(self) -> dict[str, Any]:
        """The key ``spectrum`` of ``metrics.json``."""
        steps = self.learned()
        found = bias(self.centres, steps)
        return {
            "bands": [list(pair) for pair in zip(self.edges[:-1], self.edges[1:], strict=True)],
            "error": self.errors[-1].tolist(),
            "learned_at": [None if step is None else round(step, 2) for step in steps],
            "bias": found.slope,
            "bias_error": found.error,
            "bands_learned": found.learned,
        }


def read_spectrum(path: Path) -> SpectrumCurve | None:
    """What a run's ``spectrum.csv`` holds; None where there is no such file or no look in it.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return _curve(rows) if rows else None
    except (ValueError, TypeError, LookupError, csv.Error):
        raise InputError(f"{path} is damaged: remove it, and the run is drawn without it") from None


def _curve(rows: list[dict[str, str]]) -> SpectrumCurve:
    names = [name for name in rows[0] if name not in ("step", "seconds")]
    edges = [name.split("-") for name in names]
    borders = (*(float(low) for low, _ in edges), float(edges[-1][1]))
    errors = np.array([[float(row[name]) for name in names] for row in rows])
    return SpectrumCurve(
        borders, [int(row["step"]) for row in rows], [float(row["seconds"]) for row in rows], errors
    )
