"""Files that are whole or not there at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place, flushed to disk, when the block succeeds.

    On any error the old file stays as it was and the temporary one goes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "a.txt"
    ...     with replacing(target) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     target.read_text()
    'whole'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        # Gone after a good write; it must not hide the error of a bad one.
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON (a NaN or an infinity raises ValueError), whole or not at all."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def make_numbered_folder(parent: Path, name: str = "") -> Path:
    """Make the folder ``parent/name-NNNN``, one above the highest number there is.

    Two processes never get the same folder: making it is what claims the number.

    Args:
        parent: Folder for the new one, made if it is missing.
        name: What goes before the number; without a name the folder is ``parent/NNNN``.

    Returns:
        The new, empty folder.

    Raises:
        OSError: The folder cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [make_numbered_folder(Path(folder), "kan").name for _ in range(2)]
    ['kan-0001', 'kan-0002']
    """
    prefix = f"{name}-" if name else ""
    parent.mkdir(parents=True, exist_ok=True)
    numbered = re.compile(rf"{re.escape(prefix)}(\d+)")
    taken = [int(match[1]) for path in parent.iterdir() if (match := numbered.fullmatch(path.name))]
    number = max(taken, default=0) + 1
    while True:
        path = parent / f"{prefix}{number:04d}"
        try:
            path.mkdir()
            return path
        except FileExistsError:
            number += 1
