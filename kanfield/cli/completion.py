"""``kanfield completion``: the script that lets a shell complete commands, options, names and files."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, arg

from kanfield.cli.values import Text
from kanfield.errors import InputError

SHELLS = ("bash", "zsh", "fish")


@dataclass
class Completion:
    """Print the script that completes commands, options and files in a shell."""

    shell: Annotated[Positional[Text], arg(metavar="SHELL", help_behavior_hint="")] = None
    """bash, zsh or fish. What goes into the shell's start-up file:
    - bash: source <(kanfield completion bash)
    - zsh, after compinit: eval "$(kanfield completion zsh)"
    - fish: kanfield completion fish | source
    """

    def run(self) -> None:
        if self.shell is None:
            raise InputError("which shell? kanfield completion bash, zsh or fish")
        if self.shell not in SHELLS:
            raise InputError(f"no completion for '{self.shell}': give bash, zsh or fish")
        print(completion_script(self.shell))


def completion_script(shell: str) -> str:
    """What the shell has to source.

    >>> "--preset" in completion_script("bash")
    True
    """
    import shtab
    from tyro.extras import get_parser

    from kanfield.cli.commands import PARSING, Command
    from kanfield.config.presets import PRESETS
    from kanfield.fields import family_names

    names = {
        "--model": tuple(family_names()),
        "--models": tuple(family_names()),
        "--preset": tuple(PRESETS),
        "--held-out": ("checkerboard", "every-second"),
        "--optimizer": ("muon", "adam"),
        "--device": ("auto", "cpu", "cuda", "xpu", "mps"),
        "--precision": ("fp32", "fp64", "tf32x3", "tf32", "bf16"),
        "SHELL": SHELLS,
    }
    with warnings.catch_warnings():
        # tyro would have its own scripts used, but those complete no file in the place of IMAGE or RUN.
        warnings.simplefilter("ignore", DeprecationWarning)
        parser: Any = get_parser(Command, **PARSING)  # type: ignore[call-overload]
    _complete(parser, names)
    return str(shtab.complete(parser, shell))


def _complete(parser: Any, names: dict[str, tuple[str, ...]]) -> None:
    """Give the options of a parser and of the commands below it one line of help and the words they take."""
    for action in parser._actions:
        if isinstance(action.choices, Mapping):  # commands by their names
            for command in action.choices.values():
                _complete(command, names)
        elif action.help:
            first = action.help.splitlines()[0]
            action.help = re.sub(r" \((default: (None|False)|required)\)$", "", first)
            action.choices = names.get((*action.option_strings, action.metavar)[0])
