"""What a report says: a summary, claims, figures and tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Claim:
    """What theory or a paper says, beside what was measured.

    Attributes:
        text: what is claimed.
        measured: what was found.
        holds: whether they agree; None where that is not judged.
    """

    text: str
    measured: str
    holds: bool | None


@dataclass(frozen=True)
class Picture:
    """A figure of a report.

    Attributes:
        name: of its files, without a suffix.
        figure: what is drawn.
        caption: what it shows.
    """

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True)
class Table:
    """A table of a report.

    Attributes:
        title: what it shows.
        cells: rows of text; the first one is the heading.
    """

    title: str
    cells: list[list[str]]


@dataclass(frozen=True)
class Findings:
    """The content of a report.

    Attributes:
        summary: what was found, in one or two sentences.
        claims: with what was measured.
        pictures: figures, in their order.
        tables: after the figures.
        notes: what to know to read them.
    """

    summary: str
    claims: list[Claim] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
