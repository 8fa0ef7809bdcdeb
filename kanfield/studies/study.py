"""What a study is made of: trials, which are computed and kept one by one, and findings.

A study is a module ``kanfield.studies.<name>`` with two functions: ``trials(settings)`` lists what is to be
computed, ``conclude(settings, results)`` says what it shows; :mod:`kanfield.studies.runner` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Result = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """What is computed at a time, and kept.

    Attributes:
        key: its name, fit for a file. compute: gives plain values; an entry ``curves``,
            ``{"tag": [[step, value], ...]}``, goes to TensorBoard.
    """

    key: str
    compute: Callable[[], Result]


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
