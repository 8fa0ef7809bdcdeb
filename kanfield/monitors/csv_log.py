"""``metrics.csv``, and any CSV file that grows while a run goes on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from kanfield.errors import InputError
from kanfield.files import replacing
from kanfield.images import Image
from kanfield.monitors.base import Row


class CsvAppender:
    """A CSV file with a column ``step``. When a run is resumed, rows past its checkpoint are removed.

    Args:
        path: The file.
        names: Columns.
        resumed_at: Step of the checkpoint, or None for a new run.

    Raises:
        InputError: The file of a resumed run is damaged.
    """

    def __init__(self, path: Path, names: Sequence[str], resumed_at: int | None) -> None:
        kept: list[dict[str, str]] = []
        if resumed_at is not None and path.is_file():
            kept = _read_rows(path, names, resumed_at)
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(kept)
        self._file = open(path, "a", newline="", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._writer = csv.DictWriter(self._file, names)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append a row, which can be read at once."""
        self._writer.writerow(row)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _read_rows(path: Path, names: Sequence[str], last: int) -> list[dict[str, str]]:
    """Rows up to a step. One that was cut off with its process, at the end, is left out."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            text = file.read()
        reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""))
        rows = list(reader)
        if rows and reader.fieldnames != list(names):
            raise ValueError("other columns")
        if any(None in row or None in row.values() or not row["step"].isdecimal() for row in rows):
            raise ValueError("a row of another kind")
        return [row for row in rows if int(row["step"]) <= last]
    except (ValueError, csv.Error):
        raise InputError(f"{path} is damaged: move it away, and the run goes on with a new one") from None


class CsvLog:
    """``metrics.csv``: one row per log step.

    Args:
        path: The file.
        resumed_at: Step of the checkpoint, or None for a new run.
    """

    def __init__(self, path: Path, resumed_at: int | None) -> None:
        self._table = CsvAppender(path, [field.name for field in fields(Row)], resumed_at)

    def log(self, row: Row) -> None:
        """Append the row."""
        self._table.write(asdict(row))

    def picture(self, step: int, image: Image) -> None:
        """Do nothing: a table holds no pictures."""

    def close(self) -> None:
        """Close the file."""
        self._table.close()
