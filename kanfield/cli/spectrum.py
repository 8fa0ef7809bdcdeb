"""``kanfield spectrum``."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kanfield.cli.values import File
from kanfield.errors import InputError


@dataclass
class Spectrum:
    """Draw the spectra of several runs together, and how long they took to learn every frequency."""

    paths: Annotated[Positional[tuple[Path, ...]], arg(metavar="[RUN ...]", help_behavior_hint="")] = ()
    """Run folders, or folders that contain runs, such as a comparison's; best fitted with --spectrum."""
    out: File = None
    """Folder of the report. Default: a new one under spectra."""

    def run(self) -> None:
        from kanfield.comparison.spectra import choose_folder, write_spectra

        if not self.paths:
            raise InputError("which runs? kanfield spectrum RUN... or the folder of a comparison")
        folder = choose_folder(self.out)
        findings = write_spectra(self.paths, folder)
        print(findings.summary)
        for line in findings.tables[0].cells if findings.tables else []:
            print("  ".join(f"{cell:16}" for cell in line).rstrip())
        print(f"report and figures: {folder / 'report.html'}", file=sys.stderr)
