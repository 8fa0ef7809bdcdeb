"""The script that lets a shell complete commands, options, names and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

SHELLS = ("bash", "zsh", "fish")


def completion_script(parser: Any, shell: str) -> str:
    """The script that a shell has to source.

    Args:
        parser: the argparse parser of the whole command line.
        shell: one of :data:`SHELLS`.
    """
    import shtab

    return str(shtab.complete(parser, shell))


def known_words() -> Mapping[str, Sequence[str]]:
    """The words that an option or argument takes, by its name."""
    from kanfield.config.presets import PRESETS
    from kanfield.config.settings import Encoding
    from kanfield.fields import family_names
    from kanfield.pde.settings import Optimizer

    return {
        "--model": tuple(family_names()),
        "--models": tuple(family_names()),
        "--preset": tuple(PRESETS),
        "--encoding": get_args(Encoding),
        "--held-out": ("checkerboard", "every-second"),
        "--optimizer": ("muon", "adam"),
        "solve --optimizer": get_args(Optimizer),
        "--device": ("auto", "cpu", "cuda", "xpu", "mps"),
        "--precision": ("fp32", "fp64", "tf32x3", "tf32", "bf16"),
        "SHELL": SHELLS,
    }
