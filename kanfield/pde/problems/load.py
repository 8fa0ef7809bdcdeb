"""Finding a problem: by its name in the catalogue, or in the user's Python file."""

from __future__ import annotations

import runpy
from pathlib import Path

from kanfield.errors import InputError, suggest
from kanfield.pde.problem import Problem
from kanfield.pde.problems.catalogue import PROBLEMS


def find_problem(name: str) -> Problem:
    """The problem of a name, or the one that a Python file calls ``problem``.

    Args:
        name: in the catalogue, or a path that ends in ``.py``; such a file is run.

    Raises:
        InputError: there is none, or the file fails.

    >>> find_problem("burgers").box["t"]
    (0.0, 1.0)
    """
    if name in PROBLEMS:
        return PROBLEMS[name]
    path = Path(name)
    if path.suffix != ".py":
        hint = suggest(name, PROBLEMS, "known:")
        raise InputError(f"unknown problem '{name}'{hint}; your own is a file that ends in .py")
    if not path.is_file():
        raise InputError(f"{path} is no file: give a Python file that sets 'problem'")
    try:
        problem = runpy.run_path(str(path)).get("problem")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (Exception, SystemExit) as error:  # a user's file can raise anything
        line = _line(error, path)
        raise InputError(f"{path}{line} fails: {type(error).__name__}: {_first_line(error)}") from None
    if not isinstance(problem, Problem):
        raise InputError(f"{path} sets no 'problem': end it with problem = Problem(box=..., residual=...)")
    return problem


def _line(error: BaseException, path: Path) -> str:
    """Where in the user's file an error arose, as ``, line N``."""
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    lines, trace = [], error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f", line {lines[-1]}" if lines else ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
