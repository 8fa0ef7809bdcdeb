"""``kanfield spectrum``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kanfield.cli.values import File, Flag, Whole
from kanfield.errors import InputError
from kanfield.names import printable


@dataclass
class Spectrum:
    """Draw the spectra of several runs, and how long each took to learn every frequency."""

    paths: Annotated[Positional[tuple[Path, ...]], arg(metavar="[RUN ...]", help_behavior_hint="")] = ()
    """Run folders, or folders that contain runs, such as a comparison's; best fitted with --spectrum."""
    out: File = None
    """Folder of the report. Default: a new one under spectra."""

    threads: Whole = None
    """CPU threads."""
    json: Flag = False
    """Print results.json on standard output, and everything else on standard error."""
    quiet: Flag = False
    """Print nothing but errors and what --json asks for."""

    def run(self) -> None:
        """Measure the runs, write the report and print its table."""
        from kanfield.cli.printing import print_json, progress_console
        from kanfield.comparison.spectra import write_spectra
        from kanfield.process import limit_threads

        if not self.paths:
            raise InputError("which runs? kanfield spectrum RUN... or the folder of a comparison")
        with limit_threads(self.threads):
            findings, results, folder = write_spectra(self.paths, self.out, progress_console(self.quiet))
        if self.json:
            print_json(results)
        elif not self.quiet:
            print(printable(findings.summary))
            for line in findings.tables[0].cells if findings.tables else []:
                print(printable("  ".join(f"{cell:16}" for cell in line).rstrip()))
        if not self.quiet:
            print(printable(f"report and figures: {folder / 'report.html'}"), file=sys.stderr)
