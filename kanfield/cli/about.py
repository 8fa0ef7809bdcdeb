"""``kanfield models`` and ``kanfield doctor``: what this installation can do."""

from __future__ import annotations

from dataclasses import dataclass

from kanfield.cli.printing import print_json
from kanfield.cli.values import Flag


def _format(value: object) -> str:
    """A default as the command line takes it."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


@dataclass
class Models:
    """List the families of fields, each with its settings and their defaults."""

    def run(self) -> None:
        """Print the list."""
        from kanfield.errors import InputError
        from kanfield.fields import family_names, find_family

        for name in family_names():
            try:
                family = find_family(name)
            except InputError as error:  # a broken plug-in must not hide the other families
                print(f"{name:14} {error}")
                continue
            print(f"{name:14} {family.summary}")
            options = (f"{key} {_format(value)}" for key, value in family.options.items())
            print(f"{'':14}   {', '.join(options)}")
            if family.unavailable:
                print(f"{'':14}   not available: {family.unavailable}")


@dataclass
class Doctor:
    """Show versions, devices and the backend in use and why, and test the operators."""

    json: Flag = False
    """Print the findings as JSON on standard output."""

    def run(self) -> None:
        """Examine the installation; the exit code is 1 where something has to be fixed."""
        from kanfield.doctor import examine, print_report

        findings = examine()
        if self.json:
            print_json(findings)
        else:
            print_report(findings)
        if not findings["healthy"]:
            raise SystemExit(1)
