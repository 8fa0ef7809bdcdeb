"""What a study leaves behind: ``results.json``, its figures, and ``report.html``."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import yaml

from kanfield.files import write_json
from kanfield.studies.figures import save, to_svg
from kanfield.studies.machine import machine
from kanfield.studies.page import write_page
from kanfield.studies.settings import StudySettings, to_plain
from kanfield.studies.study import Findings, Result
from kanfield.studies.tensorboard import write_pictures

_REM_PER_INCH = 7.0  # width of a figure on the page


def write_findings(
    folder: Path,
    settings: StudySettings,
    findings: Findings,
    results: dict[str, Result],
    seconds: dict[str, float],
) -> None:
    """Write all files of a finished study but its trials; the report comes last."""
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    for picture in findings.pictures:
        save(picture.figure, figures / picture.name)
    write_pictures(folder, findings.pictures)
    content = {
        "study": settings.NAME,
        "settings": to_plain(settings),
        "summary": findings.summary,
        "claims": [dataclasses.asdict(claim) for claim in findings.claims],
        "tables": [dataclasses.asdict(table) for table in findings.tables],
        "notes": findings.notes,
        "trials": results,
        "seconds": seconds,
        "machine": machine(),
    }
    write_json(folder / "results.json", content)
    page = {
        "title": settings.__doc__.split(": ")[0].strip() if settings.__doc__ else settings.NAME,
        "summary": findings.summary,
        "quick": settings.quick,
        "claims": findings.claims,
        "pictures": [
            {
                "name": picture.name,
                "caption": picture.caption,
                "svg": to_svg(picture.figure),
                "width": round(_REM_PER_INCH * picture.figure.get_figwidth(), 1),
            }
            for picture in findings.pictures
        ],
        "tables": findings.tables,
        "notes": findings.notes,
        "command": command(settings),
        "settings": yaml.safe_dump(to_plain(settings), sort_keys=False),
        "seconds": seconds.items(),
    }
    write_page(folder / "report.html", "study.html", page)


def command(settings: StudySettings) -> str:
    """The command line that repeats a study.

    >>> from kanfield.studies.settings import Waves
    >>> command(Waves(models=("kan",), steps=100))
    'kanfield study waves --models kan --steps 100'
    """
    words = ["kanfield", "study", settings.NAME]
    given, usual = to_plain(settings), to_plain(type(settings)())
    if settings.quick:
        usual |= {key: list(v) if isinstance(v, tuple) else v for key, v in settings.QUICK.items()}
    for key, value in given.items():
        if value == usual[key]:
            continue
        words.append(f"--{key.replace('_', '-')}")
        if not isinstance(value, bool):
            words += [_word(each) for each in value] if isinstance(value, list) else [_word(value)]
    return shlex.join(words)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
