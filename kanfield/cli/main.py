"""Parse the words, run the command, and turn every failure into one line and an exit code."""

from __future__ import annotations

import contextlib
import difflib
import io
import re
import sys
from collections.abc import Sequence
from typing import Any

import tyro

import kanfield
from kanfield.cli.commands import COMMANDS, PARSING, Command
from kanfield.errors import InputError, Interrupted, KanfieldError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with the code that ``--help`` and the README state."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        print(f"kanfield {kanfield.__version__}")
        return
    try:
        _parse(words).run()
    except KanfieldError as error:
        _fail(str(error), error.exit_code)
    except Interrupted as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except MemoryError:
        _fail("out of memory: give a smaller image, --size or --crop", 1)
    except BrokenPipeError:
        raise SystemExit(0) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", 1)


def _parse(words: list[str]) -> Any:
    """The command that the words ask for; what tyro says of a mistake becomes one line."""
    if not words:
        words = ["--help"]
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"commands: {', '.join(COMMANDS)}"
        raise InputError(f"unknown command '{words[0]}'; {hint}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(Command, args=words, **PARSING)  # type: ignore[arg-type]
    except SystemExit as end:
        if end.code in (0, None):
            raise
        command = words[0] if not words[0].startswith("-") else ""
        raise InputError(_one_line(said.getvalue(), command)) from None


def _one_line(box: str, command: str) -> str:
    """tyro's boxed error as one line, with the help that mends it."""
    lines = [re.sub(r"[│╭╮╰╯]|[─-]{5,}", " ", line).strip() for line in box.splitlines()]
    text = " ".join(line for line in lines[1:] if line)
    text = re.split(r"Argument helptext|For full helptext", text)[0].strip(" .")
    near = re.search(r"(--[\w-]+)", box[box.find("Perhaps you meant") :]) if "Perhaps" in box else None
    text = re.sub(r"\s*Perhaps you meant.*", "", text)
    if near:
        text += f"; did you mean {near[1]}?"
    told = command in {"fit", "eval", "render", "compare", "spectrum", "study", "runs", "bench", "completion"}
    usage = f"kanfield {command} --help" if told else "kanfield --help"
    return f"{text or 'bad usage'} (see {usage})"


def _fail(message: str, code: int) -> None:
    print(f"kanfield: {message}", file=sys.stderr)
    raise SystemExit(code)
