"""What all studies can be told, and how their settings are checked and kept. Knows nothing of torch."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

from tyro.conf import arg

from kanfield.errors import InputError

File = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]
Flag = Annotated[bool, arg(help_behavior_hint="")]


@dataclass
class StudySettings:
    """What all studies have in common."""

    NAME: ClassVar[str] = ""
    QUICK: ClassVar[dict[str, Any]] = {}  # what --quick puts in the place of defaults

    quick: Flag = False
    """Small sizes for all that is left at its default, done in 15 s or less on two cores: shows that it
    works, not what it shows."""
    out: File = None
    """Folder of the study. Default: a new one under studies."""
    resume: File = None
    """Go on with the study in this folder."""

    def check(self) -> None:
        """Look for impossible values.

        Raises:
            InputError: there is one; the option is named.
        """


_Settings = TypeVar("_Settings", bound=StudySettings)


def require_positive(settings: StudySettings, *names: str) -> None:
    """Look for numbers, or lists of some, that must be above zero; InputError where one is not."""
    for name in names:
        value = getattr(settings, name)
        if value == ():
            raise InputError(f"--{name.replace('_', '-')} names none: give one number or more")
        for number in value if isinstance(value, tuple) else [value]:
            if not 0 < number < float("inf"):
                flag = name.replace("_", "-")
                raise InputError(f"--{flag} {number} is impossible: give a number above zero")


def require_known(settings: StudySettings, name: str, known: Sequence[str]) -> None:
    """Look for words that are none of those known; InputError names the nearest."""
    flag, words = f"--{name.replace('_', '-')}", getattr(settings, name)
    if not words:
        raise InputError(f"{flag} names none: give some of {', '.join(known)}")
    if len(set(words)) < len(words):
        raise InputError(f"{flag} {' '.join(words)}: one is named twice")
    for word in words:
        if word not in known:
            near = difflib.get_close_matches(word, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"use {', '.join(known)}"
            raise InputError(f"{flag} {word} is unknown; {hint}")


def resolve_settings(settings: _Settings) -> _Settings:
    """Settings as they are run: under ``--quick``, what was left at its default becomes small.

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
    settings.check()
    paths = {key: _absolute(value) for key, value in vars(settings).items() if key not in ("out", "resume")}
    return dataclasses.replace(settings, **paths)


def _absolute(value: Any) -> Any:
    """Files by their absolute paths, so that a study goes on from any folder."""
    if isinstance(value, tuple):
        return tuple(_absolute(each) for each in value)
    return value.resolve() if isinstance(value, Path) else value


def to_plain(settings: StudySettings) -> dict[str, Any]:
    """A study's settings as plain values, without the folder."""
    content = dataclasses.asdict(settings)
    for key in ("out", "resume"):
        del content[key]
    return {key: _plain(value) for key, value in content.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def from_plain(kind: type[_Settings], content: dict[str, Any]) -> _Settings:
    """Settings from what :func:`to_plain` gave.

    Raises:
        InputError: a key is none of the study's.
        TypeError: a value is not of its key's type.
    """
    hints = get_type_hints(kind)
    unknown = set(content) - {field.name for field in dataclasses.fields(kind)}
    if unknown:
        raise InputError(f"settings of {kind.NAME} were written by another version: {unknown}")
    return kind(**{key: _typed(value, hints[key]) for key, value in content.items()})


def _typed(value: Any, hint: Any) -> Any:
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise TypeError(f"{value} is no list")
        return tuple(_typed(each, get_args(hint)[0]) for each in value)
    if isinstance(value, str) and Path in (hint, *get_args(hint)):
        return Path(value)
    if not isinstance(value, (int, float) if hint is float else hint):
        raise TypeError(f"{value} is no {hint}")
    return value
