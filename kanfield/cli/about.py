"""``kanfield models`` and ``kanfield doctor``: what this installation can do."""

from __future__ import annotations

import json
from dataclasses import dataclass

from kanfield.cli.values import Flag


def _shown(value: object) -> str:
    """A default as the command line would take it."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


@dataclass
class Models:
    """List the families of fields, each with its settings and their defaults."""

    def run(self) -> None:
        from kanfield.errors import InputError
        from kanfield.fields import family_names, find_family

        for name in family_names():
            try:
                family = find_family(name)
            except InputError as error:  # somebody's package is broken: the others are still there
                print(f"{name:14} {error}")
                continue
            print(f"{name:14} {family.summary}")
            options = (f"{key} {_shown(value)}" for key, value in family.options.items())
            print(f"{'':14}   {', '.join(options)}")
            if family.unavailable:
                print(f"{'':14}   not available: {family.unavailable}")


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
