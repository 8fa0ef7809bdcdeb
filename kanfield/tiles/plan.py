"""Where the tiles of a picture lie: cores that cover it, and the frame that each field is trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from kanfield.config.presets import encoding_of
from kanfield.config.settings import Settings
from kanfield.errors import InputError

# Pixels above which a picture is split unless --tiles says otherwise: for KANs on grids, and for fields of
# which one is better or quicker than many.
FROM, OTHERS_FROM = 1 << 20, 1 << 22
SIDE = 512  # pixels of a core, at most, where it is split without being told how
_OF_ONE_FIELD = "spectrum", "timelapse"  # settings
_LEAST_OVERLAP, _OVERLAP_SHARE = 4, 32  # pixels to either side of a border; of the side, one in so many


@dataclass(frozen=True)
class Axis:
    """One axis of a picture, in equal parts that reach ``overlap`` pixels over their borders.

    Attributes:
        length: Pixels of the picture.
        count: Parts.
        overlap: Pixels to either side of an inner border in which two parts are blended.

    >>> axis = Axis(100, 3, 4)
    >>> axis.borders, axis.frame, [axis.start(number) for number in range(3)]
    ((0, 33, 67, 100), 42, [0, 29, 58])
    """

    length: int
    count: int
    overlap: int

    @cached_property
    def borders(self) -> tuple[int, ...]:
        """Where parts begin and end; sizes differ by a pixel at most, so that none is left with a few."""
        return tuple(
            (2 * number * self.length + self.count) // (2 * self.count) for number in range(self.count + 1)
        )

    @cached_property
    def frame(self) -> int:
        """Pixels that every part's field sees: the largest part and its overlaps."""
        largest = max(b - a for a, b in zip(self.borders, self.borders[1:], strict=False))
        return min(self.length, largest + 2 * self.overlap)

    def start(self, number: int) -> int:
        """The first pixel of a part's frame; at the ends of the picture it reaches further in instead."""
        return min(max(self.borders[number] - self.overlap, 0), self.length - self.frame)


@dataclass(frozen=True)
class Tile:
    """A tile of a plan: its number down, and its number across.

    >>> Tile(3, 12).name
    '0003-0012'
    """

    row: int
    column: int

    @classmethod
    def named(cls, name: str) -> Tile:
        """The tile of a name.

        >>> Tile.named("0003-0012")
        Tile(row=3, column=12)
        """
        row, _, column = name.partition("-")
        return cls(int(row), int(column))

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.row:04d}-{self.column:04d}"


@dataclass(frozen=True)
class Plan:
    """How a picture is split.

    Attributes:
        height: Pixel rows of the picture.
        width: Pixel columns.
        side: Pixels of a tile's core, at most.

    >>> plan = Plan(80, 96, 32)
    >>> len(plan.tiles), plan.frame, plan.core(Tile(0, 1)), plan.window(Tile(0, 1))
    (9, (35, 40), (slice(0, 27, None), slice(32, 64, None)), (slice(0, 35, None), slice(28, 68, None)))
    """

    height: int
    width: int
    side: int

    @property
    def overlap(self) -> int:
        """Pixels to either side of a border in which tiles are blended."""
        return max(_LEAST_OVERLAP, self.side // _OVERLAP_SHARE)

    @cached_property
    def rows(self) -> Axis:
        """The axis down."""
        return Axis(self.height, math.ceil(self.height / self.side), self.overlap)

    @cached_property
    def columns(self) -> Axis:
        """The axis across."""
        return Axis(self.width, math.ceil(self.width / self.side), self.overlap)

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles, row by row."""
        return tuple(Tile(r, c) for r in range(self.rows.count) for c in range(self.columns.count))

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns that every tile's field sees."""
        return self.rows.frame, self.columns.frame

    def core(self, tile: Tile) -> tuple[slice, slice]:
        """Rows and columns that are the tile's own: the cores of all tiles cover the picture once."""
        (top, bottom), (left, right) = (
            axis.borders[number : number + 2]
            for axis, number in ((self.rows, tile.row), (self.columns, tile.column))
        )
        return slice(top, bottom), slice(left, right)

    def window(self, tile: Tile) -> tuple[slice, slice]:
        """Rows and columns that the tile's field is trained on."""
        top, left = self.rows.start(tile.row), self.columns.start(tile.column)
        height, width = self.frame
        return slice(top, top + height), slice(left, left + width)


def plan_for(settings: Settings, height: int, width: int) -> Plan | None:
    """The plan that ``--tiles`` asks for; None for one field.

    Args:
        settings: Of these ``tiles``: None splits pictures of over :data:`FROM` pixels, or
            :data:`OTHERS_FROM`, into tiles of :data:`SIDE`; 1 never splits, any other number is the side
            of a tile.
        height: Pixel rows of the picture.
        width: Pixel columns.

    Raises:
        InputError: A setting cannot be had with tiles.

    >>> plan_for(Settings(), 1000, 1000), plan_for(Settings(), 8000, 8000).frame
    (None, (532, 532))
    """
    side = settings.tiles
    if side is None:
        side = SIDE if height * width > _splits_from(settings) else 1
    if side == 1 or max(height, width) <= side:
        return None
    for name in _OF_ONE_FIELD:
        if getattr(settings, name):
            raise InputError(
                f"--{name} is of one field, and {width} x {height} pixels are split into many: add --tiles 1"
            )
    return Plan(height, width, side)


def _splits_from(settings: Settings) -> int:
    options = settings.options or {}
    on_grids = (settings.encoding or encoding_of(options) or "grid") in ("grid", "both")
    few = settings.preset == "compact" or settings.parameters is not None
    whole = "resolutions" in options or any(getattr(settings, name) for name in _OF_ONE_FIELD)
    return FROM if settings.model == "kan" and on_grids and not few and not whole else OTHERS_FROM
