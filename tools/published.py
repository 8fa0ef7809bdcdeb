"""Repeat published tables of image fitting, and print their figures beside kanfield's.

python tools/published.py FOLDER                                  # all tables: hours
python tools/published.py FOLDER --tables kodak-205k --every 3    # every third picture of one
python tools/published.py FOLDER --steps 500                      # where seconds mean little
python tools/published.py --print                                 # fits nothing

FOLDER has kodak/ (kodim01.png to kodim24.png), div2k512/ (00.png to 15.png: the crops of DIV2K that Tancik et
al. and FINER use) and maybe classic/ (barbara, boat, house, lena, peppers, cameraman, couple, fingerprint,
hill, man, montage, in gray). Under --out, published.csv has a row for every fit and published.md all tables.
A fit that is in there, with the same settings and presets, is not run again, so the same command resumes.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from published_report import Row, report
from published_tables import TABLES, Table

import kanfield
from kanfield.errors import InputError, Interrupted, KanfieldError, RunFailed
from kanfield.files import write_text
from kanfield.images import Image, resize_image
from kanfield.machine import machine

FIGURES = (
    *("parameters", "psnr", "psnr_8bit", "ssim", "lpips", "held_out_psnr"),
    *("steps", "seconds", "threads", "device"),
)
KEYS = ("table", "picture", "settings", "resolved")
COLUMNS = (*KEYS, *FIGURES, "values", "exact", "processor", "run")
_FILES = (".png", ".bmp", ".tif", ".tiff", ".pgm")
_ALIASES = {"cameraman": ("c.man", "cman"), "fingerprint": ("finger",), "lena": ("lenna",)}


def find_pictures(folder: Path, name: str, every: int) -> dict[str, Path]:
    """Files of a table's pictures, by name.

    Args:
        folder: that holds the folders of all tables.
        name: of the table.
        every: take every so many-th picture; 1 for all.

    Raises:
        InputError: there is no such folder, or a picture is missing; of the classic ones, all.
    """
    table = TABLES[name]
    where = folder / table.folder
    first, last = table.pictures[0], table.pictures[-1]
    if not where.is_dir():
        raise InputError(
            f"{where} is missing: make that folder with {first}.png to {last}.png, or choose --tables "
            f"without {name}"
        )
    files = {path.stem.lower(): path for path in sorted(where.iterdir()) if path.suffix.lower() in _FILES}
    chosen = table.pictures[every - 1 :: every]
    if not chosen:
        raise InputError(f"--every {every} leaves no picture of {name}: give at most {len(table.pictures)}")
    found = {
        picture: files[stem]
        for picture in chosen
        for stem in (picture, *_ALIASES.get(picture, ()))
        if stem in files
    }
    missing = [picture for picture in chosen if picture not in found]
    if missing and (name != "classic" or not found):
        raise InputError(
            f"{where} lacks {', '.join(missing)}: put them there as .png, or choose --tables without {name}"
        )
    if missing:  # the published figures are of single pictures: what is there can be compared
        print(f"{where} lacks {', '.join(missing)}: left out", file=sys.stderr)
    return found


def prepare(path: Path, table: Table) -> Image:
    """A picture as its table fits it.

    Args:
        path: of the file.
        table: for which.

    Raises:
        InputError: the picture cannot be read or has other channels than the published ones.
    """
    image = kanfield.read_image(path)
    if image.channels != table.shape[2]:
        kind = "gray" if table.shape[2] == 1 else "RGB"
        raise InputError(f"{path} has {image.channels} channel(s), the published figures are of {kind} ones")
    if not table.halved:
        return image
    side = min(image.height, image.width)
    top, left = (image.height - side) // 2, (image.width - side) // 2
    square = Image(image.pixels[top : top + side, left : left + side].copy(), image.mode, image.source)
    return resize_image(square, side // 2)


def fit(name: str, picture: str, path: Path, settings: str, out: Path) -> dict[str, Any]:
    """Fit a picture and return its row.

    Args:
        name: of the table.
        picture: its name.
        path: its file.
        settings: as :meth:`Table.asked` gives them.
        out: where the run folder goes.
    """
    table = TABLES[name]
    image = prepare(path, table)
    run = kanfield.fit(image if table.halved else path, out=out / name, **json.loads(settings))
    here = machine()
    found = {key: run.metrics.get(key) for key in FIGURES}
    return {
        **dict(zip(KEYS, (name, picture, settings, table.resolved_hash(settings)), strict=True)),
        **{key: round(value, 4) if isinstance(value, float) else value for key, value in found.items()},
        "values": image.height * image.width * image.channels,
        "exact": run.metrics["lossless"],
        "processor": here["processor"] if found["device"] == "cpu" else ", ".join(here["gpus"]),
        "run": run.path.relative_to(out),
    }


class Fits:
    """The CSV file of all fits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[Row] = []
        if not path.is_file():
            return
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path} has other columns than this tool writes: give another --out")
        # Two processes may have fitted the same.
        self.rows = list({tuple(row[key] for key in KEYS): row for row in rows}.values())

    def __contains__(self, key: tuple[str, ...]) -> bool:
        return any(tuple(row[name] for name in KEYS) == key for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Append a row at once, so that nothing is lost with the process."""
        row = {key: "" if row[key] is None else str(row[key]) for key in COLUMNS}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if not file.tell():
                writer.writeheader()
            writer.writerow(row)
        self.rows.append(row)


def measure(arguments: argparse.Namespace, fits: Fits) -> int:
    """Run every fit that the table of fits lacks; return how many failed.

    Args:
        arguments: of the command line.
        fits: so far.

    Raises:
        InputError: a folder or picture is missing; nothing was fitted.
    """
    jobs = []
    for name in arguments.tables:
        settings = TABLES[name].asked(arguments.steps, arguments.seconds, arguments.threads)
        resolved = TABLES[name].resolved_hash(settings)
        found = find_pictures(arguments.folder, name, arguments.every)
        jobs += [(name, picture, path, settings, resolved) for picture, path in found.items()]
    todo = [job for job in jobs if (job[0], job[1], *job[3:]) not in fits]
    print(f"{len(todo)} fits to run, {len(jobs) - len(todo)} are in {fits.path}", file=sys.stderr)
    failed = 0
    for name, picture, path, settings, _ in todo:
        try:
            row = fit(name, picture, path, settings, arguments.out)
        except RunFailed as error:
            failed += 1
            print(f"{name} {picture}: {error}", file=sys.stderr, flush=True)
            continue
        fits.add(row)
        score = "exact" if row["exact"] else f"{row['psnr']:.2f} dB"
        if row["held_out_psnr"] is not None:
            score += f", unseen {row['held_out_psnr']:.2f}"
        took = f"{row['steps']:,} steps, {row['seconds']:.1f} s, {row['parameters']:,} parameters"
        print(f"{name} {picture}: {score}, {took}", file=sys.stderr, flush=True)
    return failed


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line.

    Args:
        argv: its words; None for those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER", help="of the pictures")
    parser.add_argument(
        "--tables", nargs="+", choices=list(TABLES), help="by default all; classic if it is there"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="fit every N-th picture alone")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--steps", type=int, help="of every fit, instead of seconds")
    budget.add_argument("--seconds", type=float, help="of every fit; by default those of the table")
    parser.add_argument("--threads", type=int, help="of the CPU")
    parser.add_argument("--out", type=Path, default=Path("runs/published"), help="folder of runs and tables")
    parser.add_argument("--print", action="store_true", help="fit nothing")
    arguments = parser.parse_args(argv)
    if arguments.folder is None and not arguments.print:
        parser.error("FOLDER is missing: name the folder of the pictures, or give --print")
    if arguments.every < 1:
        parser.error("--every takes 1 or more")
    if arguments.tables is None:
        without = not arguments.print and not (arguments.folder / TABLES["classic"].folder).is_dir()
        arguments.tables = [name for name in TABLES if name != "classic" or not without]
    return arguments


def main(argv: Sequence[str] | None = None) -> None:
    """Read the command line, run what is missing, print the tables.

    Args:
        argv: words of the command line; None for those of the process.
    """
    arguments = parse(argv)
    try:
        fits = Fits(arguments.out / "published.csv")
        failed = 0 if arguments.print else measure(arguments, fits)
        print(report(arguments.tables, fits.rows), end="")
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_text(arguments.out / "published.md", report(list(TABLES), fits.rows))
    except Interrupted as error:
        print(f"{error}; the same command goes on with the fits that are missing", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KanfieldError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(1 if failed else 0)


if __name__ == "__main__":
    main()
