"""The run folder: its place, the names of its files, its lock, and which runs are unfinished."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import yaml

from kanfield.config.checks import check
from kanfield.config.parse import read_settings, to_plain
from kanfield.config.resolve import missing_keys
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.files import make_numbered_folder, write_text
from kanfield.images import MAX_PIXELS, Image, missing_pixels, write_image
from kanfield.names import command_line, folder_name
from kanfield.runs.input_image import read_mask
from kanfield.runs.metrics_file import read_metrics_file

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MASK = "mask.png"
_LOCK_TRIES = 10
_LOCK_PAUSE = 0.03  # seconds between tries


class RunFolder:
    """Paths inside ``runs/<image-stem>/<model>-<NNNN>/``; kanfield/runs/README.md describes each file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.metrics = path / "metrics.json"
        self.rows = path / "metrics.csv"
        self.spectrum = path / "spectrum.csv"
        self.heat_map = path / "spectrum.png"
        self.last = path / "checkpoints" / "last.safetensors"
        self.best = path / "checkpoints" / "best.safetensors"
        self.reconstruction = path / "reconstruction.png"  # of float pixels: an 8-bit view
        self.error_map = path / "error.png"
        self.frames = path / "timelapse"

    @classmethod
    def create(cls, out: Path, image: Path, model: str) -> RunFolder:
        """Make a new numbered folder; an old one is never used again.

        Args:
            out: Folder of all runs.
            image: File whose stem names the folder in between, see :func:`folder_name`.
            model: Family of fields.

        Raises:
            InputError: The folder cannot be made.
        """
        try:
            folder = cls(make_numbered_folder(out / folder_name(image.stem or "image"), folder_name(model)))
            folder.last.parent.mkdir()
            return folder
        except OSError as error:
            raise InputError(
                f"--out {out}: no run folder can be made there ({error.strerror}); "
                "give a folder that is writable"
            ) from None

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open an existing run.

        Raises:
            InputError: The folder is not a run.
        """
        folder = cls(path)
        if not folder.config.is_file():
            raise InputError(f"{path} is not a run folder, it has no config.yaml: kanfield runs lists them")
        return folder

    @classmethod
    def latest_unfinished(cls, out: Path) -> RunFolder:
        """The most recent run under ``out`` that is unfinished and not locked.

        Raises:
            InputError: There is none.
        """
        runs = [cls(config.parent) for config in out.glob("*/*-*/config.yaml")]
        unfinished = [run for run in runs if not run.metrics.exists() and not run.in_use]
        if not unfinished:
            raise InputError(f"--resume: no unfinished run under {out}; name the run folder or --out")
        return max(unfinished, key=lambda run: run.config.stat().st_mtime)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the folder for this process, so that no second fit resumes it.

        Does nothing where there are no locks: on Windows, and on some network file systems.

        Raises:
            InputError: Another process holds it.
        """
        # For writing, which is what an exclusive lock asks for on NFS.
        with open(self.config, "r+b" if os.access(self.config, os.W_OK) else "rb") as file:
            if fcntl is not None:
                # "kanfield runs" holds a lock for a moment to see whether a run is in use: try for longer.
                for attempt in range(_LOCK_TRIES):
                    if attempt:
                        time.sleep(_LOCK_PAUSE)
                    if _flock(file, fcntl.LOCK_EX):
                        break
                else:
                    raise InputError(f"{self.path} is in use by another fit: wait for it or stop it")
            yield

    @property
    def in_use(self) -> bool:
        """Whether a fit is running in the folder at this moment; False where there are no locks."""
        if fcntl is None:
            return False
        with open(self.config, "rb") as file:
            return not _flock(file, fcntl.LOCK_SH)  # shared: two that ask at once do not see each other

    def keep_inputs(self, settings: Settings, image: Image, file: Path | None) -> Settings:
        """Copy what a rerun needs into the folder and write ``config.yaml``.

        Args:
            settings: Resolved settings.
            image: What is fitted.
            file: Its file, or None where the image came from a program and has to be copied, with what is
                missing. A mask is always copied, because the user's may change.

        Returns:
            The settings, with the path of the mask's copy.
        """
        mask = read_mask(settings)
        if file is None or mask is None:
            missing = image.missing if file is None else None
        else:  # in its own size: values under it must not bleed when the image is resized
            missing = missing_pixels(mask, mask, str(settings.mask)).reshape(mask.height, mask.width)
        if missing is not None:
            write_image(self.path / _MASK, Image(missing[..., None].astype(np.uint8) * 255, "L"))
        settings = replace(settings, mask=None if missing is None else _MASK)
        name = f"input{image.suffix}"
        if file is None:
            write_image(self.path / name, image)
            settings = replace(settings, page=None, bands=None, nodata=None)  # the copy is of these
            if image.height * image.width > MAX_PIXELS:
                settings = replace(settings, max_pixels=image.height * image.width)
        self.write_config(settings, Path(name) if file is None else file.resolve())
        return self.read_config()[0]

    def write_config(self, settings: Settings, image: Path) -> None:
        """Write ``config.yaml``, which reruns the fit."""
        content = to_plain(settings, str(image))
        write_text(self.config, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def read_config(self) -> tuple[Settings, Path]:
        """Settings and image of the run.

        Raises:
            InputError: ``config.yaml`` is damaged or lacks a setting.
        """
        settings, image = read_settings(self.config)
        check(settings)
        if image is None or missing_keys(settings):
            names = ", ".join(missing_keys(settings)) or "image"
            raise InputError(
                f"{self.config} is not a run's own, it lacks {names}: start a run with "
                + command_line("kanfield", "fit", "IMAGE", "--config", self.config)
            )
        return settings, Path(image)

    def read_metrics(self) -> dict[str, Any]:
        """The content of ``metrics.json``.

        Raises:
            InputError: The run is unfinished, or the file is damaged.
        """
        try:
            return read_metrics_file(self.metrics)
        except FileNotFoundError:
            raise InputError(
                f"{self.path} is unfinished: go on with "
                + command_line("kanfield", "fit", "--resume", self.path)
            ) from None
        except ValueError:
            again = command_line("kanfield", "eval", self.path)
            raise InputError(f"{self.metrics} is damaged: {again} measures anew") from None


def _flock(file: BinaryIO, kind: int) -> bool:
    """Try to lock a file until it is closed; False where another has it, True where there are no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # ENOLCK, ENOSYS, ENOTSUP, EBADF and others, as the file system has it
        return True
    return True
