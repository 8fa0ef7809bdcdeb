"""Settings of a fit: one schema for flags, configuration files and the run's own ``config.yaml``.

A flag beats the file, the file beats the preset. Knows nothing of torch, so the command line can show its
help at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from kanfield.errors import InputError
from kanfield.fields.registry import Family, find_family
from kanfield.training.checks import check, preset_of
from kanfield.training.presets import DECIDED, Scale, preset_settings
from kanfield.training.typed import typed

Levels = int | list[int]
# The settings that a family may take when it is built; what else it takes stands in ``options``.
FIELD_SETTINGS = ("widths", "grids", "order", "noise", "frequency", "directions")


@dataclass
class Phase:
    """A stretch of training at one rate, with a fresh optimiser: ``{steps: 5000, lr: 0.001}``."""

    steps: int
    lr: float


@dataclass
class Settings:
    """What a fit can be told. None leaves the choice to the preset, or switches a thing off."""

    model: str = "kan"
    preset: str | None = None
    size: int | None = None
    max_pixels: int | None = None
    held_out: str | None = None
    mask: str | None = None
    widths: list[int] | None = None
    grids: list[Levels] | None = None
    order: int | None = None
    noise: float | None = None
    frequency: float | None = None
    directions: int | None = None
    options: dict[str, Any] | None = None
    steps: int | None = None
    seconds: float | None = None
    phases: list[Phase] | None = None
    target_psnr: float | None = None
    lossless: bool = False
    batch_size: int | None = None
    optimizer: Literal["muon", "adam"] | None = None
    lr: float | None = None
    adam_lr: float | None = None
    range_steps: int | None = None
    smoothness: float | None = None
    seed: int = 0
    threads: int | None = None
    device: str = "auto"
    precision: Literal["fp32", "fp64", "tf32x3", "tf32", "bf16"] = "fp32"
    compile: bool = False
    checkpoint_seconds: float = 10.0
    timelapse: bool = False
    spectrum: bool = False


def resolve(settings: Settings, scale: Scale) -> Settings:
    """The settings with every gap filled, by the KAN's preset or another family's own choice.

    Raises:
        InputError: as :func:`check`; or the family is unknown or has no such setting.

    >>> scale = Scale(longest=256, pixels=65536, seen=65536, channels=1)
    >>> resolve(Settings(), scale).widths
    [64, 64, 64]
    >>> resolve(Settings(lossless=True), scale).preset
    'lossless'
    >>> resolve(Settings(model="siren"), scale).widths
    [128, 128, 128, 128]
    """
    check(settings)
    chosen = preset_settings(preset_of(settings), scale)
    filled = settings
    if settings.model == "kan":
        filled = dataclasses.replace(settings, preset=preset_of(settings))
        if settings.options:
            typed_options(find_family("kan"), settings.options)
    else:
        chosen = _family_settings(settings, chosen)
        filled = dataclasses.replace(settings, options=chosen.pop("options"))
    if settings.widths is not None and settings.grids is None and "grids" in chosen:
        first, *_, hidden = chosen["grids"]
        filled = dataclasses.replace(filled, grids=[first, *[hidden] * len(settings.widths)])
    if settings.seconds is not None or settings.phases is not None:
        del chosen["steps"]
    elif settings.batch_size is not None:  # the preset counts samples
        chosen["steps"] = math.ceil(
            chosen["steps"] * chosen["batch_size"] / min(settings.batch_size, scale.seen)
        )
    gaps = {key: value for key, value in chosen.items() if getattr(filled, key) is None}
    filled = dataclasses.replace(filled, **gaps)
    if settings.lr is not None and settings.adam_lr is None and filled.optimizer == "muon":
        # One --lr moves both rates, in the proportion of the preset.
        filled.adam_lr = chosen["adam_lr"] * settings.lr / chosen["lr"]
    check(filled)
    return filled


def _family_settings(settings: Settings, budget: dict[str, Any]) -> dict[str, Any]:
    """What a family other than the KAN chooses; steps and batch are those of the KAN's preset."""
    family = find_family(settings.model)
    given = {key: getattr(settings, key) for key in FIELD_SETTINGS if getattr(settings, key) is not None}
    family.check(given, f"--model {family.name}")
    options = family.options
    own = {key: options.pop(key) for key in FIELD_SETTINGS if key in options}
    recipe = family.recipe(settings.optimizer)
    return {
        **{key: list(value) if isinstance(value, tuple) else value for key, value in own.items()},
        "options": {**options, **typed_options(family, settings.options or {})},
        "steps": budget["steps"],
        "batch_size": budget["batch_size"],
        "optimizer": recipe.optimizer,
        "lr": recipe.lr,
        "adam_lr": recipe.lr if recipe.adam_lr is None else recipe.adam_lr,
        "range_steps": 0,
        "smoothness": 0.0,
    }


