"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path that replaces ``path`` when the block succeeds.

    The new file and its name are flushed to disk, so that they outlast a power cut. On any error the old
    file stays as it was and the temporary one is removed. Its name is hidden, ends in ``.tmp`` and is unique
    to the call.

    Args:
        path: The file to replace or to make.

    Yields:
        A path in the same folder, where no file is yet.

    Raises:
        OSError: The block wrote no file, or it cannot be moved into its place.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "a.txt"
    ...     with replacing(target) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     target.read_text()
    'whole'
    """
    # A part of the name: with more, one near the file system's limit would be too long.
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with open(temporary, "r+b") as file:  # Windows flushes only what is open for writing
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _flush_folder(path.parent)
    finally:
        # Already moved after a good write; it must not hide the error of a bad one.
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_leftovers(folder: Path, below: bool = True) -> None:
    """Remove what :func:`replacing` left half-written in a process that was killed.

    Args:
        folder: Where nobody else writes now.
        below: Whether its folders are meant too.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / ".a.txt.0a1b.tmp").write_text("ha")
    ...     remove_leftovers(Path(folder))
    ...     list(Path(folder).iterdir())
    []
    """
    for path in (folder.rglob if below else folder.glob)(".*.tmp"):
        path.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where the system can do that (Windows cannot)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; what is not Unicode is escaped.

    Args:
        path: The file.
        text: Its content.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Write strict JSON, whole or not at all.

    Args:
        path: The file.
        content: Plain values: dicts, lists, strings, numbers, booleans, None.

    Raises:
        ValueError: A number is NaN or infinite, which JSON cannot hold.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def find_moved(path: Path, folder: Path) -> Path | None:
    """Find a file that moved together with a folder: in it or above it, with as much of its path as fits.

    Args:
        path: Where the file was.
        folder: Which names it, and where it is now.

    Returns:
        The file nearest to the folder, or None.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as project:
    ...     (Path(project) / "pictures").mkdir()
    ...     _ = (Path(project) / "pictures/a.png").write_bytes(b"")
    ...     run = Path(project) / "runs/a/kan-0001"
    ...     str(find_moved(Path("/before/pictures/a.png"), run).relative_to(project))
    'pictures/a.png'
    """
    parts = path.parts[1:] if path.is_absolute() else path.parts
    tails = [Path(*parts[number:]) for number in range(len(parts))]
    folder = folder.resolve()
    candidates = (parent / tail for parent in (folder, *folder.parents) for tail in tails)
    return next((file for file in candidates if os.path.isfile(file)), None)


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
