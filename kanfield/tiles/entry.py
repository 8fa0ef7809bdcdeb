"""``fit``, ``resume``, ``load`` and ``evaluate_run`` for any picture: of one field, or of many tiles."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.files import remove_leftovers
from kanfield.images import Image
from kanfield.images.windows import Windows, open_windows
from kanfield.monitors.tolerant import say
from kanfield.names import command_line
from kanfield.process import default_settings, process_count
from kanfield.runs.folder import RunFolder
from kanfield.runs.run import Run
from kanfield.runs.run import load as load_one
from kanfield.tiles.begin import begin_decoded, begin_file
from kanfield.tiles.collect import collect, measure_again
from kanfield.tiles.folder import TiledFolder
from kanfield.tiles.held_out import held_out_share
from kanfield.tiles.ledger import Ledger
from kanfield.tiles.picture import survey
from kanfield.tiles.plan import OTHERS_FROM, Plan, plan_for
from kanfield.tiles.ray_tasks import RayTasks, require_ray
from kanfield.tiles.run import TiledRun
from kanfield.tiles.streamed import is_beyond_memory, streamed
from kanfield.tiles.supervise import Engine, supervise
from kanfield.tiles.workers import Workers, devices_of
from kanfield.training import evaluate_run as one
from kanfield.training import fit as single


@default_settings()
def fit(
    image: str | os.PathLike[str] | Image,
    settings: Settings | None = None,
    *,
    out: str | os.PathLike[str] = "runs",
    console: Console | None = None,
    workers: int | None = None,
    engine: str | None = None,
    **overrides: Any,
) -> Run:
    """Fit one field to an image, or a field to each tile of a large one; what ``kanfield fit`` does.

    Args:
        image: A file, or what :func:`kanfield.read_image` returned.
        settings: Of the fit; gaps are filled from the preset. ``tiles`` says whether and how it is split.
        out: Where the run folder ``<image-stem>/<model>-<NNNN>`` is made.
        console: Where progress goes; None for silence.
        workers: Processes that fit tiles; None for one per GPU, or per two cores.
        engine: ``"ray"`` for a Ray cluster's; None for this machine's.
        **overrides: Single settings by name, e.g. ``steps=200`` (see
            :class:`kanfield.config.settings.Settings`).

    Returns:
        The finished run.

    Raises:
        InputError: The image or a setting cannot be used; nothing was written.
        RunFailed: Training diverged, tiles failed or memory ran out; what could be saved is.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; the run is saved.

    >>> import tempfile, numpy as np
    >>> picture = Image(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), "L")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fit(picture, out=folder, options={"widths": [4], "grids": [8, 8]}, steps=20).metrics["steps"]
    20
    """
    settings = single.merged(settings, overrides)
    run = None
    with _windows(image, settings, Path(out), console) as windows:
        plan = None if windows is None else _plan(settings, windows.height, windows.width)
        if windows is not None and plan is not None:
            _check(settings, plan, workers, engine)
            run = begin_file(windows, settings, plan, Path(out), console)
    if run is not None:
        return _train(run, workers, engine, console)
    file, picture = single.read_picture(image, settings)
    plan = _plan(settings, picture.height, picture.width)
    if plan is None:
        for name, value in (("workers", workers), ("engine", engine)):
            if value is not None:
                raise InputError(
                    f"--{name} {value}: one field takes one process; leave it out, or give --tiles"
                )
        return single.fit_picture(picture, file, settings, Path(out), console)
    _check(settings, plan, workers, engine)
    run = begin_decoded(picture, file, settings, plan, Path(out), console)
    return _train(run, workers, engine, console)


@default_settings()
def resume(
    path: str | os.PathLike[str],
    *,
    console: Console | None = None,
    device: str | None = None,
    threads: int | None = None,
    workers: int | None = None,
    engine: str | None = None,
) -> Run:
    """Go on with a run where it was left; a finished run is returned as it is.

    Args:
        path: Of the run folder.
        console: Where progress goes; None for silence.
        device: Where the rest is trained; None for the run's own.
        threads: CPU threads of the rest; None for as many as the run's settings say. Not of tiles, whose
            workers keep the run's.
        workers: As for :func:`fit`; of a run of tiles.
        engine: As for :func:`fit`; of a run of tiles.

    Raises:
        InputError: The folder is not a run, its image has changed or gone, or its device is not here.
    """
    run = load(path)
    if not isinstance(run, TiledRun):
        for name, value in (("workers", workers), ("engine", engine)):
            if value is not None:
                raise InputError(f"--{name} {value}: {path} is a run of one field; leave it out")
        return single.resume(path, console=console, device=device, threads=threads)
    if process_count() > 1:
        raise InputError(f"torchrun is for one field, and {path} is a run of tiles: leave torchrun out")
    damaged = dict(run.folder.damaged())
    if run.folder.metrics.exists() and not damaged:
        say(console, f"{run.path} is finished: nothing to do")
        return run
    _check(run.settings, run.split.plan, workers, engine)
    if threads is not None:
        raise InputError(f"--threads {threads}: {path} has workers with threads of their own: give --workers")
    if damaged:
        with run.folder.lock():
            for name, file in damaged.items():
                say(console, f"{file} is damaged or missing: tile {name} is fitted again", "yellow")
                run.folder.discard(name)
    return _train(run, workers, engine, console, device)


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
    if run.left:
        again = command_line("kanfield", "fit", "--resume", run.path)
        raise InputError(f"{run.path} is unfinished, {run.left:,} tiles are left: go on with {again}")
    picture = run.picture
    found = survey(picture, run.split.plan)
    if dict(run.split.checks) != found.checks:
        raise InputError(
            f"{run.folder.config} names an image that is not the one of this run: put that one back"
        )
    return measure_again(run)


@contextlib.contextmanager
def _windows(
    image: str | os.PathLike[str] | Image, settings: Settings, out: Path, console: Console | None
) -> Iterator[Windows | None]:
    """The file by windows, where it is one that can be and nothing asks for all of it at once."""
    whole = settings.tiles == 1 or settings.size or settings.tonemap
    if whole or not isinstance(image, (str, os.PathLike)):
        yield None
        return
    file = Path(image)
    if not file.resolve().is_file():  # a pipe can be read once
        yield None
        return
    windows = open_windows(file, settings.page)
    if windows is None and is_beyond_memory(file, settings):
        with streamed(file, out, console) as windows:
            yield windows
        return
    pixels = 0 if windows is None else windows.height * windows.width
    if settings.max_pixels is not None and pixels > settings.max_pixels:
        windows = None  # reading it as a whole refuses it in words
    yield windows


def _plan(settings: Settings, height: int, width: int) -> Plan | None:
    """The plan that ``--tiles`` asks for; None for one field, the only kind that torchrun is for."""
    plan = plan_for(settings, height, width)
    if plan is not None and process_count() > 1:
        if settings.tiles is None and height * width <= OTHERS_FROM:
            return None
        raise InputError(
            f"torchrun is for one field, and {width} x {height} pixels are split into many: add --tiles 1, "
            "or leave torchrun out, since kanfield fit starts workers by itself"
        )
    return plan


def _train(
    run: TiledRun,
    workers: int | None,
    engine: str | None,
    console: Console | None,
    device: str | None = None,
) -> Run:
    device = device or run.settings.device
    start: Callable[[TiledRun, Ledger], Engine]
    if engine is not None:
        start = partial(RayTasks, device=device, workers=workers)
    else:
        start = partial(Workers, devices=devices_of(device, workers)[: len(run.split.order)])
    with run.folder.lock(), single.translate_errors(run.folder):
        remove_leftovers(run.path, below=False)  # others may be at work on tiles
        run.picture.window(*run.split.plan.core(run.split.plan.tiles[0]))  # is it there?
        supervise(run, start, console)
        say(console, "drawing and measuring the whole picture")
        collect(run)
    return TiledRun(run.folder)


def _check(settings: Settings, plan: Plan, workers: int | None, engine: str | None) -> None:
    """Refuse what would be refused after a look at all pixels, which may take minutes."""
    if settings.held_out is not None:
        held_out_share(plan, settings.held_out)
    if engine not in (None, "ray"):
        raise InputError(f"--engine {engine} is unknown: give ray, or leave it out for this host's own")
    if engine is not None:
        require_ray()
    if workers is not None and not 1 <= workers <= 4096:
        raise InputError(f"--workers {workers} is impossible: give a number of processes above zero")
