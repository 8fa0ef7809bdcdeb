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

    Both belong to the whole process: while other threads run, nothing is redirected and what the libraries
    print is heard, so that nobody else's words are lost. A closed standard error stays closed.

    >>> with quiet_native():
    ...     picture = "decoded"
    """
    if threading.active_count() > 1:
        yield
        return
    saved, stdout = _redirect_stderr(), sys.stdout
    if stdout is not None:
        sys.stdout = _OtherThreads(stdout)  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.stdout = stdout
        if saved is not None:
            os.dup2(saved, 2)
            os.close(saved)


class _OtherThreads:
    """A stream that drops what the thread which made it writes."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        return len(text) if threading.get_ident() == self.thread else self.stream.write(text)

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
