"""The run folder of a tiled fit: ``tiles.json`` says how it is split; a tile that is done is a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kanfield.errors import InputError, RunFailed
from kanfield.files import remove_leftovers, write_json
from kanfield.images import Image
from kanfield.names import command_line
from kanfield.runs.checkpoint import blank_image, image_spec, is_whole
from kanfield.runs.folder import RunFolder
from kanfield.tiles.plan import Plan, Tile

FORMAT = 1
LEASE = 60.0  # seconds without a sign of life, after which a worker's tile is another's


@dataclass
class Split:
    """The content of ``tiles.json``.

    Attributes:
        plan: Where the tiles lie.
        like: A blank image of the picture's size and kind.
        checks: A checksum of the pixels of every tile, by its name.
        order: Names of all tiles, those with most to learn first.
        lease: Seconds after which the tile of a silent worker is given to another.
    """

    plan: Plan
    like: Image
    checks: Mapping[str, int]
    order: Sequence[str] = field(default_factory=list)
    lease: float = LEASE


class TiledFolder(RunFolder):
    """Paths of a tiled run; kanfield/tiles/README.md describes each file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.table = path / "tiles.csv"
        self.pixels = path / "pixels.npy"
        self.decoded = path / "decoded.tiff"
        self.missing = path / "missing.npy"
        self.tiles = path / "tiles"
        self.claims = path / "claims"
        self.deaths = path / "deaths"

    def make(self) -> None:
        """Make the folders of a new run."""
        for folder in (self.tiles, self.claims, self.deaths):
            folder.mkdir(exist_ok=True)

    def tile(self, tile: Tile) -> RunFolder:
        """The folder of a tile that is done."""
        return RunFolder(self.tiles / tile.name)

    def done(self) -> set[str]:
        """Names of the tiles that are done: a folder appears whole, by one rename."""
        return {name for name in os.listdir(self.tiles) if "." not in name}

    def work_folder(self, name: str, worker: str) -> RunFolder:
        """The folder of a tile that is being fitted, taken over from whoever began it.

        Taking it over renames it, so that whoever began it can write there no more.
        """
        mine = self.tiles / f"{name}.{worker}"
        for left in sorted(self.tiles.glob(f"{name}.*")):
            if mine.exists():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.rename(mine)
        folder = RunFolder(mine)
        folder.last.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(mine)
        return folder

    def damaged(self) -> Iterator[tuple[str, Path]]:
        """Tiles that are done but whose files are no longer whole: their names, and such a file."""
        for name in sorted(self.done()):
            tile = RunFolder(self.tiles / name)
            try:
                if not self.has_no_field(name) and not is_whole(tile.best):
                    yield name, tile.best
            except RunFailed:
                yield name, tile.metrics

    def has_no_field(self, name: str) -> bool:
        """Whether a tile has none: it is not done, or nothing is known of its pixels.

        Raises:
            RunFailed: It is done, and what was measured of it is damaged.
        """
        return not (self.tiles / name).is_dir() or self.tile_metrics(name)["parameters"] == 0

    def discard(self, name: str) -> None:
        """Make a tile one that is not done, and the run unfinished."""
        self.metrics.unlink(missing_ok=True)
        aside = self.tiles / f"{name}.damaged"
        (self.tiles / name).rename(aside)
        shutil.rmtree(aside)

    def publish(self, folder: RunFolder, name: str) -> None:
        """Make a work folder a done tile; where another was first, its result is the same and stays."""
        try:
            folder.path.rename(self.tiles / name)
        except OSError:
            if name not in self.done():
                raise
            shutil.rmtree(folder.path, ignore_errors=True)

    def write_split(self, split: Split) -> None:
        """Write ``tiles.json``."""
        content = {
            "format": FORMAT,
            "side": split.plan.side,
            "lease_seconds": split.lease,
            "image_spec": image_spec(split.like),
            "order": list(split.order),
            "checks": dict(split.checks),
        }
        write_json(self.split, content)

    def read_split(self) -> Split:
        """Read ``tiles.json``.

        Raises:
            InputError: It is damaged, or of another version.
        """
        try:
            content: Any = json.loads(self.split.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise InputError(
                    f"{self.split} has format {content['format']}, and this kanfield reads {FORMAT}: use the "
                    "kanfield that wrote it, or fit again"
                )
            like = blank_image(content["image_spec"], self.split)
            plan = Plan(like.height, like.width, int(content["side"]))
            split = Split(
                plan, like, dict(content["checks"]), list(content["order"]), float(content["lease_seconds"])
            )
            if sorted(split.order) != sorted(tile.name for tile in plan.tiles) or split.checks.keys() != set(
                split.order
            ):
                raise ValueError("tiles")
            return split
        except (ValueError, LookupError, TypeError, RecursionError, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.split} is damaged or missing: fit the picture again") from None

    def tile_metrics(self, name: str) -> dict[str, Any]:
        """What was measured of a tile that is done.

        Raises:
            RunFailed: The file is damaged.
        """
        path = self.tiles / name / "metrics.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            numbers = {
                "squared_error": float(content["squared_error"]),
                "parameters": int(content["parameters"]),
            }
            return {**content, **numbers}
        except (ValueError, LookupError, TypeError, OSError):
            raise RunFailed(f"{path} is damaged or missing: {self.fitting_again}") from None

    @property
    def fitting_again(self) -> str:
        """What to do about a tile of which a file is damaged or missing."""
        return f"{command_line('kanfield', 'fit', '--resume', self.path)} fits its tile again"
