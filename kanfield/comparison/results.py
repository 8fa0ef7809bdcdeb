"""What a comparison found: its rows, their means, and the files that hold them."""

from __future__ import annotations

import csv
import dataclasses
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from kanfield.comparison.plan import Plan
from kanfield.files import replacing, write_json
from kanfield.machine import machine
from kanfield.runs.folder import RunFolder

# What the tables show of a row: its key, heading, format, and whether more is better (None: neither).
COLUMNS: dict[str, tuple[str, str, bool | None]] = {
    "psnr": ("PSNR", ".2f", True),
    "held_out_psnr": ("unseen", ".2f", True),
    "ssim": ("SSIM", ".4f", True),
    "lpips": ("LPIPS", ".4f", False),
    "bias": ("bias", ".2f", None),
    "parameters_per_pixel": ("param./px", ".2f", None),
    "steps": ("steps", ".0f", None),
    "seconds": ("seconds", ".1f", None),
    "peak_memory_bytes": ("MB", ".0f", None),
}
_SCALES = {"peak_memory_bytes": 1e-6}


@dataclass(frozen=True)
class Mean:
    """A figure over seeds and images.

    Attributes:
        value: the mean. spread: standard deviation over seeds, averaged over images; None of one seed.
    """

    value: float
    spread: float | None

    def show(self, form: str) -> str:
        """In words, such as ``33.91 ± 0.05``."""
        return f"{self.value:{form}}" + ("" if self.spread is None else f" ± {self.spread:{form}}")


@dataclass
class Comparison:
    """A plan with a row for each of its fits: image, label, model, seed, error and the fit's metrics."""

    plan: Plan
    rows: list[dict[str, Any]]

    def images(self) -> list[str]:
        """Names of the images."""
        return [Path(image).stem for image in self.plan.images]

    def of(self, label: str, image: str | None = None) -> list[dict[str, Any]]:
        """The rows of a model that did not fail, on one image or on all."""
        return [
            row
            for row in self.rows
            if row["label"] == label and row["error"] is None and image in (None, row["image"])
        ]

    def mean(self, label: str, key: str, image: str | None = None) -> Mean | None:
        """Mean and spread of a figure, or None where a fit failed or has none."""
        values, spreads = [], []
        for name in self.images() if image is None else [image]:
            rows = self.of(label, name)
            found = [_figure(row, key) for row in rows]
            figures = [value * _SCALES.get(key, 1) for value in found if value is not None]
            if len(figures) < self.plan.seeds:
                return None
            values.append(statistics.mean(figures))
            if len(figures) > 1:
                spreads.append(statistics.stdev(figures))
        told = spreads and COLUMNS[key][2] is not None  # of sizes and budgets it would say nothing
        return Mean(statistics.mean(values), statistics.mean(spreads) if told else None)

    def table(self, image: str | None = None) -> list[list[str]]:
        """Cells: a heading, then a line a model; columns of which nothing is known are left out."""
        keys = [key for key in COLUMNS if any(self.mean(label, key, image) for label in self.plan.labels())]
        lines = [["model", *(COLUMNS[key][0] for key in keys)]]
        for label in self.plan.labels():
            means = [self.mean(label, key, image) for key in keys]
            cells = ["–" if m is None else m.show(COLUMNS[k][1]) for k, m in zip(keys, means, strict=True)]
            lines.append([label, *cells])
        return lines

    def best(self, image: str | None = None) -> dict[str, str]:
        """The model that leads in a column, by the column's heading."""
        leaders = {}
        for key, (heading, _, more) in COLUMNS.items():
            means = {label: self.mean(label, key, image) for label in self.plan.labels()}
            known = {label: mean.value for label, mean in means.items() if mean is not None}
            if more is not None and len(known) > 1:
                leaders[heading] = (max if more else min)(known, key=known.__getitem__)
        return leaders

    def errors(self) -> list[str]:
        """What failed, a line each."""
        failed = [row for row in self.rows if row["error"] is not None]
        counts = Counter((row["label"], row["error"]) for row in failed)
        return [
            f"{label} failed in {count} of {len(self.images()) * self.plan.seeds} fits: {error}"
            for (label, error), count in counts.items()
        ]

    def to_plain(self) -> dict[str, Any]:
        """The content of ``compare.json``."""
        return {"rows": self.rows, "settings": self.settings(), "machine": machine()}

    def settings(self) -> dict[str, Any]:
        """The plan, and what every model was told for every image (of its first seed)."""
        fits: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            if row["error"] is None and row["seed"] == 0:
                settings = dataclasses.asdict(RunFolder(Path(row["run"])).read_config()[0])
                kept = {key: value for key, value in settings.items() if value is not None}
                fits.setdefault(row["label"], {})[row["image"]] = kept
        plan = {key: value for key, value in dataclasses.asdict(self.plan).items() if value is not None}
        return {**plan, "fits": fits}


def _figure(row: dict[str, Any], key: str) -> float | None:
    """A figure of a row; the bias to low frequencies is one of the spectrum's."""
    value: float | None = (row.get("spectrum") or {}).get(key) if key == "bias" else row[key]
    return value


def write_tables(folder: Path, comparison: Comparison) -> None:
    """Write ``compare.json`` and ``compare.csv``."""
    write_json(folder / "compare.json", comparison.to_plain())
    names = list(dict.fromkeys(key for row in comparison.rows for key in row))
    with (
        replacing(folder / "compare.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(comparison.rows)


def terminal_tables(comparison: Comparison) -> list[Table]:
    """The means over all images, and PSNR image by image where there are several; the best in bold."""
    tables = [_terminal_table(comparison.table(), comparison.best())]
    images = comparison.images()
    if len(images) > 1:
        cells = [["PSNR (unseen)" if comparison.plan.held_out else "PSNR", *images]]
        for label in comparison.plan.labels():
            cells.append([label, *(_pair(comparison, label, image) for image in images)])
        tables.append(_terminal_table(cells, {}))
    return tables


def _pair(comparison: Comparison, label: str, image: str) -> str:
    seen, unseen = (comparison.mean(label, key, image) for key in ("psnr", "held_out_psnr"))
    if seen is None:
        return "–"
    return f"{seen.value:.2f}" + (f" ({unseen.value:.2f})" if unseen else "")


def _terminal_table(cells: Sequence[Sequence[str]], best: dict[str, str]) -> Table:
    heading, *lines = cells
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(heading[0], no_wrap=True)
    for name in heading[1:]:
        table.add_column(name, justify="right", no_wrap=name in ("param./px", "seconds"))
    for line in lines:
        bold = [f"[bold]{c}[/]" if best.get(h) == line[0] else c for h, c in zip(heading, line, strict=True)]
        table.add_row(*bold)
    return table
