"""``fit``, ``resume``, ``load`` and ``evaluate_run`` for any picture: of one field, or of many tiles."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.container import cpu_count
from kanfield.errors import InputError
from kanfield.images import Image, missing_pixels
from kanfield.images.image import row_slices
from kanfield.images.windows import Windows, open_windows
from kanfield.monitors.tolerant import say
from kanfield.names import command_line
from kanfield.process import default_settings
from kanfield.runs.folder import RunFolder
from kanfield.runs.input_image import read_mask, with_defaults
from kanfield.runs.run import Run
from kanfield.runs.run import load as load_one
from kanfield.tiles.collect import collect, measure_again
from kanfield.tiles.folder import Split, TiledFolder
from kanfield.tiles.held_out import held_out_share
from kanfield.tiles.picture import Picture, Survey, file_reader, survey
from kanfield.tiles.plan import Plan, plan_for
from kanfield.tiles.run import TiledRun
from kanfield.tiles.supervise import CORES, devices_of, supervise
from kanfield.training import evaluate_run as one
from kanfield.training import fit as single

_QUICK = 1 << 24  # pixels that are looked at in a moment


@default_settings()
def fit(
    image: str | os.PathLike[str] | Image,
    settings: Settings | None = None,
    *,
    out: str | os.PathLike[str] = "runs",
    console: Console | None = None,
    workers: int | None = None,
    **overrides: Any,
) -> Run:
    """Fit one field to an image, or a field to each tile of a large one; what ``kanfield fit`` does.

    Args:
        image: A file, or what :func:`kanfield.read_image` returned.
        settings: Of the fit; gaps are filled from the preset. ``tiles`` says whether and how it is split.
        out: Where the run folder ``<image-stem>/<model>-<NNNN>`` is made.
        console: Where progress goes; None for silence.
        workers: Processes that fit tiles; None for one per GPU, or per two cores.
        **overrides: Single settings by name, e.g. ``steps=200`` (see
            :class:`kanfield.config.settings.Settings`).

    Returns:
        The finished run.

    Raises:
        InputError: The image or a setting cannot be used; nothing was written.
        RunFailed: Training diverged, tiles failed or memory ran out; what could be saved is.
        Interrupted: SIGINT or SIGTERM came; the run is saved.

    >>> import tempfile
    >>> picture = Image(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), "L")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fit(picture, out=folder, options={"widths": [4], "grids": [8, 8]}, steps=20).metrics["steps"]
    20
    """
    settings = single.merged(settings, overrides)
    windows = _windows(image, settings)
    plan = None if windows is None else plan_for(settings, windows.height, windows.width)
    if windows is not None and plan is not None:
        _check(settings, workers)
        return _fit_file(windows, settings, plan, Path(out), console, workers)
    file, picture = single.read_picture(image, settings)
    plan = plan_for(settings, picture.height, picture.width)
    if plan is None:
        if workers is not None:
            raise InputError(
                f"--workers {workers}: one field takes one process; leave it out, or give --tiles"
            )
        return single.fit_picture(picture, file, settings, Path(out), console)
    _check(settings, workers)
    return _fit_decoded(picture, file, settings, plan, Path(out), console, workers)


@default_settings()
def resume(
    path: str | os.PathLike[str],
    *,
    console: Console | None = None,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
) -> Run:
    """Go on with a run where it was left; a finished run is returned as it is.

    Args:
        path: Of the run folder.
        console: Where progress goes; None for silence.
        device: Where the rest is trained; None for the run's own.
        threads: CPU threads of the rest; None for as many as the run's settings say. Not of tiles, whose
            workers keep the run's.
        workers: As for :func:`fit`; of a run of tiles.

    Raises:
        InputError: The folder is not a run, its image has changed or gone, or its device is not here.
    """
    run = load(path)
    if not isinstance(run, TiledRun):
        if workers is not None:
            raise InputError(f"--workers {workers}: {path} is a run of one field; leave it out")
        return single.resume(path, console=console, device=device, threads=threads)
    if run.folder.metrics.exists():
        say(console, f"{run.path} is finished: nothing to do")
        return run
    _check(run.settings, workers)
    if threads is not None:
        raise InputError(f"--threads {threads}: {path} has workers with threads of their own: give --workers")
    return _train(run, devices_of(device or run.settings.device, workers), console)


def load(path: str | os.PathLike[str]) -> Run:
    """Open a run folder.

    Args:
        path: Of the folder.

    Raises:
        InputError: It is not one, or its config.yaml is damaged.
    """
    folder = TiledFolder(RunFolder.open(Path(path)).path)
    return TiledRun(folder) if folder.split.is_file() else load_one(path)


@default_settings()
def evaluate_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Measure a run again, on the image as it is now; see :mod:`kanfield.training.evaluate_run`.

    Args:
        path: Of the run folder.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: The folder is not a run, or its image has changed; of tiles, not all are done.
    """
    run = load(path)
    if not isinstance(run, TiledRun):
        return one.evaluate_run(path)
    left = len(run.split.order) - len(run.folder.done())
    if left:
        again = command_line("kanfield", "fit", "--resume", run.path)
        raise InputError(f"{run.path} is unfinished, {left:,} tiles are left: go on with {again}")
    picture = run.picture
    found = survey(picture, run.split.plan)
    if dict(run.split.checks) != found.checks:
        raise InputError(
            f"{run.folder.config} names an image that is not the one of this run: put that one back"
        )
    return measure_again(run)


