"""The standard streams of the command: of any encoding, closed, or with nobody left to read them."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO

_GONE = {errno.EPIPE, errno.EIO, errno.ENXIO, errno.EBADF}  # a pipe without a reader, a terminal that is gone


class _Steady(io.FileIO):
    """A descriptor that takes whatever is written to it: hours of work must not end with a line of progress.

    Attributes:
        failure: Why something was lost that somebody may have waited for, such as a full disk; or None.
    """

    failure: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _GONE:
                self.failure = self.failure or error
            return memoryview(data).nbytes


def steady_streams() -> None:
    """Make standard output and error take every character, whatever their encoding, and never fail.

    Characters that an encoding lacks are escaped. A stream that is closed leads nowhere, so that no file of
    the user's gets its descriptor and what others write there.
    """
    _fill_descriptors()
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115
    sys.stdout, sys.stderr = _steady(sys.stdout, 1), _steady(sys.stderr, 2)


def lost_output() -> OSError | None:
    """Flush standard output; why a part of it was lost, or None where it was not or nobody reads it."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failure if isinstance(raw, _Steady) else None


def _fill_descriptors() -> None:
    """Open what is closed of the descriptors 0, 1 and 2."""
    descriptor = os.open(os.devnull, os.O_RDWR)
    while descriptor <= 2:  # the lowest that is free
        os.set_inheritable(descriptor, True)
        descriptor = os.open(os.devnull, os.O_RDWR)
    os.close(descriptor)


def _steady(stream: TextIO | None, descriptor: int) -> TextIO:
    """The stream on a descriptor that never fails; one that a program has put there stays as it is."""
    encoding, is_prompt = "utf-8", False
    if stream is not None:
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)
        if type(stream) is not io.TextIOWrapper or type(raw) is not io.FileIO or raw.fileno() != descriptor:
            return stream  # a notebook's, a test's, a file of the caller's, or a console of Windows
        encoding, is_prompt = stream.encoding, stream.isatty() or stream.write_through
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Steady(descriptor, "w", closefd=False)),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=is_prompt or descriptor == 2,
    )