def typed_options(family: Family, options: dict[str, Any]) -> dict[str, Any]:
    """Options with the types that the family's annotations name.

    Raises:
        InputError: the family has no such option, or a value has the wrong type.

    >>> typed_options(find_family("siren"), {"omega_0": "1e1"})
    {'omega_0': 10.0}
    """
    family.check(options, f"--model {family.name}")
    for name in options:
        if name in (*FIELD_SETTINGS, "precision"):
            raise InputError(f"options: {name} is a setting of its own; give --{name}")
    plain = (int, float, str, bool)
    return {
        name: typed(value, hint, f"options: {name}") if (hint := family.hints.get(name)) in plain else value
        for name, value in options.items()
    }


def read_settings(path: Path) -> tuple[Settings, str | None]:
    """Settings from a YAML file, and the image it names (None for none).

    Raises:
        InputError: the file cannot be read, a key is unknown (the nearest one is named) or a value has the
            wrong type.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}): give a YAML file of settings") from None
    except (yaml.YAMLError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" at line {line + 1}"
        raise InputError(f"{path} is not YAML{where}: one 'key: value' a line") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings: one 'key: value' a line")
    for key in ("image", "mask"):  # paths are meant from the file's folder, where there is such a file
        if content.get(key) is not None and (path.parent / str(content[key])).exists():
            content[key] = str(path.parent / str(content[key]))
    image = content.pop("image", None)
    return settings_from(content, f"{path}: "), None if image is None else str(image)


def settings_from(content: dict[str, Any], prefix: str = "") -> Settings:
    """Settings from plain keys and values; errors begin with ``prefix`` and the key.

    >>> settings_from({"steps": 100, "lr": 1e-3}).steps
    100
    """
    hints = typing.get_type_hints(Settings)
    for key in content:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else f"; known keys: {', '.join(hints)}"
            raise InputError(f"{prefix}unknown key '{key}'{hint}")
    values = {key: typed(value, hints[key], f"{prefix}{key}") for key, value in content.items()}
    return Settings(**values)


def lacking(settings: Settings) -> list[str]:
    """What a run's own settings would hold and these do not.

    Runs of older versions do not hold ``directions`` and ``smoothness``: they have none.
    """
    decided = DECIDED if settings.model == "kan" else ("batch_size", "optimizer", "lr", "adam_lr")
    return [
        key
        for key in decided
        if key not in ("steps", "directions", "smoothness") and getattr(settings, key) is None
    ]


def to_plain(settings: Settings, image: str) -> dict[str, Any]:
    """Plain keys and values that :func:`read_settings` reads back, without those that are off."""
    content = {"image": image, **dataclasses.asdict(settings)}
    return {key: value for key, value in content.items() if value is not None}


def overlay(base: Settings, flags: dict[str, Any]) -> Settings:
    """``base`` with the flags that were given.

    A budget given as a flag replaces the file's, ``lr`` moves ``adam_lr`` in proportion, and a preset or
    another model replaces all that either decides.
    """
    flags = {key: value for key, value in flags.items() if value is not None}
    nothing: dict[str, Any] = dict.fromkeys(DECIDED)
    if flags.get("preset", base.preset) != base.preset:
        base = dataclasses.replace(base, **nothing)
    if flags.get("model", base.model) != base.model:
        base = dataclasses.replace(base, **nothing, preset=None, options=None)
    if "options" in flags:
        flags["options"] = {**(base.options or {}), **flags["options"]}
    if "steps" in flags or "seconds" in flags:
        base = dataclasses.replace(base, steps=None, seconds=None)
    if "lr" in flags and base.lr and base.adam_lr:
        base = dataclasses.replace(base, adam_lr=base.adam_lr * flags["lr"] / base.lr)
    return dataclasses.replace(base, **flags)
