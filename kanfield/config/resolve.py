"""Settings with every gap filled. A flag beats the file, the file beats the preset."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from kanfield.config.checks import check, preset_of
from kanfield.config.parse import coerce
from kanfield.config.presets import PRESET_KEYS, ImageStats, preset_settings
from kanfield.config.settings import FIELD_SETTINGS, Settings
from kanfield.errors import InputError
from kanfield.fields.registry import Family, find_family


def resolve(settings: Settings, scale: ImageStats) -> Settings:
    """The settings with every gap filled, by the KAN's preset or another family's own choice.

    Raises:
        InputError: as :func:`check`; or the family is unknown or has no such setting.

    >>> scale = ImageStats(longest=256, pixels=65536, seen=65536, channels=1)
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
        name: coerce(value, hint, f"options: {name}") if (hint := family.hints.get(name)) in plain else value
        for name, value in options.items()
    }


def missing_keys(settings: Settings) -> list[str]:
    """What a run's own settings would hold and these do not.

    Runs of older versions do not hold ``directions`` and ``smoothness``: they have none.
    """
    decided = PRESET_KEYS if settings.model == "kan" else ("batch_size", "optimizer", "lr", "adam_lr")
    return [
        key
        for key in decided
        if key not in ("steps", "directions", "smoothness") and getattr(settings, key) is None
    ]


def merge_flags(base: Settings, flags: dict[str, Any]) -> Settings:
    """``base`` with the flags that were given.

    A budget given as a flag replaces the file's, ``lr`` moves ``adam_lr`` in proportion, and a preset or
    another model replaces all that either decides.
    """
    flags = {key: value for key, value in flags.items() if value is not None}
    nothing: dict[str, Any] = dict.fromkeys(PRESET_KEYS)
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
