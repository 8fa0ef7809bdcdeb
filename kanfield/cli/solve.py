"""``kanfield solve``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from tyro.conf import Positional, arg

from kanfield.cli.values import File, Flag, Number, Text, Whole, Widths, _ints, _spec
from kanfield.errors import InputError
from kanfield.names import printable

Cells = Annotated[
    list[int] | None, _spec("grid sizes such as 20 or 40,20", "G,G", _ints), arg(help_behavior_hint="")
]


@dataclass
class Solve:
    """Solve a partial differential equation, a built-in one or your own, and write a report."""

    problem: Annotated[Positional[Text], arg(metavar="[PROBLEM]", help_behavior_hint="")] = None
    """Name of a problem (--list), or a Python file that sets one: kanfield/pde/README.md explains it."""
    list: Flag = False
    """List the problems and end."""
    model: str = "kan"
    """Family of fields (kanfield models lists them)."""
    widths: Widths = None
    """Hidden units, e.g. 10,10."""
    grids: Cells = None
    """Cells of every layer of the KAN at the end, one number for all or one a layer. Even ones are reached by
    exact refinement from coarser ones. Default: 20."""
    order: Whole = None
    """Degree of the KAN's splines, 2 to 5. Default: 5."""
    optimizer: Text = None
    """lm (Levenberg-Marquardt), lbfgs or adam. Default: lm; for KANs above 3,000 parameters lbfgs."""
    steps: Whole = None
    """Steps of the optimiser, in all. Default: 300 of lm, 3000 of lbfgs, 20000 of adam."""
    seconds: Number = None
    """Stop after this time, even before all steps are done."""
    points: Whole = None
    """Points at which the equation is to hold. Default: 2000; of KANs at least five for each parameter up to
    3,000, three for each of more."""
    seed: int = 0
    """Of the field and the points."""
    quick: Flag = False
    """Small sizes for everything left at its default: a test that it runs."""
    out: File = None
    """Folder of the run. Default: a new one under solutions."""
    resume: File = None
    """Go on with the run in this folder."""
    threads: Whole = None
    """CPU threads."""
    json: Flag = False
    """Print metrics.json on standard output, and everything else on standard error."""
    quiet: Flag = False
    """Print nothing but errors and what --json asks for."""

    def run(self) -> None:
        """Solve the problem, or go on with it, and print what was reached."""
        from kanfield.cli.printing import print_json, progress_console
        from kanfield.pde.run import run_solve, summary

        if self.list:
            self._list()
            return
        metrics, folder = run_solve(
            self._settings(), self.out, self.resume, self.threads, progress_console(self.quiet)
        )
        if self.json:
            print_json(metrics)
        elif not self.quiet:
            print(printable(summary(metrics)))
        if not self.quiet:
            print(printable(f"report, figures and metrics: {folder / 'report.html'}"), file=sys.stderr)

    def _settings(self) -> Any:
        from kanfield.pde.settings import Optimizer, SolveSettings

        if self.optimizer is not None and self.optimizer not in get_args(Optimizer):
            raise InputError(
                f"--optimizer {self.optimizer} is unknown: give {', '.join(get_args(Optimizer))}"
            )
        names = (
            "model", "widths", "grids", "order", "optimizer", "steps", "seconds", "points", "seed", "quick",
        )  # fmt: skip
        given = {name: getattr(self, name) for name in names}
        if self.resume is not None:
            if (
                self.problem is not None
                or self.out is not None
                or given != {n: getattr(Solve(), n) for n in names}
            ):
                raise InputError(
                    "--resume takes everything from the run's folder: leave out the other options"
                )
            return None
        if self.problem is None:
            raise InputError("which problem? kanfield solve PROBLEM; kanfield solve --list names them")
        return SolveSettings(self.problem, **given)

    def _list(self) -> None:
        from kanfield.cli.printing import print_json
        from kanfield.pde.problems.catalogue import PROBLEMS

        problems = {name: problem.summary for name, problem in PROBLEMS.items()}
        if self.json:
            print_json(problems)
            return
        for name, text in problems.items():
            print(f"{name:20} {text}")
