"""Markdown of ``published.py``: kanfield's fits beside the published figures."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from typing import Any

from published_figures import CLASSIC, CLASSIC_METHODS, PUBLISHED, Published
from published_tables import TABLES, Table

Row = dict[str, str]  # of the CSV file, see published.COLUMNS
Groups = dict[str, list[Row]]  # rows by their settings

_COMMON = ("parameters", "p/v", "time", "hardware", "source")
_ORDINALS = {2: "second", 3: "third"}
_NONE = "–"


def report(names: Sequence[str], rows: Sequence[Row]) -> str:
    """Tables in Markdown.

    Args:
        names: of the tables.
        rows: of all fits so far.
    """
    return "\n\n".join(_section(name, [row for row in rows if row["table"] == name]) for name in names) + "\n"


def _section(name: str, rows: list[Row]) -> str:
    table = TABLES[name]
    groups: Groups = {}
    for row in rows:
        if row["resolved"] == table.resolved_hash(row["settings"]):
            groups.setdefault(row["settings"], []).append(row)
    notes = [
        "p/v: parameters per value, of which a pixel has three. Our time is that of training.",
        table.note,
    ]
    if name == "classic":
        lines = _classic(groups)
        notes = [
            table.note,
            *(f"{method}: {source}, read {read}." for method, source, read in CLASSIC_METHODS),
        ]
    else:
        lines = [[], *_ours(table, groups), *_published(table, PUBLISHED[name])]
        measured = ("exact", "PSNR of the others, dB") if table.halved else ("PSNR, dB", "SSIM")
        lines[0] = ["fit", "pictures", *measured, *_COMMON]
    if not groups:
        notes.append("Nothing of this table has been fitted here yet.")
    elif table.choosing:
        first, last = table.pictures[0], table.pictures[table.choosing - 1]
        notes.append(f"Judged on: without {first} to {last}, by which the presets were chosen.")
    if old := len(rows) - sum(map(len, groups.values())):
        notes.append(f"Fits by presets that have changed since, left out: {old}.")
    return f"## {name}: {table.title}\n\n{_markdown(lines)}\n\n{' '.join(notes)}"


def _markdown(lines: list[list[str]]) -> str:
    heading, *others = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([heading, f"|{' --- |' * len(lines[0])}", *others])


def _ours(table: Table, groups: Groups) -> list[list[str]]:
    """Two lines of a kind of fit: all its pictures, and those that the presets were not chosen by."""
    lines = []
    for settings, rows in groups.items():
        lines.append([f"**kanfield**, {_budget(settings)}", _share(table, rows), *_measured(table, rows)])
        judged = [row for row in rows if table.pictures.index(row["picture"]) >= table.choosing]
        if 0 < len(judged) < len(rows):
            lines.append(["of these, judged on", str(len(judged)), *_measured(table, judged)])
    return lines


def _budget(settings: str) -> str:
    given: dict[str, Any] = json.loads(settings)
    if "steps" in given:
        return f"{given['steps']:,} steps"
    if "seconds" in given:
        return f"{'at most ' if given.get('lossless') else ''}{given['seconds']:g} s"
    return "the preset's steps"


def _share(table: Table, rows: list[Row]) -> str:
    """How many of the pictures were fitted, and whether they are every so many-th."""
    names, total = [row["picture"] for row in rows], len(table.pictures)
    if len(names) == total:
        return str(total)
    share = f"{len(names)} of {total}"
    for every in range(2, total // 2 + 1):
        if set(names) == set(table.pictures[every - 1 :: every]):
            return f"{share}, every {_ORDINALS.get(every, f'{every}th')}"
    return share


def _measured(table: Table, rows: list[Row]) -> list[str]:
    largest = max(rows, key=lambda row: int(row["parameters"]))
    per_value = max(int(row["parameters"]) / int(row["values"]) for row in rows)
    exact = [row for row in rows if row["exact"] == "True"]
    if table.halved:
        others = [row for row in rows if row["exact"] != "True"]
        measured = [str(len(exact)), _mean(others, "psnr_8bit", ".2f")]
        timed, which = exact, ", median of the exact"
    else:
        measured = [_mean(rows, "psnr", ".2f"), _mean(rows, "ssim", ".4f")]
        timed, which = rows, ", median"
    seconds = [float(row["seconds"]) for row in timed]
    time = f"{statistics.median(seconds):.3g} s{which}" if seconds else _NONE
    return [*measured, f"{int(largest['parameters']):,}", f"{per_value:.2f}", time, _hardware(rows), "here"]


def _hardware(rows: list[Row]) -> str:
    def named(row: Row) -> str:
        if row["device"] != "cpu":
            return row["processor"]
        return f"{row['processor']}, {row['threads']} thread{'s' if row['threads'] != '1' else ''}"

    return "; ".join(sorted({named(row) for row in rows}))


def _mean(rows: list[Row], column: str, form: str) -> str:
    values = [float(row[column]) for row in rows if row[column]]
    return f"{statistics.mean(values):{form}}" if values else _NONE


def _published(table: Table, rows: Sequence[Published]) -> list[list[str]]:
    lines = []
    for row in rows:
        if table.halved:
            measured = ["all", _NONE] if math.isinf(row.psnr) else [_NONE, f"{row.psnr:.2f}, mean of all"]
        else:
            similarity = f"{row.ms_ssim:.4f} (MS)" if row.ms_ssim else f"{row.ssim}" if row.ssim else _NONE
            measured = [f"{row.psnr:.2f}", similarity]
        size = [_NONE, _NONE]
        if row.parameters:
            size = [f"{row.parameters:,g}k", f"{1000 * row.parameters / table.values:.2f}"]
        # How many halved pictures there were is not known.
        pictures = "theirs" if table.halved else str(row.pictures or len(table.pictures))
        source = f"{row.source}; read {row.read}" + (f"; {row.note}" if row.note else "")
        lines.append(
            [row.method, pictures, *measured, *size, row.time or _NONE, row.hardware or _NONE, source]
        )
    return lines


def _classic(groups: Groups) -> list[list[str]]:
    """A line for every picture, since the published figures are of single pictures."""
    columns: dict[str, dict[str, float]] = {}
    for settings, rows in groups.items():
        budget, threads = _budget(settings), json.loads(settings).get("threads")
        if threads:  # in the other tables it stands beside the time
            budget += f", {threads} thread{'s' if threads != 1 else ''}"
        unseen = {row["picture"]: float(row["held_out_psnr"]) for row in rows}
        columns[f"**kanfield**, {budget}, unseen"] = unseen
        seen = {row["picture"]: float(row["psnr"]) for row in rows}
        whole = {name: _joined(seen[name], unseen[name]) for name in unseen}
        columns[f"**kanfield**, {budget}, whole"] = whole
    names = [name for name in CLASSIC if all(name in values for values in columns.values())]
    for index, (method, _, _) in enumerate(CLASSIC_METHODS):
        columns[method] = {name: CLASSIC[name][index] for name in names}
    lines = [["PSNR, dB", *columns]]
    lines += [[name, *(f"{values[name]:.2f}" for values in columns.values())] for name in names]
    means = [_NONE if not names else f"{statistics.mean(v[n] for n in names):.2f}" for v in columns.values()]
    return [*lines, [f"mean of these {len(names)}", *means]]


def _joined(seen: float, unseen: float) -> float:
    """PSNR over a picture of which half is seen."""
    return -10 * math.log10((10 ** (-seen / 10) + 10 ** (-unseen / 10)) / 2)
