"""The beginning of a tiled run: one look at the picture, settings for all tiles, a folder that says so."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.container import cpu_count
from kanfield.errors import InputError, RunFailed
from kanfield.fields.field import count_parameters
from kanfield.images import Image, missing_pixels
from kanfield.images.image import row_slices
from kanfield.images.windows import Windows
from kanfield.monitors.tolerant import say
from kanfield.names import command_line
from kanfield.runs.folder import RunFolder
from kanfield.runs.input_image import read_mask, with_defaults
from kanfield.runs.run import make_field
from kanfield.tiles.budget import with_budget
from kanfield.tiles.folder import Split, TiledFolder
from kanfield.tiles.held_out import held_out_share
from kanfield.tiles.picture import FileReader, Picture, Survey, image_reader, survey
from kanfield.tiles.plan import Plan
from kanfield.tiles.run import TiledRun
from kanfield.tiles.workers import CORES
from kanfield.training import fit as single

_QUICK = 1 << 24  # pixels that are looked at in a moment
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def begin_file(
    windows: Windows,
    settings: Settings,
    plan: Plan,
    out: Path,
    console: Console | None,
) -> TiledRun:
    """A run of a file that is read by windows, by this process and its workers alike.

    Args:
        windows: Of the file.
        settings: As they were given.
        plan: Of the picture.
        out: Folder of all runs.
        console: Where notes go, or None.

    Raises:
        InputError: The picture or a setting cannot be used; no folder was made.
        RunFailed: The disk is full; the folder was removed.
    """
    mask = _mask(settings, plan)
    reader = FileReader(windows, settings)
    corner = next((image for tile in plan.tiles if (image := reader(*plan.core(tile))) is not None), None)
    if corner is None:
        raise InputError(f"{windows.path} has no known pixel, all are missing: give another")
    settings = replace(settings, alpha=with_defaults(settings, corner)[0].alpha)
    single.refuse_exact_floats(settings, corner)
    if plan.height * plan.width > _QUICK:
        say(console, f"looking at all {plan.width} x {plan.height} pixels of {windows.path}")
    reader = FileReader(windows, settings, None if mask is None else lambda *window: mask[window])
    found = survey(Picture(plan.height, plan.width, reader), plan)
    missing = plan.height * plan.width - found.known
    notes = (*reader.notes, *([f"{missing:,} pixels have no value and are missing."] if missing else []))
    settings, summary = with_defaults(settings, replace(found.summary, notes=notes))
    like = _blank(summary, plan)
    settings = _resolved(settings, plan, like, found)
    with _new_folder(out, windows.path, settings.model) as folder:
        if windows.decoded is not None:
            windows.decoded.rename(folder.decoded)
        if mask is not None:
            np.save(folder.missing, mask)
        return _begin(folder, settings, plan, like, found, windows.path, console)


def begin_decoded(
    image: Image,
    file: Path | None,
    settings: Settings,
    plan: Plan,
    out: Path,
    console: Console | None,
) -> TiledRun:
    """A run of an image that was decoded as a whole; workers see it through a file of the run folder.

    Args:
        image: As :func:`kanfield.training.fit.read_picture` returned it.
        file: Its file, or None.
        settings: As they were given.
        plan: Of the picture.
        out: Folder of all runs.
        console: Where notes go, or None.

    Raises:
        InputError: The picture or a setting cannot be used; no folder was made.
        RunFailed: The disk is full; the folder was removed.
    """
    single.refuse_exact_floats(settings, image)
    settings, image = with_defaults(settings, image)
    like = _blank(image, plan)
    found = survey(Picture(plan.height, plan.width, image_reader(image)), plan)
    settings = _resolved(settings, plan, like, found)
    with _new_folder(out, image.source or Path("image"), settings.model) as folder:
        _store(folder.pixels, image)
        if image.missing is not None:
            np.save(folder.missing, image.missing)
        return _begin(folder, settings, plan, like, found, file or image, console)


@contextlib.contextmanager
def _new_folder(out: Path, image: Path, model: str) -> Iterator[TiledFolder]:
    """The folder of a new run; removed where it cannot be filled.

    Raises:
        RunFailed: The disk is full.
    """
    folder = TiledFolder(RunFolder.create(out, image, model).path)
    try:
        folder.make()
        yield folder
    except BaseException as error:  # signals, too
        shutil.rmtree(folder.path, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        where, reason = error.filename or folder.path, error.strerror or error
        raise RunFailed(f"{where} cannot be written ({reason}): make room, or give another --out") from None


def _store(path: Path, image: Image) -> None:
    """Write an image's pixels as a file that is mapped."""
    pixels = np.lib.format.open_memmap(path, "w+", image.pixels.dtype, image.pixels.shape)
    if hasattr(os, "posix_fallocate"):
        # The file has holes so far: were the disk full when they are filled, SIGBUS would end the process.
        with open(path, "r+b") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno in _FULL:  # others: the file system has no such call
                    raise
    for rows in row_slices(image.height, image.width):
        pixels[rows] = image.pixels[rows]
    pixels.flush()


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
        share *= 1 - held_out_share(plan, settings.held_out)
    stats = ImageStats(width, height, max(1, round(share * height * width)), like.channels)
    most = settings.parameters
    of_tile = resolve(replace(settings, parameters=most and max(1, most // len(plan.tiles))), stats)
    frame = _blank(like, Plan(height, width, plan.side))
    single.check_device(replace(of_tile, parameters=None), frame)
    if most is not None:
        least = count_parameters(make_field(of_tile, like.channels)) * len(plan.tiles)
        if least > most:
            raise InputError(
                f"--parameters {most}: the smallest fields of {len(plan.tiles):,} tiles have {least:,} "
                "together; give more, larger --tiles, or leave out other options of the field"
            )
    threads = settings.threads or min(CORES, cpu_count())
    of_tile = with_budget(settings, of_tile, plan, stats)
    return replace(of_tile, parameters=most, tiles=plan.side, threads=threads)


def _begin(
    folder: TiledFolder,
    settings: Settings,
    plan: Plan,
    like: Image,
    found: Survey,
    source: Path | Image,
    console: Console | None,
) -> TiledRun:
    """Write what every process needs to know of the run."""
    order = sorted(found.spread, key=lambda name: (-found.spread[name], name))
    folder.write_split(Split(plan, replace(like, source=None, notes=()), found.checks, order))
    image, file = (like, source) if isinstance(source, Path) else (source, None)
    folder.keep_inputs(settings, image, file)
    folder.last.parent.rmdir()  # weights lie in the tiles' folders
    run = TiledRun(folder)
    _introduce(run, like.notes, console)
    return run


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
