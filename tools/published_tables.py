"""The tables of ``published.py``: which pictures are fitted how, with what budget."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

from published_figures import CLASSIC

from kanfield.config.image_stats import ImageStats
from kanfield.config.parse import settings_from
from kanfield.config.presets import PRESET_KEYS
from kanfield.config.resolve import resolve


@dataclass(frozen=True)
class Table:
    """Pictures, and how they are fitted.

    Attributes:
        title: for people.
        folder: of the pictures.
        pictures: their names without suffix.
        shape: width, height and channels of the usual picture.
        settings: of the fits, without a budget.
        seconds: the budget of a fit; None for the preset's own.
        choosing: so many pictures, the first ones, were used to choose the presets.
        halved: whether pictures are cropped to a square and halved first.
        note: what a reader has to know to compare.
    """

    title: str
    folder: str
    pictures: tuple[str, ...]
    shape: tuple[int, int, int]
    settings: dict[str, Any]
    seconds: float | None = None
    choosing: int = 0
    halved: bool = False
    note: str = ""

    @property
    def values(self) -> int:
        """Pixels times channels of the usual picture."""
        return math.prod(self.shape)

    def asked(self, steps: int | None, seconds: float | None, threads: int | None) -> str:
        """Settings of a fit as the CSV file has them.

        Args:
            steps: of a fit, or None.
            seconds: of a fit; None for those of the table where no steps are given either.
            threads: of the CPU; None for torch's choice.
        """
        if steps is None and seconds is None:
            seconds = self.seconds
        given = {**self.settings, "steps": steps, "seconds": seconds, "threads": threads}
        return json.dumps({key: value for key, value in given.items() if value is not None}, sort_keys=True)

    def resolved_hash(self, settings: str) -> str:
        """What the presets make of settings for the usual picture, as a short hash.

        It tells fits apart whose presets have changed since.

        Args:
            settings: as :meth:`asked` gives them.
        """
        return _resolved_hash(self.shape, settings)


@functools.lru_cache(maxsize=256)
def _resolved_hash(shape: tuple[int, int, int], text: str) -> str:
    settings, (width, height, channels) = settings_from(json.loads(text)), shape
    seen = width * height // (2 if settings.held_out else 1)
    resolved = resolve(settings, ImageStats(width, height, seen, channels))
    decided = {key: getattr(resolved, key) for key in PRESET_KEYS}
    return hashlib.sha256(json.dumps(decided, sort_keys=True).encode()).hexdigest()[:10]


def _kodak(parameters: int, seconds: float) -> Table:
    return Table(
        f"Kodak, 24 pictures of 768 x 512, at most {parameters:,} parameters",
        **_KODAK,
        shape=(768, 512, 3),
        settings={"preset": "compact", "encoding": "grid", "parameters": parameters},
        seconds=seconds,
        note="Published means are over all 24 pictures.",
    )


def _div2k(parameters: int) -> Table:
    return Table(
        f"DIV2K, 16 crops of 512 x 512, at most {parameters:,} parameters",
        **_DIV2K,
        shape=(512, 512, 3),
        settings={"preset": "compact", "encoding": "grid", "parameters": parameters},
        seconds=120.0,
        note="Published means are over all 16 pictures, unless the row says one. FINER's authors fit them in "
        "5,000 steps of all pixels.",
    )


def _exact(name: str, pictures: dict[str, Any], note: str = "") -> Table:
    return Table(
        f"{name}, cropped to a square and halved to 256 x 256, until every pixel is exact",
        **pictures,
        shape=(256, 256, 3),
        settings={"preset": "lossless", "lossless": True},
        seconds=10.0,
        halved=True,
        note="Published means are over all their pictures; those fields have 5 hidden layers of 512, about "
        f"1.05 to 1.3 million parameters, 5.4 to 6.7 p/v. PSNR is that of the 8-bit picture.{note}",
    )


_KODAK: dict[str, Any] = {
    "folder": "kodak",
    "pictures": tuple(f"kodim{number:02d}" for number in range(1, 25)),
    "choosing": 8,
}
_DIV2K: dict[str, Any] = {
    "folder": "div2k512",
    "pictures": tuple(f"{number:02d}" for number in range(16)),
    "choosing": 4,
}

TABLES = {
    "kodak-205k": _kodak(205_128, 120.0),
    "kodak-341k": _kodak(341_000, 240.0),
    "kodak-471k": _kodak(471_000, 300.0),
    "div2k-199k": _div2k(199_000),
    "div2k-330k": _div2k(330_000),
    "kodak-256": _exact("Kodak", _KODAK),
    "div2k-256": _exact("DIV2K", _DIV2K, " Their pictures of DIV2K need not be these crops."),
    "classic": Table(
        "Classic pictures, half of the pixels missing at random",
        folder="classic",
        pictures=tuple(CLASSIC),
        shape=(512, 512, 1),
        settings={"held_out": "0.5"},
        note="Unseen is PSNR on the missing pixels alone, whole counts the field's values at the others too; "
        "the published figures may be either, and other pixels are missing there.",
    ),
}
