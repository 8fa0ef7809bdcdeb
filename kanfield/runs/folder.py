"""The run folder: its place, the names of its files, its locks, and which runs are unfinished."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

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
from kanfield.runs.locks import is_locked, locked
from kanfield.runs.metrics_file import read_metrics_file

_MASK = "mask.png"


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
        self.split = path / "tiles.json"  # of a run of tiles alone

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
        unfinished = []
        for config in out.glob("*/*-*/config.yaml"):
            run = cls(config.parent)
            with contextlib.suppress(OSError):  # somebody else's, or one that was removed just now
                if not run.metrics.exists() and not run.in_use:
                    unfinished.append((config.stat().st_mtime, run))
        if not unfinished:
            raise InputError(f"--resume: no unfinished run under {out}; name the run folder or --out")
        return max(unfinished, key=lambda entry: entry[0])[1]

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Lock the folder for this process, so that no second fit resumes it.

        Raises:
            InputError: Another process holds it.
        """
        return locked(self.config, f"{self.path} is in use by another fit: wait for it or stop it")

    @property
    def in_use(self) -> bool:
        """Whether a fit is running in the folder at this moment; False where there are no locks."""
        return is_locked(self.config)

    def at_work(self) -> contextlib.AbstractContextManager[None]:
        """Lock a run of tiles for this worker and others, so that nobody removes it.

        Raises:
            InputError: A process that removes it holds it.
        """
        return locked(self.split, f"{self.path} is being removed: fit the picture again", shared=True)

    def without_workers(self) -> contextlib.AbstractContextManager[None]:
        """Keep workers out of the folder, where it is of tiles.

        Raises:
            InputError: One is at work.
        """
        if not self.split.is_file():
            return contextlib.nullcontext()
        return locked(self.split, f"{self.path} is in use by kanfield work: wait for it or stop it")

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
