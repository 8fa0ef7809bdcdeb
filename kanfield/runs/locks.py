"""Locks of files: they end with the process that holds them. Windows and some file systems have none."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kanfield.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_TRIES = 10
_PAUSE = 0.03  # seconds between tries


@contextlib.contextmanager
def locked(path: Path, refusal: str, shared: bool = False) -> Iterator[None]:
    """Lock a file for this process; does nothing where there are no locks.

    Args:
        path: The file, which nobody may replace meanwhile.
        refusal: What to say where another process holds a lock that excludes this one.
        shared: Whether others may hold such a lock too; if not, nobody else may hold any.

    Raises:
        InputError: Another process holds such a lock.
    """
    # For writing, which is what an exclusive lock asks for on NFS.
    with open(path, "r+b" if not shared and os.access(path, os.W_OK) else "rb") as file:
        if fcntl is not None:
            # "kanfield runs" holds a lock for a moment to see whether a run is in use: try for longer.
            for attempt in range(_TRIES):
                if attempt:
                    time.sleep(_PAUSE)
                if _flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
                    break
            else:
                raise InputError(refusal)
        yield


def is_locked(path: Path) -> bool:
    """Whether a process has locked a file for itself; False where there are no locks."""
    if fcntl is None:
        return False
    with open(path, "rb") as file:
        return not _flock(file, fcntl.LOCK_SH)  # shared: two that ask at once do not see each other


def _flock(file: BinaryIO, kind: int) -> bool:
    """Try to lock a file until it is closed; False where another has it, True where there are no locks."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # ENOLCK, ENOSYS, ENOTSUP, EBADF and others, as the file system has it
        return True
    return True
