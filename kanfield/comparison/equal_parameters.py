"""Settings of one family whose field has as many parameters as another's."""

from __future__ import annotations

import dataclasses

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.fields import field, find_family
from kanfield.runs.run import make_field

TOLERANCE = 0.05
_HALVINGS = 40


def count_parameters(settings: Settings, channels: int) -> int:
    """Count the parameters of the field that resolved settings ask for."""
    return field.count_parameters(make_field(settings, channels))


def match_parameters(settings: Settings, channels: int, wanted: int) -> Settings:
    """Resize the field of resolved settings to about ``wanted`` parameters.

    Args:
        settings: resolved ones.
        channels: of the image.
        wanted: number of parameters.

    Raises:
        InputError: no size comes within 5 %, or the family does not say how to resize it.
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
    resize = find_family(settings.model).resize
    if resize is None:
        raise InputError(
            f"--equal-parameters: {settings.model} does not say how to resize it; leave the option out, or "
            "give resize= where the family is registered"
        )
    return dataclasses.replace(settings, options=resize(settings.options or {}, factor))
