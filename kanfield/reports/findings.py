"""What a report says: a summary, claims, figures and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Claim:
    """What theory or a paper says, what was measured, and whether it holds (None: not judged)."""

    text: str
    measured: str
    holds: bool | None


@dataclass(frozen=True)
class Picture:
    """A figure with a name for its files and a caption."""

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows of text under a title; the first row is the heading."""

    title: str
    cells: list[list[str]]


@dataclass(frozen=True)
class Findings:
    """What a study concludes; the summary leads the report, the notes follow the figures."""

    summary: str
    claims: list[Claim] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