# ---- a run that begins ---------------------------------------------------------------------------


def _windows(image: str | os.PathLike[str] | Image, settings: Settings) -> Windows | None:
    """The file by windows, where it is one that can be and nothing asks for all of it at once."""
    if isinstance(image, Image) or settings.tiles == 1 or settings.size or settings.tonemap:
        return None
    windows = open_windows(Path(image), settings.page) if isinstance(image, (str, os.PathLike)) else None
    pixels = 0 if windows is None else windows.height * windows.width
    if settings.max_pixels is not None and pixels > settings.max_pixels:
        return None  # reading it as a whole refuses it in words
    return windows


def _fit_file(
    windows: Windows,
    settings: Settings,
    plan: Plan,
    out: Path,
    console: Console | None,
    workers: int | None,
) -> Run:
    """Fit a file that is read by windows, by this process and its workers alike."""
    mask = _mask(settings, plan)
    reader = file_reader(windows, settings)
    corner = next((image for tile in plan.tiles if (image := reader(*plan.core(tile))) is not None), None)
    if corner is None:
        raise InputError(f"{windows.path} has no known pixel, all are missing: give another")
    settings = replace(settings, alpha=with_defaults(settings, corner)[0].alpha)
    single.refuse_exact_floats(settings, corner)
    if plan.height * plan.width > _QUICK:
        say(console, f"looking at all {plan.width} x {plan.height} pixels of {windows.path}")
    found = survey(_Masked(plan, file_reader(windows, settings), mask), plan)
    settings, summary = with_defaults(settings, found.summary)
    like = _blank(summary, plan)
    settings = _resolved(settings, plan, like, found)
    folder = TiledFolder(RunFolder.create(out, windows.path, settings.model).path)
    folder.make()
    if mask is not None:
        np.save(folder.missing, mask)
    return _begin(folder, settings, plan, like, found, windows.path, console, workers)


def _fit_decoded(
    image: Image,
    file: Path | None,
    settings: Settings,
    plan: Plan,
    out: Path,
    console: Console | None,
    workers: int | None,
) -> Run:
    """Fit an image that was decoded as a whole; workers see it through a file of the run folder."""
    single.refuse_exact_floats(settings, image)
    settings, image = with_defaults(settings, image)
    like = _blank(image, plan)

    def read(rows: slice, columns: slice) -> Image | None:
        missing = None if image.missing is None else image.missing[rows, columns]
        if missing is not None and missing.all():
            return None
        part = like.with_pixels(image.pixels[rows, columns])
        return replace(part, missing=missing, value_range=like.value_range)

    found = survey(Picture(plan.height, plan.width, read), plan)
    settings = _resolved(settings, plan, like, found)
    folder = TiledFolder(RunFolder.create(out, image.source or Path("image"), settings.model).path)
    folder.make()
    pixels = np.lib.format.open_memmap(folder.pixels, "w+", image.pixels.dtype, image.pixels.shape)
    for rows in row_slices(image.height, image.width):
        pixels[rows] = image.pixels[rows]
    pixels.flush()
    if image.missing is not None:
        np.save(folder.missing, image.missing)
    return _begin(folder, settings, plan, like, found, file or image, console, workers)


