"""What kanfield needs of tyro and argparse that they do not document: the only place that knows it.

Checked with tyro 1.0.17, which has an argparse of its own; ``tests/test_tyro.py`` fails when a newer one
differs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import typing
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import tyro

from kanfield.errors import InputError

# How commands are read: options without a prefix for the dataclass they stand in, flags without a --no- twin.
_CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)


_registry = tyro.constructors.ConstructorRegistry()


@_registry.primitive_rule
def _number_rule(info: Any) -> Any:
    """How a plain ``int`` or ``float`` is read: as tyro does, with an error for people."""
    names = {int: "a whole number", float: "a number"}
    if info.type not in names:
        return None

    def from_words(words: list[str]) -> Any:
        try:
            return info.type(words[0])
        except ValueError:
            raise ValueError(f"'{words[0]}' is not {names[info.type]}") from None

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="N" if info.type is int else "X",
        instance_from_str=from_words,
        is_instance=lambda value: isinstance(value, (int, info.type)),
        str_from_instance=lambda value: [str(value)],
    )


def parse(kind: Any, words: Sequence[str], **about: Any) -> tuple[Any, list[str]]:
    """Read a command line.

    Args:
        kind: a dataclass, or a union of some that stand for subcommands.
        words: the command line, without the program's name.
        about: the program's ``prog`` and ``description``.

    Returns:
        An instance of ``kind``, and the words that are no option or argument of it.

    Raises:
        InputError: a word is missing or has no such value.
        SystemExit: help was printed.
    """
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            command, unknown = tyro.cli(
                kind, args=words, config=_CONFIG, registry=_registry, return_unknown_args=True, **about
            )
    except SystemExit as end:
        if end.code in (0, None):
            raise
        raise InputError(_unboxed(errors.getvalue())) from None
    return command, list(unknown)


def _unboxed(box: str) -> str:
    """The error that tyro prints in a box, as one line without the help below it."""
    lines = [re.sub(r"[│╭╮╰╯]|[─-]{5,}", " ", line).strip() for line in box.splitlines()]
    text = " ".join(line for line in lines[1:] if line)
    return re.split(r"Argument helptext|For full helptext", text)[0].strip(" .") or "bad usage"


def option_names(command: Any) -> list[str]:
    """The options of a command, such as ``--batch-size``, with those of its subcommand."""
    names = []
    for field in dataclasses.fields(command):
        hint = typing.get_type_hints(type(command), include_extras=True)[field.name]
        if dataclasses.is_dataclass(value := getattr(command, field.name)):
            names += option_names(value)
        elif tyro.conf.Positional not in getattr(hint, "__metadata__", ()):
            names.append(f"--{field.name.replace('_', '-')}")
    return names


def make_parser(kind: Any, words: Mapping[str, Sequence[str]], **about: Any) -> Any:
    """The argparse parser of a command line, for shell completion.

    Args:
        kind: as for :func:`parse`.
        words: what an option or argument takes, by its name, such as ``"--preset"`` or ``"SHELL"``, or by a
            command's name and its own, such as ``"solve --preset"``, which comes first.
        about: as for :func:`parse`.
    """
    with warnings.catch_warnings():
        # tyro recommends scripts of its own instead, but those complete no file in the place of IMAGE or RUN.
        warnings.simplefilter("ignore", DeprecationWarning)
        parser: Any = tyro.extras.get_parser(kind, config=_CONFIG, registry=_registry, **about)
    _add_words(parser, words)
    return parser


def _add_words(parser: Any, words: Mapping[str, Sequence[str]], command: str = "") -> None:
    """Give the options of a parser and of its subcommands one line of help and the words they take."""
    for action in parser._actions:
        if isinstance(action.choices, Mapping):  # subcommands by their names
            for name, child in action.choices.items():
                _add_words(child, words, name)
        elif action.help:
            first = action.help.splitlines()[0]
            action.help = re.sub(r" \((default: (None|False)|required)\)$", "", first)
            name = str((*action.option_strings, action.metavar)[0])
            action.choices = words.get(f"{command} {name}", words.get(name))
