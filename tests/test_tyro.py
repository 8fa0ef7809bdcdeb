"""What kanfield relies on in tyro beyond its documented interface: a newer tyro that differs fails here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import tyro
from tyro.conf import Positional

from kanfield.cli._tyro import make_parser, option_names, parse
from kanfield.errors import InputError, suggest


@dataclass
class Inner:
    """What is inside."""

    depth: int = 1
    """How deep."""


@dataclass
class Outer:
    """What is outside."""

    path: Positional[Path]
    """A file."""
    inner: Inner
    batch_size: int = 2
    """How many."""


@dataclass
class Paint:
    """Paint."""

    out: Path
    """Where to."""
    steps: int = 3
    """How often."""


Command: Any = (
    Annotated[Outer, tyro.conf.subcommand("outer")] | Annotated[Paint, tyro.conf.subcommand("paint")]
)
ABOUT = {"prog": "prog", "description": "A program."}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("paint --out x --steps ten", "Error parsing --steps: 'ten' is not a whole number"),
        ("paint --out", "Missing value for argument '--out'. Expected 1 values"),
        ("paint", "Missing from prog paint: --out PATH Where to. (required)"),
        ("--steps 3", "Expected one of {outer, paint}"),
    ],
)
def test_a_boxed_error_becomes_one_line(words, message, monkeypatch):
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(InputError) as error:
            parse(Command, words.split(), **ABOUT)
        assert str(error.value) == message


def test_unknown_words_are_returned():
    command, unknown = parse(Command, ["paint", "--out", "x", "--stepz", "5"], **ABOUT)
    assert (command, unknown) == (Paint(Path("x")), ["--stepz", "5"])


def test_options_are_listed_without_arguments():
    assert option_names(Outer(Path("x"), Inner())) == ["--depth", "--batch-size"]


def test_the_parser_for_completion_knows_commands_help_and_words():
    parser = make_parser(Command, {"--steps": ("1", "2")}, **ABOUT)
    (commands,) = (action for action in parser._actions if isinstance(action.choices, dict))
    assert list(commands.choices) == ["outer", "paint"]
    options = {action.option_strings[0]: action for action in commands.choices["paint"]._actions}
    assert options["--steps"].choices == ("1", "2")
    assert options["--out"].help == "Where to."


def test_a_suggestion_is_never_the_very_word():
    assert suggest("steps", ["steps", "size"], otherwise=None) == ""
    assert suggest("steps", ["steps", "step"]) == "; did you mean step?"
    assert suggest("x", ["x"]) == "; use one of none"
