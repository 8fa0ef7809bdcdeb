"""A choice that ``with`` blocks force on the whole process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator


class Forced:
    """A name that is in force, in all threads, while at least one ``with`` block asks for one.

    It is not a context variable: autograd runs the backward of CUDA tensors in threads of its own, which
    would not see it. Blocks of several threads may overlap: the one that was entered last decides, and each
    removes only its own name when it ends.

    Attributes:
        name: the name in force, or None.

    >>> forced = Forced()
    >>> with forced.block("a"), forced.block("b"):
    ...     forced.name
    'b'
    >>> forced.name is None
    True
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self._names: dict[object, str] = {}  # by block, in the order in which they were entered
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def block(self, name: str) -> Iterator[None]:
        """Force ``name`` inside a ``with`` block."""
        key = object()
        with self._lock:
            self._names[key] = name
            self.name = name
        try:
            yield
        finally:
            with self._lock:
                del self._names[key]
                self.name = next(reversed(self._names.values()), None)
