"""``kanfield compare``: every model on every image with every seed, each fit in a process of its own."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.text import Text

from kanfield.child import child
from kanfield.comparison.equal_parameters import count_parameters, match_parameters
from kanfield.comparison.plan import (
    LABEL_FILE,
    SECONDS,
    Plan,
    absolute,
    has_plan,
    lock_plan,
    read_plan,
    write_plan,
)
from kanfield.comparison.report import write_report
from kanfield.comparison.results import Comparison, write_tables
from kanfield.config.parse import to_plain
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError, Interrupted
from kanfield.files import write_text
from kanfield.images import Image
from kanfield.names import command_line, folder_name, printable
from kanfield.reports.write import check_out, make_folder
from kanfield.runs.folder import RunFolder
from kanfield.runs.input_image import INPUT_KEYS, input_image
from kanfield.training.signals import Signals
from kanfield.training.target import image_stats, make_target

_POLL_SECONDS = 0.1
_HANDOVER_SECONDS = 30.0  # for a fit whose comparison was killed to save and end


@dataclass(frozen=True)
class PlannedFit:
    """One fit of a comparison, with resolved settings."""

    image: Path
    label: str
    seed: int
    settings: Settings

    def parent(self, folder: Path) -> Path:
        """Where its run folder is made."""
        return folder / "runs" / folder_name(self.label) / f"seed-{self.seed}"

    def find_run(self, folder: Path) -> RunFolder | None:
        """Its run, if there is one."""
        parent = self.parent(folder) / folder_name(self.image.stem)
        runs = sorted(parent.iterdir()) if parent.is_dir() else []
        return next((RunFolder(run) for run in reversed(runs) if (run / "config.yaml").is_file()), None)


def compare(plan: Plan, folder: Path | None, console: Console | None = None) -> tuple[Comparison, Path]:
    """Run what a plan asks for and write ``compare.json``, ``compare.csv`` and ``report.html``.

    Finished fits that the folder holds are not run again; unfinished ones go on. A fit that fails becomes a
    row with its error.

    Args:
        plan: from :func:`begin` or :func:`resume`.
        folder: of the comparison; None for a new numbered one under ``comparisons``.
        console: where progress is printed, or None.

    Returns:
        The rows, and the folder.

    Raises:
        InputError: the plan cannot work, or another process is at the comparison; nothing was started.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; the fit that was running is saved.
    """
    fits = list(_fits(plan))
    folder = make_folder(folder, Path("comparisons"), folder_name(Path(plan.images[0]).stem))
    if not has_plan(folder):
        write_plan(folder, plan)
    with lock_plan(folder):
        rows = []
        with Signals() as signals:
            for number, fit in enumerate(fits, 1):
                row = _row(fit, folder, signals)
                rows.append(row)
                if console is not None:
                    console.print(Text(printable(_progress(row, number, len(fits)))), soft_wrap=True)
        result = Comparison(plan, rows)
        write_tables(folder, result)
        write_report(folder, result)
    return result, folder


def begin(plan: Plan, out: Path | None) -> Plan:
    """A checked plan with its gaps filled.

    Args:
        plan: what is asked for.
        out: the folder that is asked for, or None.

    Raises:
        InputError: as :meth:`Plan.check`; or ``out`` holds files already.
    """
    if plan.seconds is None and plan.steps is None:
        plan = dataclasses.replace(plan, seconds=SECONDS)
    plan = dataclasses.replace(plan, models=[absolute(model) for model in plan.models])
    plan.check()
    if out is not None and has_plan(out):
        raise InputError(
            f"--out {out} holds a comparison: go on with "
            f"{command_line('kanfield', 'compare', '--resume', out)}, or give another"
        )
    check_out(out, "the comparison")
    return plan


def resume(folder: Path) -> Plan:
    """The plan of a comparison to go on with.

    Raises:
        InputError: the folder holds none, or its models or images are gone.
    """
    plan = read_plan(folder)
    plan.check()
    return plan


def _fits(plan: Plan) -> Iterator[PlannedFit]:
    """All fits in their order: models alternate, so that a slow moment of the machine hits all of them."""
    settings = [_settings(plan, path) for path in plan.images]
    for seed in range(plan.seeds):
        for path, of_image in zip(plan.images, settings, strict=True):
            for label, of_model in zip(plan.labels(), of_image, strict=True):
                yield PlannedFit(Path(path), label, seed, dataclasses.replace(of_model, seed=seed))


def _settings(plan: Plan, path: str) -> list[Settings]:
    """Resolved settings of every model for one image."""
    resolved: list[Settings] = []
    images: dict[str, Image] = {}  # as a rule all models see one
    for model in plan.models:
        settings = plan.settings(model)
        seen = repr([getattr(settings, key) for key in INPUT_KEYS])
        if seen not in images:
            images[seen] = input_image(path, settings)
        image = images[seen]
        settings = resolve(settings, image_stats(make_target(settings, image, torch.zeros(1))))
        if plan.equal_parameters and resolved:
            wanted = count_parameters(resolved[0], image.channels)
            settings = match_parameters(settings, image.channels, wanted)
        resolved.append(settings)
    return resolved


def _row(fit: PlannedFit, folder: Path, signals: Signals) -> dict[str, Any]:
    """Run a fit, unless that was done before, and say how it ended."""
    row: dict[str, Any] = {
        "image": fit.image.stem,
        "label": fit.label,
        "model": fit.settings.model,
        "seed": fit.seed,
        "error": None,
    }
    run = fit.find_run(folder)
    if run is not None:
        _wait_while_in_use(run, signals)
    if run is None or not run.metrics.exists():
        row["error"] = _run(_command(fit, folder, run), signals, folder)
        run = fit.find_run(folder)
    if row["error"] is not None:
        return row
    if run is None:
        return row | {"error": f"the fit left no run in {fit.parent(folder)}"}
    try:
        row |= {**run.read_metrics(), "run": str(run.path)}  # the folder may have moved since
    except InputError as error:
        return row | {"error": str(error)}
    if not (run.path / LABEL_FILE).exists():
        write_text(run.path / LABEL_FILE, f"{fit.label}\n")
    return row


def _wait_while_in_use(run: RunFolder, signals: Signals) -> None:
    """Wait for a fit that an earlier process of the comparison left behind to save and end."""
    until = time.monotonic() + _HANDOVER_SECONDS
    while run.in_use and time.monotonic() < until and signals.received is None:
        time.sleep(_POLL_SECONDS)


def _command(fit: PlannedFit, folder: Path, run: RunFolder | None) -> list[str | Path]:
    """The words of a fit's command; a run that was begun goes on."""
    words: list[str | Path] = ["fit", "--quiet", "--json"]
    if run is not None:
        return [*words, "--resume", run.path]
    file = folder / "settings" / folder_name(fit.label) / f"{folder_name(fit.image.stem)}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, yaml.safe_dump(to_plain(fit.settings, str(fit.image)), sort_keys=False))
    return [*words, "--config", file, "--seed", str(fit.seed), "--out", fit.parent(folder)]


