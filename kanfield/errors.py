"""What kanfield raises when a person, not the program, has to act."""

from __future__ import annotations


class KanfieldError(Exception):
    """One line for a person: what is wrong, which file or option, how to mend it.

    The command line prints it without a traceback and exits with ``exit_code``.
    """

    exit_code = 1


class InputError(KanfieldError, ValueError):
    """Bad usage or bad input: no training was started (exit code 2)."""

    exit_code = 2


class RunFailed(KanfieldError, RuntimeError):
    """A run that had started could not finish; what could be saved is saved (exit code 1)."""


class Interrupted(KeyboardInterrupt):
    """SIGINT or SIGTERM stopped a run, which is saved (exit code 130 or 143)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
