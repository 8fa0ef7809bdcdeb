"""``kanfield runs``: list the runs under a folder, and remove what interrupted ones left behind."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kanfield.cli.printing import print_json, print_tables
from kanfield.cli.values import Flag
from kanfield.errors import InputError
from kanfield.names import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kanfield.runs.listing import FoundRun

_STYLES = {"unfinished": "yellow", "in use": "cyan", "damaged": "red"}


@dataclass
class Runs:
    """List the runs under a folder, the latest last."""

    out: Path = Path("runs")
    """The folder given to fit's --out."""
    prune: Flag = False
    """Remove unfinished runs that no process is working on; asks first."""
    json: Flag = False
    """Print the list as JSON on standard output."""

    def run(self) -> None:
        """List the runs, or remove those that are left over."""
        from kanfield.runs.listing import find_runs

        if self.prune and self.json:
            raise InputError("--json and --prune contradict each other: --prune asks before it removes")
        if self.prune and not sys.stdin.isatty():
            raise InputError("--prune asks before it removes: run it where a terminal can answer")
        runs = find_runs(self.out)
        if self.json:
            print_json([_plain(run) for run in runs])
        elif self.prune:
            _prune(runs, self.out)
        elif runs:
            _print_table(runs)
        else:
            _say(f"no runs under {self.out}: kanfield fit IMAGE makes one, --out names another folder")


def ago(seconds: float) -> str:
    """How long ago something was, in the largest unit.

    Args:
        seconds: since then.

    >>> ago(3), ago(200), ago(90_000), ago(86_400 * 800)
    ('just now', '3 min ago', '1 d ago', '2 y ago')
    """
    for unit, length in (("y", 365 * 86_400), ("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit} ago"
    return "just now"


def _plain(run: FoundRun) -> dict[str, Any]:
    return {
        "run": str(run.path),
        "state": run.state,
        "model": run.model,
        "preset": run.preset,
        "encoding": run.encoding,
        "psnr": run.psnr,
        "held_out_psnr": run.held_out_psnr,
        "bytes": run.size,
        "changed": datetime.fromtimestamp(run.changed, timezone.utc).isoformat(timespec="seconds"),
    }


def _print_table(runs: Sequence[FoundRun]) -> None:
    from rich.filesize import decimal
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    scores = {"PSNR": [run.psnr for run in runs], "held out": [run.held_out_psnr for run in runs]}
    scores = {heading: column for heading, column in scores.items() if column != [None] * len(runs)}
    table.add_column("run", overflow="fold")
    table.add_column("model", no_wrap=True)
    for heading in (*scores, "size", "changed"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("state", no_wrap=True)
    for number, run in enumerate(runs):
        table.add_row(
            Text(printable(str(run.path))),
            " ".join(word for word in (run.model, run.preset, run.encoding) if word),
            *("" if column[number] is None else f"{column[number]:.2f}" for column in scores.values()),
            decimal(run.size),
            ago(time.time() - run.changed),
            Text(run.state, _STYLES.get(run.state, "")),
        )
    print_tables([table])


def _prune(runs: Sequence[FoundRun], out: Path) -> None:
    from kanfield.runs.listing import remove_run

    for run in runs:
        if run.state == "damaged" and not run.leftover:
            _say(f"{run.path} is damaged, but holds results or other files: left as it is")
    leftovers = [run for run in runs if run.leftover]
    if not leftovers:
        _say(f"nothing to remove under {out}")
        return
    _print_table(leftovers)
    _say(f"remove {_sum(leftovers)}? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        _say("nothing was removed")
        return
    removed = [run for run in leftovers if remove_run(run)]
    for run in leftovers:
        if run not in removed:
            _say(f"{run.path} is in use now: left as it is")
    _say(f"removed {_sum(removed)}")


def _sum(runs: Sequence[FoundRun]) -> str:
    from rich.filesize import decimal

    return f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}, {decimal(sum(run.size for run in runs))}"


def _say(text: str, end: str = "\n") -> None:
    """Print on standard error, since standard output holds the list."""
    print(printable(text), end=end, file=sys.stderr, flush=True)
