"""The run folder of a tiled fit: ``tiles.json`` says how it is split; a tile that is done is a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kanfield.errors import InputError, RunFailed
from kanfield.files import write_json
from kanfield.images import Image
from kanfield.names import command_line
from kanfield.runs.checkpoint import blank_image, image_spec
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
        self.split = path / "tiles.json"
        self.table = path / "tiles.csv"
        self.pixels = path / "pixels.npy"
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
        return folder

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
            return {**content, "squared_error": float(content["squared_error"])}
        except (ValueError, LookupError, TypeError, OSError):
            again = command_line("kanfield", "fit", "--resume", self.path)
            raise RunFailed(f"{path} is damaged: remove the tile's folder, then {again}") from None
