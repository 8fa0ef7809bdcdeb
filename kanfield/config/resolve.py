"""Settings with every gap filled. A flag beats the file, the file beats the preset."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from kanfield.config.checks import check, preset_of
from kanfield.config.image_stats import ImageStats
from kanfield.config.parse import coerce
from kanfield.config.presets import PRESET_KEYS, encoding_of, preset_settings
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.fields.registry import Family, find_family

_PRESET_FLAGS = "preset", "encoding", "parameters"  # another one replaces all that a preset decides


def resolve(settings: Settings, stats: ImageStats) -> Settings:
    """Fill every gap, by the KAN's preset or another family's own defaults.

    Args:
        settings: what was asked for.
        stats: of the image.

    Raises:
        InputError: as :func:`kanfield.config.checks.check`; or the family is unknown or has no such option.

    >>> stats = ImageStats(256, 256, seen=65536, channels=1)
    >>> resolve(Settings(encoding="directions"), stats).options["widths"]
    [64, 64, 64]
    >>> resolve(Settings(lossless=True), stats).preset
    'lossless'
    >>> resolve(Settings(model="siren"), stats).options["widths"]
    [128, 128, 128, 128]
    """
    check(settings)
    family = find_family(settings.model)
    preset = preset_of(settings)
    given = typed_options(family, settings.options or {})
    encoding = settings.encoding or encoding_of(given)
    if settings.model == "kan":
        chosen = preset_settings(preset, stats, encoding, settings.parameters, given)
    else:  # steps and batch are those of the KAN along directions
        chosen = preset_settings("smooth", stats, "directions")
        chosen |= {"options": _defaults(family), "encoding": None, "range_steps": 0, "smoothness": 0.0}
    if settings.model != "kan" or settings.optimizer not in (None, chosen["optimizer"]):
        recipe = family.recipe(settings.optimizer)
        adam_lr = recipe.lr if recipe.adam_lr is None else recipe.adam_lr
        chosen |= {"optimizer": recipe.optimizer, "lr": recipe.lr, "adam_lr": adam_lr}
    options = {**chosen.pop("options"), **given}
    if "widths" in given and "grids" not in given and isinstance(options.get("grids"), list):
        first, *_, hidden = options["grids"]
        options["grids"] = [first, *[hidden] * len(given["widths"])]
    if settings.seconds is not None or settings.phases is not None:
        del chosen["steps"]
    elif settings.batch_size is not None:  # the preset counts samples
        batch = min(settings.batch_size, stats.seen)
        chosen["steps"] = math.ceil(chosen["steps"] * chosen["batch_size"] / batch)
    gaps = {key: value for key, value in chosen.items() if getattr(settings, key) is None}
    filled = dataclasses.replace(settings, options=options, **gaps)
    if settings.model == "kan" and (found := encoding_of(options)) != filled.encoding:
        raise InputError(
            f"encoding: {filled.encoding} contradicts options: resolutions and num_directions make it {found}"
        )
    if settings.model == "kan":
        _check_extent(options, stats)
        filled.preset = preset
    if settings.lr is not None and settings.adam_lr is None:  # one --lr moves both rates in proportion
        filled.adam_lr = chosen["adam_lr"] * settings.lr / chosen["lr"]
    check(filled)
    return filled


def _check_extent(options: Mapping[str, Any], stats: ImageStats) -> None:
    """Beyond their extent grids know nothing: that of another image's run would blur the ends of this one."""
    extent = options.get("extent")
    on_grids = options.get("resolutions") or options.get("residual")
    if not on_grids or not extent or len(extent) != 2:
        return
    reach = [(side - 1) / stats.longest for side in (stats.width, stats.height)]
    if any(found < wanted - 1e-6 for found, wanted in zip(extent, reach, strict=True)):
        found, wanted = (", ".join(f"{end:.4g}" for end in ends) for ends in (extent, reach))
        raise InputError(
            f"options: extent {found} is short of this image, which reaches {wanted}: leave extent, "
            "resolutions and residual out, and the preset chooses them"
        )


def _defaults(family: Family) -> dict[str, Any]:
    """The family's options, as YAML writes them."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in family.options.items()}


def typed_options(family: Family, options: dict[str, Any]) -> dict[str, Any]:
    """Convert options to the types that the family's annotations name.

    Args:
        family: whose options they are.
        options: plain values by name.

    Raises:
        InputError: the family has no such option, or a value has the wrong type.

    >>> typed_options(find_family("siren"), {"omega_0": "1e1"})
    {'omega_0': 10.0}
    """
    if "precision" in options:
        raise InputError("options: precision is a setting of its own; give --precision")
    family.check(options)
    hints = family.hints
    return {
        name: coerce(value, hints[name], f"options: {name}") if name in hints else value
        for name, value in options.items()
    }


def missing_keys(settings: Settings) -> list[str]:
    """Keys that a run's own ``config.yaml`` must have and these settings lack."""
    # An encoding follows from the options; other families have none.
    keys = [key for key in PRESET_KEYS if key not in ("steps", "encoding") and getattr(settings, key) is None]
    budget = settings.steps is None and settings.seconds is None and settings.phases is None
    return [*keys, *(["steps"] if budget else [])]


def merge_flags(base: Settings, flags: dict[str, Any]) -> Settings:
    """Lay the flags that were given over settings.

    A budget given as a flag replaces the file's, ``lr`` moves ``adam_lr`` in proportion, another optimiser
    drops the rates of the one before, and a preset or another model replaces all that either decides.

    Args:
        base: settings of a file, or the defaults.
        flags: values by the names of :class:`Settings`; None for those not given.
    """
    flags = {key: value for key, value in flags.items() if value is not None}
    nothing: dict[str, Any] = dict.fromkeys(PRESET_KEYS)
    if any(flags.get(key, getattr(base, key)) != getattr(base, key) for key in _PRESET_FLAGS):
        base = dataclasses.replace(base, **nothing)
    if flags.get("model", base.model) != base.model:
        base = dataclasses.replace(base, **nothing, preset=None, parameters=None)
    if "options" in flags:
        flags["options"] = {**(base.options or {}), **flags["options"]}
    if "steps" in flags or "seconds" in flags:
        base = dataclasses.replace(base, steps=None, seconds=None)
    if "optimizer" in flags and flags["optimizer"] != (base.optimizer or _usual_optimizer(base.model)):
        base = dataclasses.replace(base, lr=None, adam_lr=None)
    if "lr" in flags and base.lr and base.adam_lr:
        base = dataclasses.replace(base, adam_lr=base.adam_lr * flags["lr"] / base.lr)
    return dataclasses.replace(base, **flags)


def _usual_optimizer(model: str) -> str:
    return find_family(model).recipe().optimizer
