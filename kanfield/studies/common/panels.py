"""A figure of several panels in rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kanfield.reports.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_panels(count: int, columns: int, width: float, height: float, **subplots: Any) -> tuple[Figure, Any]:
    """A figure of ``count`` panels, row by row; the places left over in the last row are empty.

    Args:
        count: number of panels.
        columns: panels in a row, at most.
        width: of a panel, in inches.
        height: of a panel, in inches.
        **subplots: what ``Figure.subplots`` takes, such as ``sharey=True``.

    Returns:
        The figure, and its axes as an array ``(rows, columns)``.

    >>> figure, axes = new_panels(5, 3, 3.0, 2.5)
    >>> axes.shape, axes[1, 2].axison
    ((2, 3), False)
    """
    columns = min(columns, count)
    rows = -(-count // columns)
    size = (0.6 + width * columns, 0.5 + height * rows)
    figure, axes = new_figure(*size, rows, columns, squeeze=False, **subplots)
    for axis in axes.flat[count:]:
        axis.set_axis_off()
    return figure, axes
