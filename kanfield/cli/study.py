"""``kanfield study``."""

from __future__ import annotations

import functools
import operator
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from kanfield.studies.catalogue import ALL
from kanfield.studies.settings import StudySettings

if TYPE_CHECKING:
    Chosen = StudySettings
else:
    Chosen = functools.reduce(
        operator.or_, (Annotated[kind, tyro.conf.subcommand(kind.NAME)] for kind in ALL)
    )


@dataclass
class Study:
    """Run one of the studies of spectral bias and scaling, and write its report."""

    study: Chosen

    def run(self) -> None:
        from rich.console import Console

        from kanfield.studies.runner import begin, run_study

        settings, folder = begin(self.study)
        findings = run_study(settings, folder, Console(stderr=True))
        print(findings.summary)
        for claim in findings.claims:
            verdict = {True: "holds", False: "does not hold", None: "not judged"}[claim.holds]
            print(f"- {claim.text}: {claim.measured} ({verdict})")
        print(f"report, figures and results: {folder / 'report.html'}", file=sys.stderr)
