"""Plain values, as YAML and the command line give them, as the types that settings are annotated with."""

from __future__ import annotations

import dataclasses
import textwrap
import types
import typing
from typing import Any, Literal

from kanfield.errors import InputError


def typed(value: Any, hint: Any, where: str) -> Any:
    """``value`` as the type that ``hint`` asks for.

    Args:
        value: what a YAML file or the command line gave.
        hint: a type, a union, ``Literal``, ``list``, ``dict``, or a dataclass, which is written as its keys.
        where: whose value it is, for the message.

    Raises:
        InputError: it is none such; the message says what belongs there.

    >>> typed("1e-3", float | None, "lr")
    0.001
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for option in arguments:
            try:
                return typed(value, option, where)
            except InputError:
                continue
    elif origin is Literal:
        if value in arguments:
            return value
    elif origin is dict:
        if isinstance(value, dict):
            return {str(key): item for key, item in value.items()}
    elif origin is list:
        if isinstance(value, list):
            return [typed(item, arguments[0], where) for item in value]
    elif dataclasses.is_dataclass(hint):
        if type(value) is hint:
            return value
        hints = typing.get_type_hints(hint)
        if isinstance(value, dict) and set(value) == set(hints):
            return hint(**{key: typed(value[key], hints[key], where) for key in hints})  # type: ignore[operator]
    elif hint is float:
        # YAML reads 1e-3 (without a dot) as text.
        if isinstance(value, (int, float, str)) and not isinstance(value, bool):
            try:
                return float(value)
            except ValueError:
                pass
    elif hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    shown = textwrap.shorten(repr(value), 60, placeholder="...")
    raise InputError(f"{where}: {shown} is not what belongs there ({describe(hint)})")


def describe(hint: Any) -> str:
    """A type in a person's words.

    >>> describe(list[int] | None)
    'a list of whole numbers'
    """
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    names |= {type(None): "nothing"}
    if hint in names:
        return names[hint]
    if dataclasses.is_dataclass(hint):
        letters = {int: "N", float: "X"}
        keys = typing.get_type_hints(hint).items()
        return "{" + ", ".join(f"{key}: {letters.get(kind, '...')}" for key, kind in keys) + "}"
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) is dict:
        return "keys and values"
    if typing.get_origin(hint) is list:
        one = describe(arguments[0])
        plural = {"a whole number": "whole numbers"}.get(one, "grid sizes or lists of them")
        return f"a list of {one if dataclasses.is_dataclass(arguments[0]) else plural}"
    if typing.get_origin(hint) is Literal:
        return " or ".join(arguments)
    return " or ".join(describe(a) for a in arguments if a is not type(None))
