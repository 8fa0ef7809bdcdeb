"""The command ``kanfield`` in a process of its own, which ends when the one that started it does."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from kanfield.names import as_word

# Unlike python -m kanfield, this imports nothing from the working folder, which may hold a file random.py.
_START = (
    "import sys; sys.path = [path for path in sys.path if path]; "
    "from kanfield.child import end_with_parent; end_with_parent(); "
    "from kanfield.cli import main; main()"
)

_own: set[str] = set()


@contextlib.contextmanager
def child(words: Sequence[str | Path], errors: IO[str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run the command ``kanfield`` with these words; what still runs after the block is killed.

    Standard input of the child is a pipe that nothing is written to. The system closes it when this process
    ends, even by SIGKILL.

    Args:
        words: After the program's name. A path is never taken for an option.
        errors: An open file for its standard error; None for a pipe, which has to be read all the while: a
            full one blocks the child.
    """
    reader, writer = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *map(as_word, words)],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE if errors is None else errors,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**_environment(), "PYTHONIOENCODING": "utf-8"},
            # A session of its own: Ctrl-C reaches this process alone, which passes it on once.
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.kill()  # nothing happens to a process that has ended
            process.wait()
    finally:
        os.close(reader)
        os.close(writer)


def set_for_this_process(name: str, value: str) -> None:
    """Set an environment variable that children do not inherit.

    Args:
        name: Of the variable.
        value: For it.
    """
    os.environ[name] = value
    _own.add(name)


def _environment() -> dict[str, str]:
    """This process's, without what it set for itself or what would make the child one of torchrun's."""
    left_out = {"RANK", "WORLD_SIZE", *_own}
    return {name: value for name, value in os.environ.items() if name not in left_out}


def end_with_parent() -> None:
    """Interrupt this process, and so save its fit, when the process that it is a child of ends."""
    threading.Thread(target=_wait_for_end, args=(0,), daemon=True).start()


def _wait_for_end(descriptor: int) -> None:
    os.read(descriptor, 1)  # returns when the other end closes
    os.kill(os.getpid(), signal.SIGTERM)
