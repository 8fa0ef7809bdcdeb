"""``kanfield models`` and ``kanfield doctor``: what this installation can do."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kanfield.cli.values import Flag


@dataclass
class Models:
    """List the families of fields."""

    def run(self) -> None:
        from kanfield.fields import MODELS

        for name, summary in MODELS.items():
            print(f"{name:12} {summary}")


@dataclass
class Doctor:
    """Versions, devices, the backend in use and why, and a self-test of the spline operator."""

    json: Flag = False
    """Print the findings as JSON on standard output."""

    def run(self) -> None:
        from kanfield.doctor import examine, print_report

        findings = examine()
        if self.json:
            print(json.dumps(findings, indent=2))
        else:
            print_report(findings)
        if not findings["healthy"]:
            raise SystemExit(1)
