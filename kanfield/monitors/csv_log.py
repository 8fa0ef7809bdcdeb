"""``metrics.csv``, and any CSV file that grows while a run goes on."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kanfield.files import replacing
from kanfield.images import Image
from kanfield.monitors.base import Row

if TYPE_CHECKING:
    pass


class CsvAppender:
    """A table with a column ``step``. When a run is resumed, rows past its checkpoint go.

    Args:
        path: of the file. names: of the columns. resumed_at: step of the checkpoint, or None.
    """

    def __init__(self, path: Path, names: Sequence[str], resumed_at: int | None) -> None:
        kept: list[dict[str, str]] = []
        if resumed_at is not None and path.is_file():
            with open(path, newline="", encoding="utf-8") as file:
                kept = [r for r in csv.DictReader(file) if (r["step"] or "").isdigit()]
                kept = [r for r in kept if int(r["step"]) <= resumed_at and None not in r.values()]
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(kept)
        self._file = open(path, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._writer = csv.DictWriter(self._file, names)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row; line-buffered, so that it is there to read at once."""
        self._writer.writerow(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class CsvLog:
    """``metrics.csv``: a row a log step."""

    def __init__(self, path: Path, resumed_at: int | None) -> None:
        self._table = CsvAppender(path, [field.name for field in fields(Row)], resumed_at)

    def log(self, row: Row) -> None:
        """Append the row."""
        self._table.write(asdict(row))

    def picture(self, step: int, image: Image) -> None:
        """Pictures do not fit a table."""

    def close(self) -> None:
        """Close the file."""
        self._table.close()
