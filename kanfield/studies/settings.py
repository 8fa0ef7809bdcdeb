"""Settings that all studies share, how they are checked and how a file keeps them. Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from tyro.conf import arg

from kanfield.config.checks import check_integers
from kanfield.config.parse import coerce_fields
from kanfield.errors import InputError, suggest

File = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]
Flag = Annotated[bool, arg(help_behavior_hint="")]


@dataclass
class StudySettings:
    """Settings that all studies share.

    Attributes:
        NAME: of the study, on the command line.
        QUICK: values that ``--quick`` gives to settings left at their defaults.
    """

    NAME: ClassVar[str] = ""
    QUICK: ClassVar[dict[str, Any]] = {}

    quick: Flag = False
    """Smaller sizes for everything left at its default: a test that the study runs, in about 15 s."""
    out: File = None
    """Folder of the study. Default: a new one under studies."""
    resume: File = None
    """Go on with the study in this folder."""
    threads: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """CPU threads."""
    json: Flag = False
    """Print results.json on standard output, and everything else on standard error."""
    quiet: Flag = False
    """Print nothing but errors and what --json asks for."""

    def check(self) -> None:
        """Check the values.

        Raises:
            InputError: one is impossible; the option is named.
        """


# Settings of how a study is run: they are not part of it, and can be given anew when it goes on.
_HOW = ("out", "resume", "threads", "json", "quiet")
_Settings = TypeVar("_Settings", bound=StudySettings)


def require_positive(settings: StudySettings, *names: str) -> None:
    """Check that numbers are above zero.

    Args:
        settings: of a study.
        *names: of those of its settings that are numbers, tuples of at least one, or None.

    Raises:
        InputError: one is zero or less, or a tuple is empty.
    """
    for name in names:
        value = getattr(settings, name)
        if value == ():
            raise InputError(f"--{name.replace('_', '-')} names none: give one number or more")
        for number in value if isinstance(value, tuple) else [value]:
            if number is not None and not 0 < number < float("inf"):
                flag = name.replace("_", "-")
                raise InputError(f"--{flag} {number} is impossible: give a number above zero")


def require_known(settings: StudySettings, name: str, known: Sequence[str]) -> None:
    """Check a choice of names.

    Args:
        settings: of a study.
        name: of that one of its settings which is a tuple of names.
        known: the names that are possible.

    Raises:
        InputError: a name is unknown or given twice, or there is none.
    """
    flag, words = f"--{name.replace('_', '-')}", getattr(settings, name)
    if not words:
        raise InputError(f"{flag} names none: give some of {', '.join(known)}")
    if len(set(words)) < len(words):
        raise InputError(f"{flag} {' '.join(words)}: one is named twice")
    for word in words:
        if word not in known:
            raise InputError(f"{flag} {word} is unknown{suggest(word, known)}")


def resolve_settings(settings: _Settings) -> _Settings:
    """Settings as they are run: ``--quick`` makes smaller what was left at its default.

    Raises:
        InputError: a value is impossible.

    >>> from kanfield.studies.catalogue import Waves
    >>> resolve_settings(Waves(quick=True)).steps < resolve_settings(Waves()).steps
    True
    >>> resolve_settings(Waves(quick=True, steps=10)).steps
    10
    """
    if settings.quick:
        defaults = type(settings)()
        left = {k: v for k, v in settings.QUICK.items() if getattr(settings, k) == getattr(defaults, k)}
        settings = dataclasses.replace(settings, **left)
    for name, value in to_plain(settings).items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, (int, float)) and not isinstance(number, bool) and number < 0:
                raise InputError(f"--{name.replace('_', '-')} {number} is impossible: give zero or more")
    check_integers(settings)
    settings.check()
    paths = {key: _absolute(value) for key, value in vars(settings).items() if key not in _HOW}
    return dataclasses.replace(settings, **paths)


def _absolute(value: Any) -> Any:
    """Files by their absolute paths, so that a study goes on from any folder."""
    if isinstance(value, tuple):
        return tuple(_absolute(each) for each in value)
    return value.resolve() if isinstance(value, Path) else value


def to_plain(settings: StudySettings) -> dict[str, Any]:
    """A study's settings as plain values, without those of how it is run."""
    return {key: _plain(value) for key, value in dataclasses.asdict(settings).items() if key not in _HOW}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: type[_Settings], content: dict[str, Any]) -> _Settings:
    """Settings from what :func:`to_plain` gave.

    Raises:
        InputError: a key is none of the study's, or a value is not of its key's type.
    """
    return coerce_fields(kind, content)


def how_it_is_run(settings: StudySettings) -> dict[str, Any]:
    """Those settings that are not part of the study itself, such as ``threads``, by their names."""
    return {key: getattr(settings, key) for key in _HOW}
