"""``--spectrum``: the error in every band of frequencies while a fit goes on.

Where the fit evaluates all pixels anyway, those evaluations serve; else a central window is evaluated at
log-spaced steps of its own.
"""

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

PIXELS = 1 << 16  # of a larger image only a central window of about this many is evaluated
_COST = 0.04  # of the training time, at most about this much goes into evaluations of its own
_FEWEST, _MOST = 4, 24  # evaluations of its own
_UNKNOWN_STEPS = 2000  # what a budget in seconds is taken for


class SpectrumLog:
    """Error energy by frequency band, as a fraction of the image's own energy there.

    The error is that of the float output on all pixels of the window, held-out ones too.

    Attributes:
        pixels: Row-major indices of those pixels, shape ``(N,)``.
        shared: Whether the fit's evaluations of all pixels serve.

    Args:
        image: What is fitted.
        path: The file ``spectrum.csv``.
        board: Where scalars go.
        resumed_at: Step of the checkpoint that the run goes on from, or None.
        steps: Budget in steps, or None where it is in seconds.
        batch_size: Pixels per step.
        shared_every: Steps between the fit's evaluations of all pixels; None where it makes none.

    Raises:
        InputError: The image is too small to have a spectrum.
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
        self._values = image.to_unit(image.pixels[rows, columns])
        self._bands = bands_of(image)
        self._energies = self._bands.energies(self._values)
        self._board = board
        self._table = CsvAppender(path, ["step", "seconds", *self._bands.names], resumed_at)
        self.shared = shared_every is not None
        last = min(shared_every or steps or _UNKNOWN_STEPS, steps or _UNKNOWN_STEPS)
        due = logged_steps(steps or _UNKNOWN_STEPS, len(self.pixels) / (3 * batch_size), last)
        self._due = {step for step in due if not shared_every or step % shared_every}
        self._logged_at = -1

    def is_due(self, step: int, at_end: bool) -> bool:
        """Whether the window has to be evaluated for the spectrum alone.

        Args:
            step: Number of the step, from 1.
            at_end: Whether it is the last one.
        """
        return step in self._due or (at_end and not self.shared)

    def log(self, step: int, seconds: float, values: NDArray[np.floating]) -> None:
        """Write the error at a step; a second call for the same step does nothing.

        Args:
            step: Number of the step, from 1.
            seconds: Training time so far.
            values: The field's values in [0, 1] on the window, any shape of its size.
        """
        if step == self._logged_at:
            return
        self._logged_at = step
        error = values.reshape(self._values.shape) - self._values
        fractions = (self._bands.energies(error) / np.maximum(self._energies, 1e-20)).tolist()
        row = dict(zip(self._bands.names, fractions, strict=True))
        self._table.write({"step": step, "seconds": round(seconds, 4), **row})
        self._board.spectrum(step, row)

    def close(self) -> None:
        """Close the file."""
        self._table.close()


def window(height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of the central window of an image that is evaluated.

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
    """Row-major indices of a window's pixels in an image of a width.

    >>> pixels_of(10, slice(1, 3), slice(4, 6)).tolist()
    [14, 15, 24, 25]
    """
    first = torch.arange(rows.start, rows.stop)[:, None] * width
    return (first + torch.arange(columns.start, columns.stop)).reshape(-1)


def bands_of(image: Image) -> Bands:
    """The bands of an image's central window.

    Raises:
        InputError: The image is too small to have any.
    """
    rows, columns = window(image.height, image.width)
    bands = Bands(rows.stop - rows.start, columns.stop - columns.start)
    try:
        _ = bands.edges
    except ValueError as error:
        raise InputError(f"--spectrum: {error}; leave it out, or give a larger image") from None
    return bands


def logged_steps(steps: int, cost: float, last: int) -> frozenset[int]:
    """Log-spaced steps from 1 to ``last`` at which the window is evaluated for the spectrum alone.

    Args:
        steps: Budget of the run.
        cost: Of one evaluation, in steps.
        last: The last of the steps.

    >>> sorted(logged_steps(2400, 10.7, 210))
    [1, 2, 5, 10, 21, 46, 98, 210]
    """
    count = min(max(int(_COST * steps / max(cost, 1e-9)), _FEWEST), _MOST)
    return frozenset(np.unique(np.rint(np.geomspace(1, max(last, 1), count)).astype(int)).tolist())


@dataclass(frozen=True)
class SpectrumCurve:
    """The content of ``spectrum.csv``: the error in B bands at L steps."""

    edges: tuple[float, ...]  # B + 1, in cycles per pixel
    steps: list[int]
    seconds: list[float]  # training time
    errors: NDArray[np.float64]  # (L, B), fractions of the bands' energies

    @property
    def centres(self) -> list[float]:
        """Geometric means of the bands' edges, in cycles per pixel."""
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
    """Read a run's ``spectrum.csv``; None where there is no such file or no row in it.

    Raises:
        InputError: The file is damaged.
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
    bands = [Bands.parse_name(name) for name in names]
    edges = (*(low for low, _ in bands), bands[-1][1])
    errors = np.array([[float(row[name]) for name in names] for row in rows])
    return SpectrumCurve(
        edges, [int(row["step"]) for row in rows], [float(row["seconds"]) for row in rows], errors
    )
