"""``kanfield study``."""

from __future__ import annotations

import functools
import operator
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from kanfield.names import printable
from kanfield.studies.catalogue import STUDIES
from kanfield.studies.settings import StudySettings

if TYPE_CHECKING:
    Chosen = StudySettings
else:
    Chosen = functools.reduce(
        operator.or_, (Annotated[kind, tyro.conf.subcommand(name)] for name, kind in STUDIES.items())
    )


@dataclass
class Study:
    """Run one of the studies of spectral bias and scaling, and write its report."""

    study: Chosen

    def run(self) -> None:
        """Run the study, or the rest of it, and print its findings."""
        from kanfield.cli.printing import print_json, progress_console
        from kanfield.studies.runner import begin, run_study

        settings = begin(self.study)
        findings, results, folder = run_study(settings, progress_console(settings.quiet))
        if settings.json:
            print_json(results)
        elif not settings.quiet:
            print(findings.summary)
            for claim in findings.claims:
                verdict = {True: "holds", False: "does not hold", None: "not judged"}[claim.holds]
                print(f"- {claim.text}: {claim.measured} ({verdict})")
        if not settings.quiet:
            print(printable(f"report, figures and results: {folder / 'report.html'}"), file=sys.stderr)
