"""Fits of every field at every size, for the frontier of PSNR against parameters.

Every field is fitted with equal steps and with equal seconds, half of a checkerboard hidden. KAN presets
keep their rates; the others have three rates, of which a report takes the best for the figure that it shows.
"""

from __future__ import annotations

import csv
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import kanfield
from kanfield.comparison.equal_parameters import match_parameters
from kanfield.config.presets import PRESETS
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError, RunFailed
from kanfield.images import Image
from kanfield.training.target import image_stats, make_target

PARAMETERS = (0.1, 0.17, 0.25, 0.4, 0.5, 1.0, 2.0, 4.0)  # per pixel
RIVALS = "siren", "finer", "rff", "hashgrid"
RATES = (1.0, 1 / 3, 3.0)  # times the family's own
BUDGETS: dict[str, dict[str, Any]] = {"1000 steps": {"steps": 1000}, "6 seconds": {"seconds": 6.0}}
HELD_OUT = "checkerboard"
FIGURES = "psnr", "held_out_psnr", "ssim", "lpips"  # of LPIPS the least is best
KEYS = "image", "field", "parameters_per_pixel", "budget", "rate"
COLUMNS = (*KEYS, *FIGURES, "steps", "seconds", "parameters")


def measure(image: str, table: Path) -> list[dict[str, str]]:
    """Fit every field at every size that is not in the table yet.

    Args:
        image: the file to fit.
        table: CSV file of all fits so far; new ones are appended.

    Returns:
        The rows of this image. Fields that cannot be so small, or whose rate is too high, have no figures.

    Raises:
        InputError: the image cannot be read, or the table is another one.
    """
    picture, name = kanfield.read_image(image), Path(image).stem
    rows: list[dict[str, str]] = []
    if table.is_file():
        with open(table, newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            rows = list(reader)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{table} has other columns than this tool writes: give another table")
    known = {tuple(row[key] for key in KEYS) for row in rows}
    with open(table, "a", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, COLUMNS)
        if not rows:
            writer.writeheader()
        for field, wanted, budget, rate in _fits():
            key = name, field, f"{wanted:g}", budget, f"{rate:.2f}"
            if key in known:
                continue
            row = dict(zip(KEYS, key, strict=True)) | fit(picture, field, wanted, BUDGETS[budget], rate)
            writer.writerow(row)
            lines.flush()
            rows.append(row)
            print(*row.values(), flush=True)
    return [row for row in rows if row["image"] == name]


def fit(picture: Image, field: str, wanted: float, budget: dict[str, Any], rate: float) -> dict[str, str]:
    """Figures of one fit by name; empty where there is no such field or the fit fails.

    Args:
        picture: to fit.
        field: a preset of the KAN, or another family.
        wanted: parameters per pixel.
        budget: steps or seconds, as settings.
        rate: factor of the family's own rates.
    """
    most = round(wanted * picture.height * picture.width)
    try:
        if field in PRESETS:
            settings = Settings(preset=field, held_out=HELD_OUT, parameters=most, **budget)
        else:
            settings = Settings(model=field, held_out=HELD_OUT, **budget)
            settings = resolve(settings, image_stats(make_target(settings, picture, torch.zeros(1))))
            settings = match_parameters(settings, picture.channels, most)
            assert settings.lr and settings.adam_lr  # resolved
            settings = dataclasses.replace(settings, lr=settings.lr * rate, adam_lr=settings.adam_lr * rate)
        with tempfile.TemporaryDirectory() as folder:
            metrics = kanfield.fit(picture, settings, out=folder).metrics
    except (InputError, RunFailed):
        return {}
    return {key: f"{float(metrics[key]):.4f}" for key in COLUMNS[len(KEYS) :]}


def best(rows: list[dict[str, str]], figure: str) -> dict[tuple[str, float], float]:
    """The best of all rates by field and parameters per pixel.

    >>> row = {"field": "siren", "parameters_per_pixel": "0.1", "psnr": "30"}
    >>> best([row, row | {"psnr": "31"}, row | {"psnr": ""}], "psnr")
    {('siren', 0.1): 31.0}
    """
    found: dict[tuple[str, float], float] = {}
    choose = min if figure == "lpips" else max
    for row in rows:
        if row.get(figure):
            key, value = (row["field"], float(row["parameters_per_pixel"])), float(row[figure])
            found[key] = choose(value, found.get(key, value))
    return found


def report(rows: list[dict[str, str]]) -> str:
    """Markdown tables of one image, one for each budget: PSNR seen, PSNR unseen, SSIM, LPIPS.

    >>> report([])
    ''
    """
    parts = []
    for budget in BUDGETS:
        mine = [row for row in rows if row["budget"] == budget]
        if not mine:
            continue
        figures = [best(mine, figure) for figure in FIGURES]
        fields = [field for field in (*PRESETS, *RIVALS) if any(row["field"] == field for row in mine)]
        lines = [f"| {budget} | " + " | ".join(fields) + " |", "| --- |" + " --- |" * len(fields)]
        for wanted in PARAMETERS:
            cells = [
                ", ".join(
                    f"{found[field, wanted]:{digits}}"
                    for found, digits in zip(figures, (".1f", ".1f", ".3f", ".3f"), strict=True)
                    if (field, wanted) in found
                )
                for field in fields
            ]
            lines.append(f"| {wanted:g} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _fits() -> Iterator[tuple[str, float, str, float]]:
    for budget in BUDGETS:
        for wanted in PARAMETERS:
            for field in (*PRESETS, *RIVALS):
                for rate in RATES if field in RIVALS else RATES[:1]:
                    yield field, wanted, budget, rate
