"""Every command by its name, and how a command line becomes one of them."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

import kanfield
from kanfield.cli._tyro import make_parser, option_names, parse
from kanfield.cli.about import Doctor, Models
from kanfield.cli.bench import Bench
from kanfield.cli.compare import Compare
from kanfield.cli.completion import SHELLS, completion_script, known_words
from kanfield.cli.fit import Fit
from kanfield.cli.run import Eval, Render
from kanfield.cli.runs import Runs
from kanfield.cli.solve import Solve
from kanfield.cli.spectrum import Spectrum
from kanfield.cli.study import Study
from kanfield.cli.symbolic import Symbolic
from kanfield.cli.values import Text
from kanfield.cli.view import View
from kanfield.cli.work import Work
from kanfield.errors import InputError, suggest
from kanfield.studies.catalogue import STUDIES


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
        """Print the script."""
        if self.shell is None:
            raise InputError("which shell? kanfield completion bash, zsh or fish")
        if self.shell not in SHELLS:
            raise InputError(f"no completion for '{self.shell}': give bash, zsh or fish")
        print(completion_script(command_parser(), self.shell))


COMMANDS: dict[str, Any] = {
    "fit": Fit,
    "work": Work,
    "eval": Eval,
    "render": Render,
    "view": View,
    "compare": Compare,
    "spectrum": Spectrum,
    "study": Study,
    "solve": Solve,
    "symbolic": Symbolic,
    "runs": Runs,
    "models": Models,
    "bench": Bench,
    "doctor": Doctor,
    "completion": Completion,
}
_COMMAND: Any = functools.reduce(
    operator.or_, (Annotated[kind, tyro.conf.subcommand(name)] for name, kind in COMMANDS.items())
)
_ABOUT = {"prog": "kanfield", "description": str(kanfield.__doc__).splitlines()[0]}


def parse_command(words: Sequence[str]) -> Any:
    """The command that a command line asks for, with its options.

    Args:
        words: the command line, without the program's name; none asks for the help.

    Raises:
        InputError: a command, an option or a value is unknown or missing.
        SystemExit: help was printed.
    """
    words = list(words) or ["--help"]
    usage = "kanfield --help"
    if not words[0].startswith("-"):
        _check_name("command", words[0], COMMANDS)
        usage = f"kanfield {words[0]} --help"
    if words[0] == "study" and words[1:2] not in (["-h"], ["--help"]):
        if len(words) == 1 or words[1].startswith("-"):
            raise InputError(f"which study? its name follows 'kanfield study': {', '.join(STUDIES)}")
        _check_name("study", words[1], STUDIES)
        usage = f"kanfield study {words[1]} --help"
    try:
        command, unknown = parse(_COMMAND, words, **_ABOUT)
    except InputError as error:
        raise InputError(f"{error} (see {usage})") from None
    if unknown:
        word = next((word for word in unknown if word.startswith("--")), "")
        hint = suggest(word, option_names(command), otherwise=None)
        raise InputError(f"Unrecognized options: {', '.join(unknown)}{hint} (see {usage})")
    return command


def _check_name(what: str, word: str, known: Iterable[str]) -> None:
    if word not in known:
        raise InputError(f"unknown {what} '{word}'{suggest(word, known, 'known:')}")


def command_parser() -> Any:
    """The argparse parser of the whole command line, for shell completion.

    >>> "fit" in command_parser().format_help()
    True
    """
    return make_parser(_COMMAND, known_words(), **_ABOUT)
