"""Plain values, as YAML and the command line give them, as settings; and what is wrong with them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import reprlib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from kanfield.config.checks import check_integer
from kanfield.config.settings import Settings
from kanfield.errors import InputError, suggest
from kanfield.files import find_moved

T = TypeVar("T")
_NAMES = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
    types.NoneType: "nothing",
}
# What people write beside the other settings and belongs under options.
_FIELD_OPTIONS = (
    *("widths", "grids", "order", "init_noise", "init_frequency", "init_slope", "num_directions"),
    *("resolutions", "features", "entries", "interpolation", "extent", "residual"),
)


def coerce(value: Any, hint: Any, where: str) -> Any:
    """Convert a plain value to an annotated type.

    Args:
        value: what a YAML file or the command line gave.
        hint: ``int``, ``float``, ``str``, ``bool``, ``Path``, None, a union, ``Literal``, a list, sequence,
            tuple of one type or ``dict``, or a dataclass, which is written as its keys. Any other type is
            not checked.
        where: whose value it is, for the message.

    Raises:
        InputError: it is none such; the message says what belongs there.

    >>> coerce("1e-3", float | None, "lr")
    0.001
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, int):
        check_integer(value, where)
    if origin is typing.Annotated:
        return coerce(value, arguments[0], where)
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return coerce(value, option, where)
            except InputError:
                continue
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is dict:
        if isinstance(value, dict):
            return {str(key): item for key, item in value.items()}
    elif origin in (list, tuple, Sequence):
        if isinstance(value, (list, tuple)):
            items = [coerce(item, arguments[0], where) for item in value]
            return tuple(items) if origin is tuple else items
    elif dataclasses.is_dataclass(hint):
        if type(value) is hint:
            return value
        hints = typing.get_type_hints(hint)
        if isinstance(value, dict) and set(value) == set(hints):
            return hint(**{key: coerce(value[key], hints[key], where) for key in hints})  # type: ignore[operator]
    elif hint is float:
        # YAML reads 1e-3 (without a dot) as text.
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            with contextlib.suppress(ValueError, OverflowError):
                return float(value)
    elif hint is Path:
        if isinstance(value, (str, Path)):
            return Path(value)
    elif hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif hint not in _NAMES or isinstance(value, hint):
        return value
    raise InputError(f"{where}: {_shown(value)} is not what belongs there ({describe(hint)})")


def _shown(value: Any) -> str:
    """A value in one line; long and deep ones, such as aliases of aliases in YAML, end in dots."""
    brief = reprlib.Repr()
    brief.maxlevel, brief.maxstring, brief.maxother, brief.maxlong = 2, 60, 60, 60
    try:
        text = " ".join(brief.repr(value).split())
    except ValueError:  # Python prints no number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def coerce_fields(kind: type[T], content: Any, prefix: str = "") -> T:
    """A dataclass from plain keys and values, each of the type that its field is annotated with.

    Args:
        kind: the dataclass; fields without a key keep their defaults.
        content: what a file gave.
        prefix: what errors begin with, such as the name of the file.

    Raises:
        InputError: ``content`` is not keys and values, a key is unknown or missing, or a value has the
            wrong type.
    """
    if not isinstance(content, dict):
        raise InputError(f"{prefix}holds no settings: write one 'key: value' per line")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in content:
        if key not in fields:
            raise InputError(f"{prefix}unknown key '{key}'{suggest(key, fields, 'known keys:')}")
    for key, field in fields.items():
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and key not in content:
            raise InputError(f"{prefix}the key '{key}' is missing")
    return kind(**{key: coerce(value, hints[key], f"{prefix}{key}") for key, value in content.items()})


def describe(hint: Any) -> str:
    """Describe a type in plain words.

    Args:
        hint: as for :func:`coerce`.

    >>> describe(list[int] | None)
    'a list of whole numbers'
    >>> describe(list[int | list[int]])
    'a list of whole numbers or lists of whole numbers'
    """
    if hint in _NAMES:
        return _NAMES[hint]
    if dataclasses.is_dataclass(hint):
        letters = {int: "N", float: "X"}
        keys = typing.get_type_hints(hint).items()
        return "{" + ", ".join(f"{key}: {letters.get(kind, '...')}" for key, kind in keys) + "}"
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return describe(arguments[0])
    if origin is dict:
        return "keys and values"
    if origin in (list, tuple, Sequence):
        return f"a list of {_plural(arguments[0])}"
    if origin is Literal:
        return " or ".join(arguments)
    return " or ".join(describe(a) for a in arguments if a is not types.NoneType)


def _plural(hint: Any) -> str:
    """Describe several values of a type."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    described = [describe(each) for each in (typing.get_args(hint) if union else [hint])]
    plurals = {
        "a whole number": "whole numbers",
        "a number": "numbers",
        "text": "texts",
        "a path": "paths",
    }
    return " or ".join(plurals.get(each, each.replace("a list of", "lists of")) for each in described)


def read_settings(path: Path) -> tuple[Settings, str | None]:
    """Read settings from a YAML file, and the image it names (None for none).

    Args:
        path: of the file.

    Raises:
        InputError: the file cannot be read, a key is unknown (the nearest one is named) or a value has the
            wrong type.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path} cannot be read ({reason}): give a YAML file of settings") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" at line {line + 1}"
        raise InputError(f"{path} is not YAML{where}: one 'key: value' per line") from None
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no settings: one 'key: value' per line")
    # Paths are meant from the file's folder, where there is such a file; it may have moved with that.
    for key in ("image", "mask"):
        named = coerce(content.get(key), str | None, f"{path}: {key}")
        if named is None:
            continue
        if "\0" in named:
            raise InputError(f"{path}: {key}: a path has no null byte in it")
        if os.path.exists(path.parent / named):
            content[key] = str(path.parent / named)
        elif not os.path.exists(named):
            content[key] = str(find_moved(Path(named), path.parent) or named)
    image = content.pop("image", None)
    return settings_from(content, f"{path}: "), None if image is None else str(image)


def settings_from(content: dict[str, Any], prefix: str = "") -> Settings:
    """Make settings of plain keys and values.

    Args:
        content: values by the names of :class:`Settings`.
        prefix: what errors begin with, before the key.

    Raises:
        InputError: a key is unknown or a value has the wrong type.

    >>> settings_from({"steps": 100, "lr": 1e-3}).steps
    100
    """
    for key in _FIELD_OPTIONS:
        if key in content:
            raise InputError(
                f"{prefix}unknown key '{key}'; it is an option of the field: options: {{{key}: ...}}"
            )
    return coerce_fields(Settings, content, prefix)


def to_plain(settings: Settings, image: str) -> dict[str, Any]:
    """Turn settings into what :func:`read_settings` reads back, without those that are off.

    Args:
        settings: what to write.
        image: path of the image.
    """
    content = {"image": image, **dataclasses.asdict(settings)}
    return {key: value for key, value in content.items() if value is not None}
