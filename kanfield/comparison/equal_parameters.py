"""Settings of one family whose field has as many parameters as another's."""

from __future__ import annotations

import dataclasses

from kanfield.config.settings import FIELD_SETTINGS, Settings
from kanfield.errors import InputError
from kanfield.fields import find_family
from kanfield.runs.run import make_field

TOLERANCE = 0.05
_HALVINGS = 40


def count_parameters(settings: Settings, channels: int) -> int:
    """Number of parameters of the field that resolved settings ask for."""
    return sum(p.numel() for p in make_field(settings, channels).parameters())


def match_parameters(settings: Settings, channels: int, wanted: int) -> Settings:
    """Resolved settings, resized so that the field has about ``wanted`` parameters.

    Args:
        channels: of the image.

    Raises:
        InputError: no size comes within 5 %.
    """
    low, high = 1e-4, 1e3  # times as many
    best = settings
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        tried = _resized(settings, middle)
        count = count_parameters(tried, channels)
        if abs(count - wanted) < abs(count_parameters(best, channels) - wanted):
            best = tried
        low, high = (middle, high) if count < wanted else (low, middle)
    count = count_parameters(best, channels)
    if abs(count - wanted) > TOLERANCE * wanted:
        raise InputError(
            f"--equal-parameters: {settings.model} has {count:,} parameters at the nearest, not {wanted:,}: "
            "leave it out, or give another first model"
        )
    return best


def _resized(settings: Settings, factor: float) -> Settings:
    own = {key: getattr(settings, key) for key in FIELD_SETTINGS if getattr(settings, key) is not None}
    options = find_family(settings.model).resize({**own, **(settings.options or {})}, factor)
    own = {key: options.pop(key) for key in FIELD_SETTINGS if key in options}
    return dataclasses.replace(settings, **own, options=options or None)
