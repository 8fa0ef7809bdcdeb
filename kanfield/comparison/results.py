"""What a comparison found: its rows, their means, and the files that hold them."""

from __future__ import annotations

import csv
import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from kanfield.comparison.plan import Plan
from kanfield.files import replacing, write_json
from kanfield.machine import machine
from kanfield.names import printable
from kanfield.runs.folder import RunFolder

# Columns of the tables: the key of a row, then heading, format, and whether more is better (None: neither).
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
    """The mean of a metric over seeds and images.

    Attributes:
        value: the mean.
        spread: standard deviation over seeds, averaged over images; None with one seed.
    """

    value: float
    spread: float | None

    def format(self, form: str) -> str:
        """As text, such as ``33.91 ± 0.05``.

        Args:
            form: the format of both numbers, such as ``.2f``.
        """
        return f"{self.value:{form}}" + ("" if self.spread is None else f" ± {self.spread:{form}}")


@dataclass
class Comparison:
    """A plan and what came of it.

    Attributes:
        plan: what was asked for.
        rows: one for each fit: image, label, model, seed, error (or None) and the fit's metrics.
    """

    plan: Plan
    rows: list[dict[str, Any]]

    def images(self) -> list[str]:
        """Names of the images."""
        return [Path(image).stem for image in self.plan.images]

    def of(self, label: str, image: str | None = None) -> list[dict[str, Any]]:
        """The rows of a model's fits that did not fail, on one image or on all."""
        return [
            row
            for row in self.rows
            if row["label"] == label and row["error"] is None and image in (None, row["image"])
        ]

    def mean(self, label: str, key: str, image: str | None = None) -> Mean | None:
        """Mean and spread of a metric on one image or all; None where a fit failed or has no such metric."""
        means, spreads = [], []
        for name in self.images() if image is None else [image]:
            metrics = [_metric(row, key) for row in self.of(label, name)]
            values = [value * _SCALES.get(key, 1) for value in metrics if value is not None]
            if len(values) < self.plan.seeds:
                return None
            means.append(statistics.mean(values))
            if len(values) > 1:
                spreads.append(statistics.stdev(values))
        is_quality = COLUMNS[key][2] is not None  # the spread of sizes and budgets means nothing
        return Mean(statistics.mean(means), statistics.mean(spreads) if spreads and is_quality else None)

    def table(self, image: str | None = None) -> list[list[str]]:
        """Cells: a heading, then one line per model; columns without any value are left out."""
        keys = [key for key in COLUMNS if any(self.mean(label, key, image) for label in self.plan.labels())]
        lines = [["model", *(COLUMNS[key][0] for key in keys)]]
        for label in self.plan.labels():
            means = [self.mean(label, key, image) for key in keys]
            cells = ["–" if m is None else m.format(COLUMNS[k][1]) for k, m in zip(keys, means, strict=True)]
            lines.append([self._named(label, image), *cells])
        return lines

    def _named(self, label: str, image: str | None) -> str:
        """A model, with the encodings of its fits in parentheses if it is a KAN."""
        encodings = dict.fromkeys(row.get("encoding") for row in self.of(label, image))
        names = ", ".join(name for name in encodings if name)
        return f"{label} ({names})" if names else label

    def best(self, image: str | None = None) -> dict[str, str]:
        """The best model of every column that has a best, as :meth:`table` names it, by the heading."""
        leaders = {}
        for key, (heading, _, more) in COLUMNS.items():
            means = {label: self.mean(label, key, image) for label in self.plan.labels()}
            known = {label: mean.value for label, mean in means.items() if mean is not None}
            if more is not None and len(known) > 1:
                leader = (max if more else min)(known, key=known.__getitem__)
                leaders[heading] = self._named(leader, image)
        return leaders

    def errors(self) -> list[str]:
        """One line for every kind of failure."""
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
        """The plan, and the settings of every model on every image (of the first seed), for JSON."""
        fits: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            if row["error"] is None and row["seed"] == 0:
                settings = RunFolder(Path(row["run"])).read_config()[0]
                fits.setdefault(row["label"], {})[row["image"]] = _given(dataclasses.asdict(settings))
        return {**_given(dataclasses.asdict(self.plan)), "fits": fits}


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that have a value; one that JSON has no number for, such as the no-data value nan, as text."""
    return {key: _plain(value) for key, value in settings.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _metric(row: dict[str, Any], key: str) -> float | None:
    """A metric of a row; the bias to low frequencies is one of the spectrum's."""
    value: float | None = (row.get("spectrum") or {}).get(key) if key == "bias" else row.get(key)
    return value


def write_tables(folder: Path, comparison: Comparison) -> None:
    """Write ``compare.json`` and ``compare.csv``."""
    write_json(folder / "compare.json", comparison.to_plain())
    names = list(dict.fromkeys(key for row in comparison.rows for key in row))
    with (
        replacing(folder / "compare.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="backslashreplace") as file,
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


def _terminal_table(rows: Sequence[Sequence[str]], best: dict[str, str]) -> Table:
    heading, *lines = rows  # names in them are text, not rich's markup
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(Text(printable(heading[0])), no_wrap=True)
    for name in heading[1:]:
        table.add_column(Text(printable(name)), justify="right", no_wrap=name in ("param./px", "seconds"))
    for line in lines:
        cells = zip(heading, line, strict=True)
        table.add_row(
            *(Text(printable(cell), "bold" if best.get(name) == line[0] else "") for name, cell in cells)
        )
    return table
