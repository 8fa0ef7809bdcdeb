"""``report.html``: a comparison as one page that needs no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from PIL import Image as PILImage

from kanfield.comparison.charts import psnr_chart, read_curve
from kanfield.comparison.pictures import crop, data_url, open_picture, worst_error_crop
from kanfield.comparison.plan import SHARED, Plan
from kanfield.comparison.results import Comparison
from kanfield.names import command_line
from kanfield.reports.page import write_page
from kanfield.tiles.entry import load

_READING = (
    "PSNR on the pixels a field was trained on says how well it remembers; read it beside the PSNR on unseen "
    "pixels, which says what it knows of the places between, and beside parameters per pixel. The best value "
    "of a column is highlighted."
)
_SPREAD = " ± is the standard deviation over seeds, which change a field's initial weights and its batches"


def write_report(folder: Path, comparison: Comparison) -> None:
    """Write ``report.html``."""
    write_page(folder / "report.html", "compare.html", _content(comparison))


def _content(comparison: Comparison) -> dict[str, Any]:
    """The values of the template's variables."""
    plan = comparison.plan
    settings = comparison.settings()["fits"]
    first = comparison.images()[0]
    return {
        "title": f"{', '.join(plan.labels())} on {_listed(comparison.images())}",
        "summary": summary(plan),
        "reading": _READING + _spread(plan),
        "errors": comparison.errors(),
        "cells": comparison.table(),
        "best": comparison.best(),
        "images": [_image(comparison, name) for name in comparison.images()],
        "command": command(plan),
        "settings": [
            (f"{label}, on {first}", yaml.safe_dump(settings[label][first], sort_keys=False))
            for label in plan.labels()
            if first in settings.get(label, {})
        ],
    }


def _spread(plan: Plan) -> str:
    """What ± in the tables is, where there are several seeds."""
    if plan.seeds == 1:
        return ""
    is_random = plan.held_out not in (None, "checkerboard", "every-second")
    return _SPREAD + (" and also which pixels are held out." if is_random else ".")


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} images"


def summary(plan: Plan) -> str:
    """One sentence on what was compared.

    >>> summary(Plan(["a.png"], ["kan"], seconds=20))
    'Every fit had 20 seconds of training; 1 seed; every pixel was seen.'
    """
    budget = f"{plan.seconds:g} seconds of training" if plan.seconds else f"{plan.steps:,} steps"
    equal = f" and as many parameters as {plan.labels()[0]}, within 5 %" if plan.equal_parameters else ""
    seeds = f"{plan.seeds} seed" + ("s" if plan.seeds > 1 else "")
    hidden = f"pixels held out: {plan.held_out}" if plan.held_out else "every pixel was seen"
    return f"Every fit had {budget}{equal}; {seeds}; {hidden}."


def command(plan: Plan) -> str:
    """The command line that repeats a comparison.

    >>> command(Plan(["a.png"], ["kan", "siren"], steps=300, equal_parameters=True))
    'kanfield compare a.png --models kan siren --steps 300 --equal-parameters'
    """
    words: list[str | Path] = [
        "kanfield",
        "compare",
        *map(Path, plan.images),
        "--models",
        *map(Path, plan.models),
    ]
    for key in ("seeds", *SHARED):
        value = getattr(plan, key)
        if value is not None and (key, value) != ("seeds", 1):
            words.append(f"--{key.replace('_', '-')}")
            if not isinstance(value, bool):
                values = value if isinstance(value, list) else [value]
                words.append(",".join(f"{v:.12g}" if isinstance(v, float) else str(v) for v in values))
    return command_line(*words, *(["--equal-parameters"] if plan.equal_parameters else []))


def _image(comparison: Comparison, name: str) -> dict[str, Any]:
    """The part of the page on one image."""
    plan = comparison.plan
    runs = {label: [Path(row["run"]) for row in comparison.of(label, name)] for label in plan.labels()}
    curves = {label: [read_curve(path / "metrics.csv") for path in paths] for label, paths in runs.items()}
    legend = "Solid: pixels trained on. " + ("Dashed: unseen pixels. " if plan.held_out else "")
    legend += "Shaded: the range over seeds." if plan.seeds > 1 else ""
    part: dict[str, Any] = {
        "name": name,
        "cells": comparison.table(name),
        "best": comparison.best(name),
        "charts": [],
        "legend": legend,
        "about": "",
        "cards": [],
    }
    runs = {label: paths for label, paths in runs.items() if paths}
    if not runs:
        return part
    part["charts"] = [psnr_chart(curves, against) for against in ("seconds", "steps")]
    errors = {label: open_picture(paths[0] / "error.png") for label, paths in runs.items()}
    size, box = next(iter(errors.values())).size, worst_error_crop(list(errors.values()))
    image = load(next(iter(runs.values()))[0]).image  # in the range that its reconstructions are shown in
    part["about"] = f"{image.width} x {image.height} pixels, {image.kind}"
    part["crop"] = f"{box[2] - box[0]} pixels wide and high from {box[0]}, {box[1]}"
    original = image.to_8bit().to_pil()
    part["cards"] = [_card("original", part["about"], original, crop(original, box, size), None)]
    part["view"] = command_line("kanfield", "view", *(paths[0] for paths in runs.values()))
    for label, paths in runs.items():
        row = comparison.of(label, name)[0]
        unseen = "" if row["held_out_psnr"] is None else f", unseen {row['held_out_psnr']:.2f}"
        caption = f"{row['psnr']:.2f} dB{unseen}"
        picture = open_picture(paths[0] / "reconstruction.png")
        part["cards"].append(_card(label, caption, picture, crop(picture, box, size), errors[label]))
    return part


def _card(
    name: str,
    caption: str,
    picture: PILImage.Image,
    part: PILImage.Image,
    error: PILImage.Image | None,
) -> dict[str, Any]:
    return {
        "name": name,
        "caption": caption,
        "picture": data_url(picture),
        "crop": data_url(part),
        "error": None if error is None else data_url(error),
    }
