"""Figures of reports: one drawing gives a PNG, a PDF and an SVG for a page in light or dark."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kanfield.files import replacing

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

INK = "#1b1c1e"  # the page's text colour
# The page's series, after Okabe and Ito, darkened: told apart by the colour-blind, 3:1 against the page.
SERIES = (
    *("#0072b2", "#c85a00", "#00815c", "#b5528c", "#7a6a00"),
    *("#3a8fb7", "#7b4bb3", "#a0342c", "#4d6b1f", "#6b6f76"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
_DPI = 160
_KEY_INCHES, _LETTER_INCHES = 0.6, 0.075  # of a legend's entry: line and gaps, a letter of size 9


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **subplots: Any
) -> tuple[Figure, Any]:
    """A figure and its axes, laid out so that nothing is cut off; never matplotlib's global state.

    Args:
        width: in inches.
        height: in inches.
        rows: of axes.
        columns: of axes.
        **subplots: what ``Figure.subplots`` takes, such as ``sharey=True`` or ``squeeze=False``.

    Returns:
        The figure and what ``Figure.subplots`` returns: axes, or an array of them.

    >>> figure, axes = new_figure(4, 3)
    >>> axes.set_xlabel("steps").get_text()
    'steps'
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **subplots)


def add_legend(figure: Figure, *more: Artist) -> None:
    """A legend above all axes, in as many columns as the figure's width has room for.

    Args:
        figure: whose lines are listed.
        *more: entries beside those of labelled lines, such as :func:`legend_entry`.
    """
    lines = [line for axes in figure.axes for line in axes.get_legend_handles_labels()[0]]
    handles = [*lines, *more]
    widths = [_KEY_INCHES + _LETTER_INCHES * len(str(handle.get_label())) for handle in handles]

    def fits(columns: int) -> bool:
        return bool(sum(part.max() for part in np.array_split(widths, columns)) <= figure.get_figwidth())

    columns = next((n for n in range(len(handles), 0, -1) if fits(n)), 1)
    figure.legend(handles=handles, frameon=False, fontsize=9, ncols=columns, loc="outside upper left")


def legend_entry(label: str, colour: str = INK, **style: Any) -> Line2D:
    """An entry of a legend that no line of the figure has.

    Args:
        label: its text.
        colour: of its line.
        **style: what ``Line2D`` takes, such as ``marker="o"``.
    """
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, label=label, **style)


def literal(name: str) -> str:
    """A name that matplotlib shows as it is: ``$`` starts no formula, a leading ``_`` hides no entry."""
    name = name.replace("$", r"\$")
    return "\u200b" + name if name.startswith("_") else name


def add_grid(axes: Axes) -> None:
    """Thin lines behind the data, for reading values off."""
    axes.grid(alpha=0.25, color=INK, linewidth=0.6)
    axes.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG and PDF.

    Args:
        figure: which one.
        path: of the files, without a suffix.
    """
    apply_theme(figure)
    for suffix in (".png", ".pdf"):
        with replacing(path.with_name(path.name + suffix)) as temporary:
            figure.savefig(temporary, format=suffix[1:], dpi=_DPI, facecolor="white")


def to_svg(figure: Figure) -> str:
    """A figure as SVG for a page: text stays text, and the colours become the page's, in light or dark."""
    import matplotlib

    apply_theme(figure)
    settings = {"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "kanfield"}
    buffer = io.StringIO()
    with matplotlib.rc_context(settings):  # type: ignore[arg-type]
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None}, dpi=_DPI)
    svg = buffer.getvalue()[buffer.getvalue().index("<svg") :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font: \1 inherit", svg)
    svg = svg.replace(INK, "currentColor")
    for number, colour in enumerate(SERIES):
        svg = svg.replace(colour, f"var(--series-{number})")
    return svg


def apply_theme(figure: Figure) -> None:
    """Give text, ticks and frames the page's text colour, where they still have matplotlib's black.

    Logarithmic axes get labels that do not overlap.
    """
    from matplotlib.text import Text

    for axes in figure.axes:
        _label_powers(axes)
        for spine in axes.spines.values():
            spine.set_color(INK)
        if not axes.images:  # pictures keep their frame
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        axes.tick_params(which="both", colors=INK, labelsize=9)
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_color() == "black":
            text.set_color(INK)


def _label_powers(axes: Axes) -> None:
    """Label powers of ten alone on logarithmic axes, and show two of them at least."""
    from matplotlib.ticker import LogLocator, NullFormatter

    for axis, limits, limit in (
        (axes.xaxis, axes.get_xlim(), axes.set_xlim),
        (axes.yaxis, axes.get_ylim(), axes.set_ylim),
    ):
        locator = axis.get_major_locator()
        if not isinstance(locator, LogLocator) or getattr(axis.get_transform(), "base", 0) != 10:
            continue  # linear, or with ticks of its own
        axis.set_minor_formatter(NullFormatter())
        low, high = np.log10(sorted(limits))
        if np.floor(high) <= np.ceil(low):
            limit(10 ** np.floor(low), 10 ** np.ceil(high))