class _Masked(Picture):
    """A picture with a mask that is in memory still."""

    def __init__(self, plan: Plan, read: Any, mask: np.ndarray[Any, Any] | None) -> None:
        super().__init__(plan.height, plan.width, read)
        self._hidden = mask

    def window(self, rows: slice, columns: slice) -> Image | None:
        image = super().window(rows, columns)
        if image is None or self._hidden is None:
            return image
        masked = self._hidden[rows, columns]
        missing = masked if image.missing is None else image.missing | masked
        return None if missing.all() else replace(image, missing=missing)


def _mask(settings: Settings, plan: Plan) -> np.ndarray[Any, Any] | None:
    """Where the picture is missing by ``--mask``, bool ``(height, width)``."""
    mask = read_mask(settings)
    if mask is None:
        return None
    like = Image(np.broadcast_to(np.zeros((1, 1, 1), np.uint8), (plan.height, plan.width, 1)), "L")
    return missing_pixels(mask, like, str(settings.mask)).reshape(plan.height, plan.width)


def _blank(image: Image, plan: Plan) -> Image:
    """A blank image of the picture's size and of an image's kind, which takes no memory."""
    blank = np.zeros((1, 1, image.channels), image.pixels.dtype)
    pixels = np.broadcast_to(blank, (plan.height, plan.width, image.channels))
    return replace(image, pixels=pixels, missing=None)


def _resolved(settings: Settings, plan: Plan, like: Image, found: Survey) -> Settings:
    """Settings of every tile's field: those that a preset gives a picture of a frame's size."""
    height, width = plan.frame
    share = found.known / (plan.height * plan.width)
    if settings.held_out is not None:
        share *= 1 - held_out_share(settings.held_out, settings.seed)
    stats = ImageStats(width, height, max(1, round(share * height * width)), like.channels)
    most = settings.parameters
    of_tile = resolve(replace(settings, parameters=most and max(1, most // len(plan.tiles))), stats)
    frame = _blank(like, Plan(height, width, plan.side))
    single.check_device(of_tile, frame)
    threads = settings.threads or min(CORES, cpu_count())
    return replace(of_tile, parameters=most, tiles=plan.side, threads=threads)


def _begin(
    folder: TiledFolder,
    settings: Settings,
    plan: Plan,
    like: Image,
    found: Survey,
    source: Path | Image,
    console: Console | None,
    workers: int | None,
) -> Run:
    """Write what every process needs to know of the run, and fit it."""
    order = sorted(found.spread, key=lambda name: (-found.spread[name], name))
    folder.write_split(Split(plan, replace(like, source=None, notes=()), found.checks, order))
    image, file = (like, source) if isinstance(source, Path) else (source, None)
    folder.keep_inputs(settings, image, file)
    folder.last.parent.rmdir()  # weights lie in the tiles' folders
    run = TiledRun(folder)
    _introduce(run, like.notes, console)
    return _train(run, devices_of(settings.device, workers), console)


def _train(run: TiledRun, devices: list[str], console: Console | None) -> Run:
    with run.folder.lock(), single.translate_errors(run.folder):
        for left in run.path.glob(".*.tmp"):  # half-written files of a process that was killed
            left.unlink(missing_ok=True)
        run.picture.window(*run.split.plan.core(run.split.plan.tiles[0]))  # is it there?
        supervise(run, devices[: len(run.split.order)], console)
        say(console, "drawing and measuring the whole picture")
        collect(run)
    return TiledRun(run.folder)


def _introduce(run: TiledRun, notes: tuple[str, ...], console: Console | None) -> None:
    plan = run.split.plan
    height, width = plan.frame
    join = command_line("kanfield", "work", run.path)
    for line in (
        *notes,
        f"{plan.width} x {plan.height} pixels in {plan.columns.count} x {plan.rows.count} tiles, each a "
        f"field of {width} x {height} pixels that overlaps its neighbours by {2 * plan.overlap}",
        f"run folder {run.path}; other processes and hosts join it with: {join}",
    ):
        say(console, line)


def _check(settings: Settings, workers: int | None) -> None:
    """Refuse what would be refused after a look at all pixels, which may take minutes."""
    if settings.held_out is not None:
        held_out_share(settings.held_out, settings.seed)
    if workers is not None and not 1 <= workers <= 4096:
        raise InputError(f"--workers {workers} is impossible: give a number of processes above zero")
