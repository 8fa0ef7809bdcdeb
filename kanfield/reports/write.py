"""What findings leave behind: ``results.json``, figures, TensorBoard events and ``report.html``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kanfield.errors import InputError
from kanfield.files import write_json
from kanfield.machine import machine
from kanfield.reports.figures import save, to_svg
from kanfield.reports.findings import Findings
from kanfield.reports.page import write_page
from kanfield.reports.tensorboard import write_pictures

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
