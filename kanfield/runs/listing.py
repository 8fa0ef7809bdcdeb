"""The runs under a folder: which there are, how they ended, which are leftovers. Does not import torch."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from kanfield.errors import InputError
from kanfield.runs.folder import RunFolder

State = Literal["finished", "unfinished", "in use", "damaged"]

_STARTING = 600  # seconds in which a new fit has surely written its settings
_NAME = re.compile(r"(?P<model>.+)-\d{4,}")  # what RunFolder.create makes
_WRITTEN = re.compile(
    r"config\.yaml|label\.txt|metrics\.(json|csv)|spectrum\.csv|(mask|error|spectrum)\.png"
    r"|(input|reconstruction)\.\w+"
    r"|checkpoints/(last|best)\.safetensors|events\.out\.tfevents\.[^/]+|timelapse(\.webp|/[^/]+\.png)"
    r"|(checkpoints/|timelapse/)?\.[^/]+\.tmp|tiles\.(json|csv)|(pixels|missing)\.npy|decoded\.tiff"
    r"|(tiles|claims|deaths)/.+"
)


@dataclass(frozen=True)
class FoundRun:
    """What a listing shows of a run folder.

    Attributes:
        path: The folder.
        state: Whether it is finished, unfinished, in use or damaged.
        model: Family of fields.
        preset: Its name; None where unknown.
        encoding: Of the KAN; None where unknown.
        psnr: In dB, on the pixels trained on; None where unknown.
        held_out_psnr: In dB; None where unknown or no pixels were held out.
        size: Bytes on disk.
        changed: When a file of it was last written, in seconds since 1970.
        leftover: Never finished, not in use, and surely made by kanfield, so that it can be removed.
    """

    path: Path
    state: State
    model: str
    preset: str | None
    encoding: str | None
    psnr: float | None
    held_out_psnr: float | None
    size: int
    changed: float
    leftover: bool


def find_runs(out: Path) -> list[FoundRun]:
    """Every run ``<image-stem>/<model>-<NNNN>`` under a folder, the latest last; links are not followed.

    Raises:
        InputError: ``out`` is not a folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     (Path(folder) / "photo/kan-0001/checkpoints").mkdir(parents=True)
    ...     [(run.path.name, run.state) for run in find_runs(Path(folder))]
    [('kan-0001', 'damaged')]
    """
    if not out.exists():
        return []
    if not out.is_dir():
        raise InputError(f"--out {out} is a file: give the folder that holds the runs")
    paths = [run for image in _folders(out) for run in _folders(image) if _NAME.fullmatch(run.name)]
    found = [_inspect(path) for path in paths if _is_run(path)]
    return sorted(found, key=lambda run: (run.changed, run.path))


def remove_run(run: FoundRun) -> bool:
    """Remove a leftover, and its image's folder once that is empty.

    Returns:
        False where the run stays: it is no leftover, or no longer, because a fit or a worker of
        tiles is at it.
    """
    folder = RunFolder(run.path)
    try:
        # Without a config.yaml no fit can go on, and there is nothing to lock.
        lock = folder.lock() if folder.config.is_file() else contextlib.nullcontext()
        with lock, folder.without_workers():
            if not run.leftover or folder.metrics.exists():
                return False
            shutil.rmtree(run.path)
    except InputError:  # in use
        return False
    with contextlib.suppress(OSError):  # other runs are in it
        run.path.parent.rmdir()
    return True


def _folders(parent: Path) -> list[Path]:
    try:
        return [Path(entry) for entry in os.scandir(parent) if entry.is_dir(follow_symlinks=False)]
    except PermissionError:
        return []


def _is_run(path: Path) -> bool:
    # os.path says no where a folder may not be read; Path raises.
    return os.path.isfile(path / "config.yaml") or os.path.isdir(path / "checkpoints")


def _inspect(path: Path) -> FoundRun:
    folder = RunFolder(path)
    names, size, changed = _files(path)
    model, settings = _NAME.fullmatch(path.name)["model"], None  # type: ignore[index]
    # A damaged file can make a parser raise anything.
    with contextlib.suppress(Exception):
        settings, _ = folder.read_config()
        model = settings.model
    in_use, ended = _in_use(folder), folder.metrics.exists()
    metrics: dict[str, Any] = {}
    with contextlib.suppress(Exception):
        metrics = folder.read_metrics()
    state: State = "finished" if ended else "unfinished"
    if in_use:
        state = "in use"
    elif settings is None or ended != bool(metrics):
        state = "damaged"
    ours = (settings is not None or folder.best.parent.is_dir()) and all(map(_WRITTEN.fullmatch, names))
    return FoundRun(
        path=path,
        state=state,
        model=model,
        preset=settings.preset if settings else None,
        encoding=settings.encoding if settings else None,
        psnr=metrics.get("psnr"),
        held_out_psnr=metrics.get("held_out_psnr"),
        size=size,
        changed=changed,
        # metrics.json comes last, so with it, even damaged, the weights of a whole fit are there.
        # Without settings it may be a fit that is just starting.
        leftover=ours
        and not ended
        and not in_use
        and (settings is not None or time.time() - changed > _STARTING),
    )


def _files(path: Path) -> tuple[list[str], int, float]:
    """Names of all files under a run folder, their bytes on disk, and when the last was written."""
    names, size, changed = [], 0, path.stat().st_mtime
    for parent, _, files in os.walk(path):
        for name in files:
            file = Path(parent, name)
            try:
                status = file.lstat()
            except OSError:  # a fit replaced it just now
                continue
            names.append(file.relative_to(path).as_posix())
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
            changed = max(changed, status.st_mtime)
    return names, size, changed


def _in_use(folder: RunFolder) -> bool:
    """Whether a fit or a worker of tiles is at a run."""
    with contextlib.suppress(PermissionError, InputError):  # PermissionError: somebody else's, so it stays
        if not folder.config.is_file():
            return False
        if not folder.in_use:
            with folder.without_workers():
                return False
    return True
