"""``fit``: from an image to a run folder, and ``resume``: the rest of a run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from kanfield.config.checks import check
from kanfield.config.parse import settings_from
from kanfield.config.resolve import merge_flags, resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError, RunFailed
from kanfield.files import remove_leftovers, replacing
from kanfield.images import Image
from kanfield.machine import pick_device
from kanfield.monitors.spectrum_figure import spectrum_figure
from kanfield.monitors.spectrum_log import bands_of, read_spectrum
from kanfield.monitors.tolerant import say, tolerated
from kanfield.names import command_line
from kanfield.process import default_settings, limit_threads
from kanfield.runs.folder import RunFolder
from kanfield.runs.input_image import input_image, with_defaults
from kanfield.runs.run import Run, load, make_field
from kanfield.splines import choose_backend
from kanfield.training.distributed import Ranks, joined
from kanfield.training.introduction import introduce, introduce_resumed
from kanfield.training.memory import check_buildable, is_out_of_memory
from kanfield.training.results import measure, write_results
from kanfield.training.signals import Signals
from kanfield.training.target import fingerprint, image_stats, make_target
from kanfield.training.trainer import Trainer
from kanfield.training.watch import watch


@default_settings()
def fit(
    image: str | os.PathLike[str] | Image,
    settings: Settings | None = None,
    *,
    out: str | os.PathLike[str] = "runs",
    console: Console | None = None,
    **overrides: Any,
) -> Run:
    """Fit a field to an image; what ``kanfield fit`` does.

    Args:
        image: a file, or what :func:`kanfield.read_image` returned.
        settings: of the fit; gaps are filled from the preset.
        out: where the run folder ``<image-stem>/<model>-<NNNN>`` is made.
        console: where progress goes; None for silence.
        **overrides: single settings by name, e.g. ``steps=200`` (see
            :class:`kanfield.config.settings.Settings`).

    Returns:
        The finished run.

    Raises:
        InputError: the image or a setting cannot be used; nothing was written.
        RunFailed: training diverged or memory ran out; what could be saved is.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; the run is saved.

    >>> import tempfile, numpy as np
    >>> picture = Image(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), "L")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fit(picture, out=folder, options={"widths": [4], "grids": [8, 8]}, steps=20).metrics["steps"]
    20
    """
    settings = merged(settings, overrides)
    file, picture = read_picture(image, settings)
    return fit_picture(picture, file, settings, Path(out), console)


def merged(settings: Settings | None, overrides: Mapping[str, Any]) -> Settings:
    """Settings with single ones laid over them, as :func:`fit` takes both.

    Raises:
        InputError: A setting is unknown or impossible.

    >>> merged(None, {"steps": 200}).steps
    200
    """
    if settings is not None and not isinstance(settings, Settings):
        raise InputError("settings: give Settings, or each by its name, as in fit(image, steps=200)")
    given = settings_from(dict(overrides), "fit: ")
    chosen = {key: getattr(given, key) for key in overrides}
    settings = merge_flags(settings or Settings(), chosen)
    check(settings)
    return settings


def read_picture(image: str | os.PathLike[str] | Image, settings: Settings) -> tuple[Path | None, Image]:
    """What is to be fitted, in memory.

    Args:
        image: As for :func:`fit`.
        settings: Of the fit.

    Returns:
        Its file, or None where it cannot be read a second time, and the image as the settings say.

    Raises:
        InputError: It cannot be used.
    """
    file = Path(image) if isinstance(image, (str, os.PathLike)) else None
    image = _image(image, settings)
    if file is not None and not file.resolve().is_file():  # a pipe, which can be read once
        file, image = None, replace(image, source=None)
    return file, image


def fit_picture(
    image: Image, file: Path | None, settings: Settings, out: Path, console: Console | None
) -> Run:
    """Fit one field to what :func:`read_picture` returned; see :func:`fit`."""
    refuse_exact_floats(settings, image)
    settings, image = with_defaults(settings, image)
    target = make_target(settings, image, torch.zeros(1))
    settings = resolve(settings, image_stats(target))
    if settings.spectrum:
        if image.missing is not None:
            raise InputError("--spectrum: an image with parts missing has no spectrum; leave it out")
        bands_of(image)
    device = check_device(settings, image)

    def begin() -> tuple[RunFolder, Settings]:
        folder = RunFolder.create(out, image.source or Path("image"), resolved.model)
        return folder, folder.keep_inputs(resolved, image, file)

    resolved = settings
    with joined(device, settings.batch_size or 1) as ranks:
        folder, settings = ranks.first(begin)
        return _train(folder, image, settings, device, console, ranks, resumed=False)


def refuse_exact_floats(settings: Settings, image: Image) -> None:
    """Refuse ``--lossless`` for floating-point pixels.

    Raises:
        InputError: That is what is asked for.
    """
    if settings.lossless and image.is_float:
        raise InputError(
            "--lossless: floating-point pixels are never exactly met; give --target-psnr instead"
        )


def check_device(settings: Settings, image: Image) -> torch.device:
    """The device of a fit, on which its field can be built, held and computed.

    Args:
        settings: Resolved settings.
        image: What one field is fitted to, or a blank one of its size.

    Raises:
        InputError: There is no such device, or the field is not one for it.
    """
    device = pick_device(settings.device)
    if device.type == "mps" and settings.precision == "fp64":
        raise InputError("--precision fp64: mps has no double precision; leave it out, or use --device cpu")
    check_buildable(settings, image, device)
    if settings.model in ("kan", "hashgrid"):
        # A forced backend that cannot serve is refused before a folder is made.
        double = settings.precision == "fp64"
        like = torch.empty(0, device=device, dtype=torch.float64 if double else torch.float32)
        choose_backend(like, "fp32" if double else settings.precision)
    return device


def _image(image: str | os.PathLike[str] | Image, settings: Settings) -> Image:
    if isinstance(image, (str, os.PathLike)):
        return input_image(image, settings)
    if not isinstance(image, Image):
        raise InputError(
            f"fit takes a file or an Image, not a {type(image).__name__}: "
            "kanfield.images.Image(pixels, 'RGB') makes one of an array"
        )
    if image.height * image.width == 1:
        raise InputError("The image is a single pixel: give one of at least two pixels")
    if image.is_float:  # decibels count in the image's own range, and so does whoever reads it again
        image = replace(image, value_range=image.used_range)
    return input_image(image, settings)


@default_settings()
def resume(
    path: str | os.PathLike[str],
    *,
    console: Console | None = None,
    device: str | None = None,
    threads: int | None = None,
) -> Run:
    """Go on with a run where its checkpoint left it; a finished run is returned as it is.

    Args:
        path: of the run folder.
        console: where progress goes; None for silence.
        device: where the rest is trained, for a run that began on another machine; None for the run's own.
        threads: CPU threads of the rest; None for as many as the run's settings say.

    Raises:
        InputError: the folder is not a run, its image has changed or gone, or its device is not here.
    """
    run = load(path)
    if run.folder.metrics.exists():
        say(console, f"{run.path} is finished: nothing to do")
        return run
    settings, resumed = run.settings, run.folder.last.exists()
    asked = {"device": device, "threads": threads}
    before = {name: getattr(settings, name) for name in asked}
    settings = merge_flags(settings, asked)
    changes = [
        f"--{name} {value} in place of {before[name] or 'the default'}"
        for name, value in asked.items()
        if value not in (None, before[name])
    ]
    check(settings)
    try:
        there = pick_device(settings.device)
    except InputError as error:
        if device is not None:
            raise
        again = command_line("kanfield", "fit", "--resume", run.path, "--device", "cpu")
        raise InputError(f"{run.folder.config}: {str(error).split('; ')[0]}; go on with {again}") from None
    with joined(there, settings.batch_size or 1) as ranks:
        return _train(run.folder, run.image, settings, there, console, ranks, resumed, changes)


def _train(
    folder: RunFolder,
    image: Image,
    settings: Settings,
    device: torch.device,
    console: Console | None,
    ranks: Ranks,
    resumed: bool,
    changes: Sequence[str] = (),
) -> Run:
    console = console if ranks.leads else None
    lock = folder.lock() if ranks.leads else contextlib.nullcontext()
    with lock, limit_threads(settings.threads), Signals() as signals, translate_errors(folder):
        if ranks.leads:
            remove_leftovers(folder.path)
        field = make_field(settings, image.channels).to(ranks.device(device))
        target = make_target(settings, image, next(field.parameters()))
        seen = fingerprint(image)
        trainer = Trainer(field, target, settings, folder, fingerprint=seen, ranks=ranks)
        if seen != ranks.first(lambda: seen):
            raise InputError(f"{image.source or 'the image'} is another here than for the first process")
        introduce(console, trainer)
        position = None
        if resumed:
            differences = trainer.restore()
            position = trainer.progress.step
            introduce_resumed(console, trainer, differences, changes)
        with contextlib.ExitStack() as closing:
            if not ranks.leads:
                trainer.train(signals)
                return load(folder.path)
            board = watch(trainer, console, position, closing)
            trainer.train(signals)
            trainer.use_best_weights()
            board.edges(field, trainer.progress.step)
            curve = read_spectrum(folder.spectrum)
            if curve is not None:
                with tolerated(folder.heat_map.name, console):
                    figure = spectrum_figure(curve)
                    with replacing(folder.heat_map) as temporary:
                        figure.savefig(temporary, format="png", dpi=160)
                    board.heat_map(figure, trainer.progress.step)
        picture, content = measure(field, target, trainer.progress, settings, folder)
        write_results(folder, target, picture, content, console)
    return load(folder.path)


@contextlib.contextmanager
def translate_errors(folder: RunFolder) -> Iterator[None]:
    """Turn OS and out-of-memory errors into a one-line RunFailed that says what is kept."""
    resume = command_line("kanfield", "fit", "--resume", folder.path)
    try:
        yield
    except (RunFailed, InputError):
        if not folder.path.is_dir():
            raise RunFailed(f"{folder.path} is gone: it was removed while the run was on") from None
        raise
    except (MemoryError, RuntimeError) as error:
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            reason = str(error).splitlines()[0].rstrip(".")
            raise RunFailed(f"--compile does not work here ({reason}): fit again without it") from None
        if not is_out_of_memory(error):
            raise
        raise RunFailed(
            f"out of memory; checkpoints so far are in {folder.path}; try a smaller --batch-size or --size"
        ) from None
    except OSError as error:
        if not folder.path.is_dir():
            raise RunFailed(f"{folder.path} is gone: it was removed while the run was on") from None
        where = error.filename or folder.path
        raise RunFailed(
            f"{where} cannot be written ({error.strerror or error}); the last checkpoint is intact: "
            f"make room, then {resume}"
        ) from None
