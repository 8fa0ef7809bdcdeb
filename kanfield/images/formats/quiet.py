"""Silence for libraries that decode TIFF and OpenEXR: whatever matters is raised, not printed."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO

_lock = threading.Lock()
_quiet_threads: set[int] = set()  # inside `quiet_native`
_saved_stderr: int | None = None


@contextlib.contextmanager
def quiet_tifffile() -> Iterator[None]:
    """Drop what tifffile logs in this thread; its logger and other threads are left as they are.

    >>> with quiet_tifffile():
    ...     logging.getLogger("tifffile").error("damaged")
    """
    logger, thread = logging.getLogger("tifffile"), threading.get_ident()

    def is_from_elsewhere(record: logging.LogRecord) -> bool:
        return threading.get_ident() != thread

    # New lists instead of changed ones: another thread may be going through the old one.
    with _lock:
        logger.filters = [*logger.filters, is_from_elsewhere]
    try:
        yield
    finally:
        with _lock:
            logger.filters = [one for one in logger.filters if one is not is_from_elsewhere]


@contextlib.contextmanager
def quiet_native() -> Iterator[None]:
    """Drop what OpenEXR and Pillow's libtiff print: on standard error from C, on ``sys.stdout`` from Python.

    Standard error is redirected for the whole process, so use this for as short a time as possible. Blocks
    may overlap in several threads, and the last one to end restores everything; they cannot be nested in one
    thread. A closed standard error stays closed, and other threads' ``print`` goes where it did.

    >>> with quiet_native():
    ...     print("Warning!")
    """
    global _saved_stderr
    thread = threading.get_ident()
    with _lock:
        if not _quiet_threads:
            _saved_stderr = _redirect_stderr()
            if sys.stdout is not None:
                sys.stdout = _OtherThreads(sys.stdout)  # type: ignore[assignment]
        _quiet_threads.add(thread)
    try:
        yield
    finally:
        with _lock:
            _quiet_threads.remove(thread)
            if not _quiet_threads:
                if isinstance(sys.stdout, _OtherThreads):
                    sys.stdout = sys.stdout.stream
                if _saved_stderr is not None:
                    os.dup2(_saved_stderr, 2)
                    os.close(_saved_stderr)


class _OtherThreads:
    """A stream that drops what quiet threads write."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() in _quiet_threads else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def _redirect_stderr() -> int | None:
    """Point descriptor 2 at the null device; return a copy of what it was, None where it is closed."""
    try:
        saved = os.dup(2)
    except OSError:
        return None
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    return saved
