"""What kanfield raises when a person, not the program, has to act."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from kanfield.names import printable


class KanfieldError(Exception):
    """One line for a person: what is wrong, which file or option, how to fix it.

    The command line prints it without a traceback and exits with ``exit_code``.
    """

    exit_code = 1

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class InputError(KanfieldError, ValueError):
    """Bad usage or bad input: no training was started (exit code 2)."""

    exit_code = 2


class RunFailed(KanfieldError, RuntimeError):
    """A run that had started could not finish; what could be saved is saved (exit code 1)."""


class Interrupted(KeyboardInterrupt):
    """SIGINT, SIGTERM or SIGHUP stopped a run, which is saved (exit code 130, 143 or 129)."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def suggest(word: object, known: Iterable[object], otherwise: str | None = "use one of") -> str:
    """The end of a message about an unknown word.

    Args:
        word: what was typed.
        known: what would have been understood.
        otherwise: what introduces the list of all known words, if none resembles ``word``; None for no
            list.

    Returns:
        ``"; did you mean X?"``, ``"; use one of X, Y"``, or nothing. ``word`` itself is never proposed.

    >>> suggest("sirn", ["kan", "siren"])
    '; did you mean siren?'
    >>> suggest("perceptron", ["kan", "siren"], otherwise="families:")
    '; families: kan, siren'
    """
    others = [name for name in map(str, known) if name != str(word)]
    near = difflib.get_close_matches(str(word), others, n=1, cutoff=0.65)
    if near:
        return f"; did you mean {near[0]}?"
    return "" if otherwise is None else f"; {otherwise} {', '.join(others) or 'none'}"
