"""What a comparison compares; kept in its folder, so that it can go on after an interruption."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from kanfield.config.checks import check, check_integers
from kanfield.config.parse import coerce_fields, read_settings
from kanfield.config.resolve import merge_flags
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.fields import find_family
from kanfield.files import find_moved, write_text
from kanfield.runs.locks import locked

MODELS = ("kan", "siren", "mlp", "rff", "hashgrid")
SECONDS = 20.0
# Of the formats that kanfield reads (kanfield/images/README.md); a file that is named may have any.
IMAGE_SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".webp", ".gif", ".bmp", ".dib"),
    *(".tif", ".tiff", ".btf", ".dng", ".lsm", ".pnm", ".ppm", ".pgm", ".pbm", ".pfm"),
    *(".exr", ".hdr", ".pic", ".rgbe", ".npy", ".dcm", ".dicom"),
    *(".avif", ".avifs", ".jxl", ".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"),
    *(".ico", ".icns", ".psd", ".tga", ".icb", ".vda", ".vst", ".pcx", ".qoi", ".dds", ".xbm"),
    *(".sgi", ".rgb", ".rgba", ".bw", ".ras"),
}
LABEL_FILE = "label.txt"  # in a run's folder: what its comparison calls the model
_FILE = "compare.yaml"
# The names of Settings that every fit of a comparison shares.
SHARED = (
    "seconds",
    "steps",
    "size",
    "held_out",
    "batch_size",
    "threads",
    "device",
    "precision",
    "max_pixels",
    "spectrum",
    "page",
    "bands",
    "nodata",
    "value_range",
    "tonemap",
)


@dataclass
class Plan:
    """A comparison: every model on every image with every seed.

    Attributes:
        images: files.
        models: names of families, or YAML files of settings.
        seeds: how many fits of every model, with the seeds 0, 1, ...
        seconds: the training time of a fit, or None.
        steps: the training steps of a fit, or None; one of the two is given.
        equal_parameters: whether every model gets as many parameters as the first, within 5 %.
        size: as in :class:`Settings`.
        held_out: as in :class:`Settings`.
        batch_size: as in :class:`Settings`.
        threads: as in :class:`Settings`.
        device: as in :class:`Settings`.
        precision: as in :class:`Settings`.
        max_pixels: as in :class:`Settings`.
        spectrum: as in :class:`Settings`.
        page: as in :class:`Settings`.
        bands: as in :class:`Settings`.
        nodata: as in :class:`Settings`.
        value_range: as in :class:`Settings`.
        tonemap: as in :class:`Settings`.
    """

    images: list[str]
    models: list[str]
    seeds: int = 1
    seconds: float | None = None
    steps: int | None = None
    equal_parameters: bool = False
    size: int | None = None
    held_out: str | None = None
    batch_size: int | None = None
    threads: int | None = None
    device: str | None = None
    precision: str | None = None
    max_pixels: int | None = None
    spectrum: bool | None = None
    page: int | None = None
    bands: list[str] | None = None
    nodata: float | None = None
    value_range: list[float] | None = None
    tonemap: str | None = None

    def labels(self) -> list[str]:
        """A name for every model: the family's, or the settings file's without its suffix."""
        return [Path(model).stem if _is_file(model) else model for model in self.models]

    def settings(self, model: str) -> Settings:
        """The settings of a model's fits, before the image is known."""
        base = read_settings(Path(model))[0] if _is_file(model) else Settings(model=model)
        # One field sees the whole image: what is compared is how much such a field can learn of it.
        base = dataclasses.replace(base, tiles=base.tiles or 1)
        return merge_flags(base, {key: getattr(self, key) for key in SHARED})

    def check(self) -> None:
        """Check everything that can be checked without reading an image.

        Raises:
            InputError: something cannot work; the option or file is named.
        """
        if not self.images:
            raise InputError("which images? kanfield compare IMAGE... or a folder of them")
        if not self.models:
            raise InputError("--models names none: give families such as kan siren, or files of settings")
        check_integers(self)
        if self.seeds < 1:
            raise InputError(f"--seeds {self.seeds} is impossible: give 1 or more")
        _require_distinct(self.labels(), "--models")
        _require_distinct((Path(image).stem for image in self.images), "two images of the name")
        for model in self.models:
            settings = self.settings(model)
            find_family(settings.model)
            check(settings)
            if settings.tiles != 1:
                raise InputError(
                    f"{model} asks for tiles of {settings.tiles} pixels, and compare fits single fields: "
                    "take tiles out of that file"
                )


def _is_file(model: str) -> bool:
    return model.endswith((".yaml", ".yml"))


def absolute(model: str) -> str:
    """A model of a plan, a settings file by its absolute path."""
    return str(Path(model).resolve()) if _is_file(model) else model


def _require_distinct(names: Iterable[str], what: str) -> None:
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f"{what} {name}: their runs could not be told apart, rename or leave out one")


def expand(images: Sequence[Path]) -> list[str]:
    """Absolute paths of image files.

    Args:
        images: files, and folders that stand for the images in them.

    Raises:
        InputError: a folder holds no images.
    """
    files: list[str] = []
    for path in images:
        found = [path]
        if path.is_dir():
            # Hidden files are companions that other systems leave, such as ._photo.png of a Mac.
            visible = (p for p in path.iterdir() if not p.name.startswith(".") and p.is_file())
            found = sorted(p for p in visible if p.suffix.lower() in IMAGE_SUFFIXES)
            if not found:
                raise InputError(f"{path} holds no images: give files, or a folder of them")
        for file in map(Path.resolve, found):
            if file.exists() and not file.is_file():
                raise InputError(
                    f"{file} can be read once, and every fit reads it: save the picture to a file"
                )
            files.append(str(file))
    return files


def write_plan(folder: Path, plan: Plan) -> None:
    """Keep a plan in the comparison's folder."""
    content = {key: value for key, value in dataclasses.asdict(plan).items() if value is not None}
    write_text(folder / _FILE, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def read_plan(folder: Path) -> Plan:
    """The plan that a comparison's folder holds.

    Raises:
        InputError: the folder holds none, or it is damaged.
    """
    path = folder / _FILE
    if not path.is_file():
        raise InputError(
            f"{folder} is no comparison, it has no {_FILE}: start one with kanfield compare IMAGE"
        )
    try:
        plan = coerce_fields(Plan, yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(
            f"{path} is damaged{reason}: correct it, or start the comparison anew in another folder"
        ) from None
    plan.images = [_present(image, folder) for image in plan.images]
    plan.models = [_present(model, folder) if _is_file(model) else model for model in plan.models]
    return plan


def _present(file: str, folder: Path) -> str:
    """Where a file of a plan is, if it moved together with the comparison's folder."""
    moved = None if os.path.isfile(file) else find_moved(Path(file), folder)
    return str(moved or file)


def lock_plan(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Lock a comparison for this process, so that no second one goes on with it.

    Raises:
        InputError: another process holds it.
    """
    return locked(folder / _FILE, f"{folder} is in use by another kanfield compare: wait for it or stop it")


def has_plan(folder: Path) -> bool:
    """Whether a folder holds a comparison."""
    return (folder / _FILE).is_file()