def _run(words: Sequence[str | Path], signals: Signals, folder: Path) -> str | None:
    """Run a fit to its end.

    Returns:
        Its error in words, or None.
    """
    with child(words) as process:
        while True:
            try:
                _, errors = process.communicate(timeout=_POLL_SECONDS)
                break
            except subprocess.TimeoutExpired:
                if signals.received is not None:
                    process.send_signal(signals.received)
                    _, errors = process.communicate()
                    break
    if signals.received is not None:
        again = command_line("kanfield", "compare", "--resume", folder)
        message = f"Interrupted and saved. Go on with: {again}"
        raise Interrupted(message, 128 + signals.received)
    if process.returncode == 0:
        return None
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name}"
    last = (errors.strip().splitlines() or [f"ended with code {process.returncode}"])[-1]
    return last.removeprefix("kanfield: ")


def _progress(row: dict[str, Any], number: int, total: int) -> str:
    """The line of progress about a fit that ended."""
    head = f"[{number}/{total}] {row['image']}, {row['label']}, seed {row['seed']}: "
    if row["error"] is not None:
        return head + f"failed: {row['error']}"
    unseen = "" if row["held_out_psnr"] is None else f", unseen {row['held_out_psnr']:.2f} dB"
    return head + f"{row['psnr']:.2f} dB{unseen}, {row.get('steps')} steps in {row['seconds']:.1f} s"
