"""Search for the presets' rules: fit settings on photographs, sizes and held-out patterns, a row each.

python tools/search_presets.py rows.csv --patterns checkerboard --set steps=800 --vary frequency=3,4,5
python tools/search_presets.py rows.csv --sizes 128 256 512 --patterns all --preset smooth --cubic

Every --vary is one axis of a product; lists are written as 24+10+10. A row that is in the table already is
not measured again. --cubic adds SciPy's cubic interpolation of the same pixels, the baseline of a field.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import tempfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from cubic_baseline import interpolate
from photographs import LARGE, SMALL, load

import kanfield

KEYS = ("photo", "size", "pattern", "settings")
FIGURES = ("psnr", "held_out_psnr", "cubic", "steps", "parameters", "parameters_per_pixel", "seconds")
COLUMNS = (*KEYS, *FIGURES)
PATTERNS = ("checkerboard", "every-second", "0.5")


# Rows are flat: options of the KAN stand beside the other settings, under short names.
_OPTIONS = {
    "widths": "widths",
    "grids": "grids",
    "order": "order",
    "noise": "init_noise",
    "frequency": "init_frequency",
    "directions": "num_directions",
}


def nested(settings: dict[str, Any]) -> dict[str, Any]:
    """Turn a row's flat settings into those of ``kanfield.fit``.

    >>> nested({"steps": 5, "widths": [8], "frequency": 4.5})
    {'steps': 5, 'options': {'widths': [8], 'init_frequency': 4.5}}
    """
    others = {key: value for key, value in settings.items() if key not in (*_OPTIONS, "options")}
    options = {name: settings[key] for key, name in _OPTIONS.items() if key in settings}
    options |= settings.get("options") or {}
    return {**others, **({"options": options} if options else {})}


def measure(job: tuple[str, int, str, dict[str, Any]]) -> dict[str, Any]:
    """Fit once and return the row; the setting ``cubic`` adds the interpolation."""
    name, size, pattern, settings = job
    image = load(name, size)
    settings, cubic = dict(settings), None
    if settings.pop("cubic", False):
        cubic = round(interpolate(image, pattern), 2)
    with tempfile.TemporaryDirectory() as folder:
        held_out = None if pattern == "none" else pattern
        metrics = kanfield.fit(image, out=folder, held_out=held_out, threads=1, **nested(settings)).metrics
    row = {key: metrics.get(key) for key in FIGURES}
    row = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
    return {**row, **dict(zip(KEYS, (name, size, pattern, json.dumps(job[3])), strict=True)), "cubic": cubic}


def jobs(arguments: argparse.Namespace) -> Iterator[tuple[str, int, str, dict[str, Any]]]:
    """Every fit that the command line asks for."""
    fixed = dict(_pair(word) for word in arguments.set)
    if arguments.preset:
        fixed["preset"] = arguments.preset
    if arguments.cubic:
        fixed["cubic"] = True
    axes = [[(key, _value(w)) for w in words.split(",")] for key, words in map(_split, arguments.vary)]
    for choice in itertools.product(*axes):
        for size, pattern in itertools.product(arguments.sizes, arguments.patterns):
            for name in arguments.photos or (SMALL if size < 1000 else LARGE):
                yield name, size, pattern, {**fixed, **dict(choice)}


def _split(word: str) -> tuple[str, str]:
    key, _, text = word.partition("=")
    return key, text


def _pair(word: str) -> tuple[str, Any]:
    key, text = _split(word)
    return key, _value(text)


def _value(text: str) -> Any:
    if "+" in text:
        return [json.loads(part) for part in text.split("+")]
    try:
        return json.loads(text)
    except ValueError:
        return text


def main() -> None:
    """Read the command line, measure what is not in the table yet, append it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--photos", nargs="+")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256])
    parser.add_argument("--patterns", nargs="+", default=["none"])
    parser.add_argument("--preset")
    parser.add_argument("--cubic", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--vary", action="append", default=[], metavar="KEY=VALUE,VALUE")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.patterns == ["all"]:
        arguments.patterns = PATTERNS
    known: set[tuple[str, ...]] = set()
    if arguments.table.is_file():
        with open(arguments.table, newline="") as file:
            known = {tuple(row[key] for key in KEYS) for row in csv.DictReader(file)}
    todo = [job for job in jobs(arguments) if (job[0], str(job[1]), job[2], json.dumps(job[3])) not in known]
    with (
        open(arguments.table, "a", newline="") as file,
        get_context("spawn").Pool(arguments.processes) as pool,
    ):
        writer = csv.DictWriter(file, COLUMNS)
        if not known:
            writer.writeheader()
        for row in pool.imap(measure, todo):
            writer.writerow(row)
            file.flush()
            print(*(row[key] for key in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
