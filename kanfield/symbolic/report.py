"""What ``kanfield symbolic`` writes: results, formulae as text, LaTeX and Python, drawings, a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sympy

from kanfield.files import write_text
from kanfield.reports.figures import MARKERS, SERIES, add_grid, literal, new_figure
from kanfield.reports.findings import Findings, Picture, Table
from kanfield.reports.tensorboard import write_curves
from kanfield.reports.write import write_findings
from kanfield.symbolic.discovery import Discovery, Formula
from kanfield.symbolic.drawing import draw
from kanfield.symbolic.expressions import as_function

_LEAST = 1e-17  # errors of zero are drawn here


def write_discovery(
    folder: Path, found: Discovery, x: Any, command: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Write all files of a search.

    Args:
        folder: where.
        found: by the search.
        x: its samples, ``(N, n)``, over whose range edges are drawn.
        command: the command line that repeats it.
        settings: of the search, for ``results.json``.

    Returns:
        The content of ``results.json``.
    """
    if found.chosen is not None:
        expression = found.chosen.expression
        write_text(folder / "formula.txt", f"{found.target} = {expression}\n")
        write_text(folder / "formula.tex", f"{found.target} = {sympy.latex(expression)}\n")
        write_text(folder / "formula.py", as_function(expression, found.inputs) + "\n")
    write_curves(folder, "search", _curves(found))
    content = {
        "settings": settings,
        "inputs": list(found.inputs),
        "target": found.target,
        "found": found.found,
        "floor": _number(found.floor),
        "formula": None if found.chosen is None else _plain(found.chosen),
        "front": [_plain(formula) for formula in found.formulas],
        "attempts": [
            {
                "seed": a.seed,
                "origin": a.origin,
                "error_with_splines": _number(a.fitted),
                "error_as_formula": _number(a.snapped),
                "outcome": a.outcome,
            }
            for a in found.attempts
        ],
        "seconds": {"search": round(found.seconds, 3)},
    }
    return write_findings(
        folder, _findings(found, x), title=f"A formula for {found.target}", command=command, content=content
    )


def summary(found: Discovery) -> str:
    """What was found, in one or two sentences."""
    best = found.chosen
    if best is None and not found.attempts:
        return f"No formula was found for {found.target}: no network fits well enough, or the time was over."
    if best is None:
        return (
            f"No formula of the table's functions was found for {found.target}: a smooth model predicts "
            f"unseen samples to {found.floor:.1e} of their spread, but none of its edges is a named function."
        )
    shown = f"{found.target} = {best.expression}"
    outside = "" if best.outside is None else f", {best.outside:.1e} outside the range that was fitted"
    errors = f"relative error {best.error:.1e} on unseen samples{outside}"
    if found.found:
        return f"{shown}: {errors}."
    return (
        f"No formula of the table's functions explains {found.target}: the best candidate has {errors}, and "
        f"a smooth model {found.floor:.1e}. It is {shown}."
    )


def _findings(found: Discovery, x: Any) -> Findings:
    pictures = []
    if found.fitted is not None and found.chosen is not None:
        pictures = [
            Picture(
                "before",
                draw(found.fitted, x, found.target),
                "The network as it was fitted, splines in blue.",
            ),
            Picture(
                "after",
                draw(found.chosen.network, x, found.target),
                "The same after snapping.",
            ),
        ]
    elif found.attempts:
        best = min(found.attempts, key=lambda a: a.fitted)
        pictures = [
            Picture("before", draw(best.network, x, found.target), "The best network that was fitted.")
        ]
    if found.formulas:
        pictures.append(_front(found))
    heading = ["formula", "complexity", "relative error", "outside the range", "seed", "from"]
    formulas = [
        [str(f.expression), str(f.complexity), f"{f.error:.1e}", _shown(f.outside), str(f.seed), f.origin]
        for f in found.formulas
    ]
    attempts = [
        [str(a.seed), a.origin, f"{a.fitted:.1e}", _shown(a.snapped), a.outcome] for a in found.attempts
    ]
    return Findings(
        summary(found),
        pictures=pictures,
        tables=[
            Table("Formulae: none simpler has a smaller error", [heading, *formulas]),
            Table(
                "All attempts", [["seed", "network", "with splines", "as a formula", "outcome"], *attempts]
            ),
        ],
        notes=[
            "Errors are root mean squares on samples that were not fitted, relative to the standard "
            "deviation of the target. Complexity is the number of nodes of the formula's tree.",
            "A formula explains the samples if its error is below 1e-7, or if it is at most 15 % above that "
            "of the best smooth model and the residuals of neighbouring samples are not correlated.",
        ],
    )


def _front(found: Discovery) -> Picture:
    figure, axes = new_figure(5.5, 3.4)
    add_grid(axes)
    sizes = [f.complexity for f in found.formulas]
    errors = [max(f.error, _LEAST) for f in found.formulas]
    axes.plot(sizes, errors, color=SERIES[0], marker=MARKERS[0], label=literal("unseen samples"))
    outside = [(f.complexity, max(f.outside, _LEAST)) for f in found.formulas if f.outside is not None]
    if outside:
        axes.plot(
            *zip(*outside, strict=True),
            color=SERIES[1],
            marker=MARKERS[1],
            linestyle="--",
            label="outside the range",
        )
    axes.axhline(max(found.floor, _LEAST), color=SERIES[2], linewidth=1, label="best smooth model")
    axes.set_yscale("log")
    axes.set_xlabel("complexity")
    axes.set_ylabel("relative error")
    axes.legend(frameon=False, fontsize=9)
    return Picture("front", figure, "Error against complexity of the formulae that no simpler one beats.")


def _curves(found: Discovery) -> dict[str, list[tuple[int, float | None]]]:
    numbered = list(enumerate(found.attempts, 1))
    return {
        "error/with_splines": [(n, _number(a.fitted)) for n, a in numbered],
        "error/as_formula": [(n, _number(a.snapped)) for n, a in numbered],
        "front/error_by_complexity": [(f.complexity, _number(f.error)) for f in found.formulas],
    }


def _plain(formula: Formula) -> dict[str, Any]:
    return {
        "text": str(formula.expression),
        "latex": sympy.latex(formula.expression),
        "complexity": formula.complexity,
        "error": _number(formula.error),
        "error_outside": _number(formula.outside),
        "seed": formula.seed,
        "origin": formula.origin,
    }


def _number(value: float | None) -> float | None:
    """What JSON can hold: None for an infinity."""
    return None if value is None or not abs(value) < float("inf") else float(value)


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"
