"""``kanfield symbolic``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kanfield.cli.values import File, Flag, Number, Text, Whole, Widths
from kanfield.errors import InputError
from kanfield.names import command_line, printable

_MANY_SEEDS = 100


@dataclass
class Symbolic:
    """Look for a formula of samples: KANs are fitted, pruned, and their edges snapped to named functions."""

    data: Annotated[Positional[File], arg(metavar="DATA", help_behavior_hint="")] = None
    """CSV file with a line of column names, or NPZ file of one array for every column."""
    target: Text = None
    """Column to explain."""
    inputs: Annotated[tuple[str, ...], arg(metavar="[NAME ...]", help_behavior_hint="")] = ()
    """Columns to explain it by. Default: all others."""
    widths: Widths = None
    """Hidden widths of a layered KAN that is tried first, such as 5. Default: small KANs of the shapes of
    textbook formulae first, then one of width 5."""
    functions: File = None
    """YAML file of functions beside those of the table: a list of name, formula, domain, complexity."""
    seeds: Whole = None
    """Splits and starts that are tried until one explains the samples. Default: 3."""
    seconds: Number = None
    """Begin no new step after so many. Default: no limit."""
    noise: Text = None
    """Standard deviation of the target's noise, or auto: what smooth models reach. Default: auto."""
    out: File = None
    """Folder of the report. Default: a new one under formulas."""

    threads: Whole = None
    """CPU threads."""
    json: Flag = False
    """Print results.json on standard output, and everything else on standard error."""
    quiet: Flag = False
    """Print nothing but errors and what --json asks for."""

    def run(self) -> None:
        """Search, write the report and print the formulae."""
        path, target, seeds, noise = self._checked()
        from kanfield.cli.printing import print_json
        from kanfield.process import limit_threads
        from kanfield.reports.write import check_out, make_folder
        from kanfield.symbolic.discover import discover
        from kanfield.symbolic.functions import FUNCTIONS, read_functions
        from kanfield.symbolic.report import summary, write_discovery
        from kanfield.symbolic.samples import check
        from kanfield.symbolic.tables import read_table

        def progress(line: str) -> None:
            if not self.quiet:
                print(printable(line), file=sys.stderr, flush=True)

        table = read_table(path, target, self.inputs)
        check(table.x, table.y, table.inputs, table.target)
        functions = FUNCTIONS if self.functions is None else read_functions(self.functions)
        check_out(self.out, "the report")
        folder = make_folder(self.out, Path("formulas"), path.stem)
        with limit_threads(self.threads):
            found = discover(
                *(table.x, table.y),
                names=table.inputs,
                target=table.target,
                functions=functions,
                widths=self.widths,
                seeds=seeds,
                seconds=self.seconds,
                noise=noise,
                progress=progress,
            )
            settings = {
                "data": str(path),
                "seeds": seeds,
                "seconds": self.seconds,
                "noise": noise,
                "widths": self.widths,
            }
            results = write_discovery(folder, found, table.x, self._command(path, target), settings)
        if self.json:
            print_json(results)
        elif not self.quiet:
            print(printable(summary(found)))
            for formula in found.formulas:
                print(printable(f"{formula.complexity:4d}  {formula.error:.1e}  {formula.expression}"))
        if not self.quiet:
            print(printable(f"report, drawings and results: {folder / 'report.html'}"), file=sys.stderr)

    def _checked(self) -> tuple[Path, str, int, float | None]:
        """Values that need no file to be judged."""
        if self.data is None:
            raise InputError("which samples? kanfield symbolic DATA.csv --target COLUMN")
        if self.target is None:
            raise InputError("which column is to be explained? give --target COLUMN")
        seeds = 3 if self.seeds is None else self.seeds
        if not 1 <= seeds <= _MANY_SEEDS:
            raise InputError(f"--seeds {seeds} is impossible: give 1 to {_MANY_SEEDS}")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise InputError(f"--seconds {self.seconds} is impossible: give a number above zero")
        if self.widths is not None and not all(0 < width <= 50 for width in self.widths):
            raise InputError(f"--widths {','.join(map(str, self.widths))}: give widths of 1 to 50, such as 5")
        return self.data, self.target, seeds, self._noise()

    def _noise(self) -> float | None:
        if self.noise in (None, "auto"):
            return None
        try:
            noise = float(str(self.noise))
        except ValueError:
            noise = -1.0
        if not 0 <= noise < float("inf"):
            raise InputError(f"--noise {self.noise} is impossible: give auto or a number, zero or more")
        return noise

    def _command(self, path: Path, target: str) -> str:
        words: list[str | Path] = ["kanfield", "symbolic", path, "--target", target]
        if self.inputs:
            words += ["--inputs", *self.inputs]
        if self.widths:
            words += ["--widths", ",".join(map(str, self.widths))]
        for name in ("functions", "seeds", "seconds", "noise"):
            value = getattr(self, name)
            if value is not None:
                words += [f"--{name}", value if isinstance(value, Path) else str(value)]
        return command_line(*words)
