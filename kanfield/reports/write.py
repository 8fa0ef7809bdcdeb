"""The files of findings: ``results.json``, figures, TensorBoard events and ``report.html``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kanfield.errors import InputError
from kanfield.files import make_numbered_folder, write_json
from kanfield.machine import machine
from kanfield.reports.figures import save, to_svg
from kanfield.reports.findings import Findings
from kanfield.reports.page import write_page
from kanfield.reports.tensorboard import write_pictures

_REM_PER_INCH = 7.0  # width of a figure on the page


def check_out(out: Path | None, what: str) -> None:
    """Check that ``--out`` can be the folder of ``what``, which would overwrite files of the same names.

    Raises:
        InputError: it is a file, or a folder that holds files.
    """
    if out is None or not out.exists():
        return
    if not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder for {what}")
    if any(out.iterdir()):
        raise InputError(f"--out {out} holds files already: give an empty or a new folder")


def make_folder(out: Path | None, parent: Path, name: str = "") -> Path:
    """Make the folder of a report, where there is none yet.

    Args:
        out: the folder that was asked for, or None for a new numbered one.
        parent: of the numbered folder.
        name: of the numbered folder, before its number.

    Returns:
        The folder.

    Raises:
        InputError: it cannot be made.
    """
    try:
        if out is None:
            return make_numbered_folder(parent, name)
        out.mkdir(parents=True, exist_ok=True)
        return out
    except OSError as error:
        raise InputError(
            f"--out {out or parent}: no folder can be made there ({error.strerror}); "
            "give one that is writable"
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
) -> dict[str, Any]:
    """Write all files of findings; the report comes last.

    Args:
        folder: where.
        findings: what to write.
        title: of the page.
        command: the command line that repeats it.
        content: what ``results.json`` begins with; an entry ``seconds`` is listed in the report.
        settings: as text, for the report.
        quick: whether sizes were too small to judge the claims.

    Returns:
        The content of ``results.json``.
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
    return results
