"""Every command by its name, and how tyro makes one parser of them."""

from __future__ import annotations

from typing import Annotated, Any

import tyro
from tyro.conf import subcommand

import kanfield
from kanfield.cli.about import Doctor, Models
from kanfield.cli.bench import Bench
from kanfield.cli.compare import Compare
from kanfield.cli.completion import Completion
from kanfield.cli.fit import Fit
from kanfield.cli.run import Eval, Render
from kanfield.cli.runs import Runs
from kanfield.cli.spectrum import Spectrum
from kanfield.cli.study import Study

COMMANDS = (
    *("fit", "eval", "render", "compare", "spectrum", "study"),
    *("runs", "models", "bench", "doctor", "completion"),
)
Command = (
    Annotated[Fit, subcommand("fit")]
    | Annotated[Eval, subcommand("eval")]
    | Annotated[Render, subcommand("render")]
    | Annotated[Compare, subcommand("compare")]
    | Annotated[Spectrum, subcommand("spectrum")]
    | Annotated[Study, subcommand("study")]
    | Annotated[Runs, subcommand("runs")]
    | Annotated[Models, subcommand("models")]
    | Annotated[Bench, subcommand("bench")]
    | Annotated[Doctor, subcommand("doctor")]
    | Annotated[Completion, subcommand("completion")]
)

# What tyro is told about the whole command line.
PARSING: dict[str, Any] = {
    "prog": "kanfield",
    "description": kanfield.__doc__.splitlines()[0],  # type: ignore[union-attr]
    "config": (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
}
