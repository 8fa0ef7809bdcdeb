"""Pictures and lines that a person looks at: where one fails, the run goes on and its numbers are kept."""

from __future__ import annotations

import contextlib
import errno
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.text import Text

from kanfield.errors import KanfieldError
from kanfield.names import printable

# What a terminal or pipe that is gone answers; None is no answer of the system, but an encoder's.
_GONE = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO, None)


def say(console: Console | None, line: str, style: str = "") -> None:
    """Print a line on a console that may be gone.

    Args:
        console: Where, or None for nowhere.
        line: Plain text.
        style: Rich's name of a colour.
    """
    if console is not None:
        # Rich ends the program where nobody reads its pipe.
        with contextlib.suppress(Exception, SystemExit):
            console.print(Text(printable(line)), style=style, soft_wrap=True)


@contextlib.contextmanager
def tolerated(what: str, console: Console | None) -> Iterator[None]:
    """Go on where something that is only looked at fails, and say so; a full disk still raises.

    Args:
        what: It, for the line that says so.
        console: Where that is printed; a warning without one.

    Raises:
        OSError: A file cannot be written: making room and resuming the run mends that.

    >>> with warnings.catch_warnings(record=True) as caught, tolerated("error.png", None):
    ...     raise ValueError("no such colour")
    >>> str(caught[0].message)
    'error.png is left out (ValueError: no such colour)'
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, KanfieldError) or (isinstance(error, OSError) and error.errno not in _GONE):
            raise
        line = f"{what} is left out ({type(error).__name__}: {' '.join(str(error).split())})"
        if console is None:
            warnings.warn(printable(line), stacklevel=3)
        say(console, line, "yellow")


@contextlib.contextmanager
def closed_on_failure(opened: Any) -> Iterator[None]:
    """Close something where the block fails, whatever else that raises: what is full stays full."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            opened.close()
        raise


class Tolerant:
    """A monitor whose failures are tolerated; after the first it is asked no more.

    Args:
        make: Makes the monitor.
        what: It, for the line about a failure.
        console: See :func:`tolerated`.
    """

    def __init__(self, make: Callable[[], Any], what: str, console: Console | None) -> None:
        self._what, self._console, self._monitor = what, console, None
        with tolerated(what, console):
            self._monitor = make()

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Any method of the monitor; it returns nothing."""

        def call(*arguments: Any) -> None:
            monitor, self._monitor = self._monitor, None
            if monitor is None:
                return
            with tolerated(self._what, self._console), closed_on_failure(monitor):
                getattr(monitor, name)(*arguments)
                self._monitor = monitor

        return call
