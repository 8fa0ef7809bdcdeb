"""What findings leave behind: ``results.json``, its figures, and ``report.html``."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kanfield.errors import InputError
from kanfield.files import write_json
from kanfield.machine import machine
from kanfield.studies.figures import save, to_svg
from kanfield.studies.page import write_page
from kanfield.studies.settings import StudySettings, to_plain
from kanfield.studies.study import Findings, Result
from kanfield.studies.tensorboard import write_pictures

_REM_PER_INCH = 7.0  # width of a figure on the page


def make_folder(folder: Path) -> None:
    """Make the folder of a report, where there is none yet.

    Raises:
        InputError: none can be made there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--out {folder}: no folder can be made there ({error.strerror}); give one that is writable"
        ) from None


def write_findings(
    folder: Path,
    findings: Findings,
    *,
    title: str,
    command: str,
    content: Mapping[str, Any],
    settings: str = "",
    quick: bool = False,
) -> None:
    """Write all files of findings; the report comes last.

    Args:
        title: of the page. command: what repeats it. content: what ``results.json`` begins with; seconds by
            name among it are listed in the report. settings: in words.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for picture in findings.pictures:
        save(picture.figure, figures / picture.name)
    write_pictures(folder, findings.pictures)
    results = {
        **content,
        "summary": findings.summary,
        "claims": [dataclasses.asdict(claim) for claim in findings.claims],
        "tables": [dataclasses.asdict(table) for table in findings.tables],
        "notes": findings.notes,
        "machine": machine(),
    }
    write_json(folder / "results.json", results)
    page = {
        "title": title,
        "findings": findings,
        "quick": quick,
        "pictures": [
            {
                "name": picture.name,
                "caption": picture.caption,
                "svg": to_svg(picture.figure),
                "width": round(_REM_PER_INCH * picture.figure.get_figwidth(), 1),
            }
            for picture in findings.pictures
        ],
        "command": command,
        "settings": settings,
        "seconds": content.get("seconds", {}).items(),
    }
    write_page(folder / "report.html", "study.html", page)


def write_study(
    folder: Path,
    settings: StudySettings,
    findings: Findings,
    results: Mapping[str, Result],
    seconds: Mapping[str, float],
) -> None:
    """Write all files of a finished study but its trials."""
    plain = to_plain(settings)
    write_findings(
        folder,
        findings,
        title=_title(settings),
        command=command(settings),
        content={"study": settings.NAME, "settings": plain, "trials": results, "seconds": seconds},
        settings=yaml.safe_dump(plain, sort_keys=False),
        quick=settings.quick,
    )


def _title(settings: StudySettings) -> str:
    """The first words that describe a study, without its source."""
    return (settings.__doc__ or settings.NAME).strip().split(": ")[0].split(" (arXiv")[0].rstrip(".")


def command(settings: StudySettings) -> str:
    """The command line that repeats a study.

    >>> from kanfield.studies.catalogue import Waves
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
