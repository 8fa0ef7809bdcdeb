"""The report of a study, and the command that repeats it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kanfield.names import command_line
from kanfield.reports.findings import Findings
from kanfield.reports.write import write_findings
from kanfield.studies.settings import StudySettings, to_plain
from kanfield.studies.study import Result


def write_study(
    folder: Path,
    settings: StudySettings,
    findings: Findings,
    results: Mapping[str, Result],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Write all files of a finished study except its trials.

    Args:
        folder: of the study.
        settings: of the study.
        findings: what it shows.
        results: of the trials, by their keys.
        seconds: that the trials took, by their keys.

    Returns:
        The content of ``results.json``.
    """
    plain = to_plain(settings)
    return write_findings(
        folder,
        findings,
        title=_title(settings),
        command=command(settings),
        content={"study": settings.NAME, "settings": plain, "trials": results, "seconds": seconds},
        settings=yaml.safe_dump(plain, sort_keys=False),
        quick=settings.quick,
    )


def _title(settings: StudySettings) -> str:
    """The first words of a study's description, without its source."""
    return (settings.__doc__ or settings.NAME).strip().split(": ")[0].split(" (arXiv")[0].rstrip(".")


def command(settings: StudySettings) -> str:
    """The command line that repeats a study.

    >>> from kanfield.studies.catalogue import Waves
    >>> command(Waves(models=("kan",), steps=100))
    'kanfield study waves --models kan --steps 100'
    """
    words = ["kanfield", "study", settings.NAME]
    given, defaults = to_plain(settings), to_plain(type(settings)())
    if settings.quick:
        defaults |= {key: list(v) if isinstance(v, tuple) else v for key, v in settings.QUICK.items()}
    for key, value in given.items():
        if value == defaults[key]:
            continue
        words.append(f"--{key.replace('_', '-')}")
        if not isinstance(value, bool):
            words += [_word(each) for each in value] if isinstance(value, list) else [_word(value)]
    return command_line(*words)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
