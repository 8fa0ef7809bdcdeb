"""``kanfield compare``: every model on every image with every seed, each fit in a process of its own."""

from __future__ import annotations

import dataclasses
import itertools
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console

from kanfield.comparison.equal_parameters import count_parameters, match_parameters
from kanfield.comparison.plan import SECONDS, Plan, absolute, has_plan, read_plan, write_plan
from kanfield.comparison.report import write_report
from kanfield.comparison.results import Comparison, write_tables
from kanfield.config.parse import to_plain
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError, Interrupted
from kanfield.files import write_text
from kanfield.images import MAX_PIXELS, Image, read_image
from kanfield.runs.folder import RunFolder
from kanfield.training.signals import Signals
from kanfield.training.target import image_stats, make_target

_LOOK_EVERY = 0.1  # seconds between looks at a fit that goes on


@dataclass(frozen=True)
class Fit:
    """One cell of a comparison."""

    image: Path
    label: str
    seed: int
    settings: Settings  # resolved

    def parent(self, folder: Path) -> Path:
        """Where its run folder is made."""
        return folder / "runs" / self.label / f"seed-{self.seed}"

    def find_run(self, folder: Path) -> RunFolder | None:
        """Its run, if there is one."""
        found = sorted(self.parent(folder).glob(f"{self.image.stem}/{self.settings.model}-*/config.yaml"))
        return RunFolder(found[-1].parent) if found else None


def compare(plan: Plan, folder: Path, console: Console | None = None) -> Comparison:
    """Run what a plan asks for and write ``compare.json``, ``compare.csv`` and ``report.html``.

    Finished fits that the folder holds are not run again; unfinished ones go on. One that fails is a row with
    its error.

    Args:
        folder: of the comparison, new or from :func:`begin`. console: where progress goes.

    Raises:
        InputError: the plan cannot work; nothing was started.
        Interrupted: SIGINT or SIGTERM came; the fit that was on its way is saved.
    """
    fits = list(_fits(plan))
    folder.mkdir(parents=True, exist_ok=True)
    if not has_plan(folder):
        write_plan(folder, plan)
    rows = []
    with Signals() as signals:
        for number, fit in enumerate(fits, 1):
            row = _row(fit, folder, signals)
            rows.append(row)
            if console is not None:
                console.print(_line(row, number, len(fits)), markup=False, highlight=False, soft_wrap=True)
    result = Comparison(plan, rows)
    write_tables(folder, result)
    write_report(folder, result)
    return result


def begin(plan: Plan, out: Path | None) -> tuple[Plan, Path]:
    """A plan with its gaps filled, and the folder it gets: ``out``, or a new numbered one.

    Raises:
        InputError: as :meth:`Plan.check`; or ``out`` holds a comparison already.
    """
    if plan.seconds is None and plan.steps is None:
        plan = dataclasses.replace(plan, seconds=SECONDS)
    plan = dataclasses.replace(plan, models=[absolute(model) for model in plan.models])
    plan.check()
    if out is not None:
        if out.exists() and not out.is_dir():
            raise InputError(f"--out {out} is a file: give a folder for the comparison")
        if has_plan(out):
            raise InputError(
                f"--out {out} holds a comparison: go on with kanfield compare --resume {out}, or give another"
            )
        return plan, out
    parent = Path("comparisons")
    stem = Path(plan.images[0]).stem
    numbers = itertools.count(1)
    return plan, next(path for n in numbers if not (path := parent / f"{stem}-{n:04d}").exists())


def resume(folder: Path) -> Plan:
    """The plan of a comparison to go on with.

    Raises:
        InputError: the folder holds none, or its models or images are gone.
    """
    plan = read_plan(folder)
    plan.check()
    return plan


def _fits(plan: Plan) -> Iterator[Fit]:
    """All fits in their order: models alternate, so that a slow moment of the machine hits them all alike."""
    images = [_read(Path(path), plan) for path in plan.images]
    settings = [_settings(plan, image) for image in images]
    for seed in range(plan.seeds):
        for path, chosen in zip(plan.images, settings, strict=True):
            for label, one in zip(plan.labels(), chosen, strict=True):
                yield Fit(Path(path), label, seed, dataclasses.replace(one, seed=seed))


def _read(path: Path, plan: Plan) -> Image:
    return read_image(path, plan.size, plan.max_pixels or MAX_PIXELS)


def _settings(plan: Plan, image: Image) -> list[Settings]:
    """Resolved settings of every model for one image."""
    chosen: list[Settings] = []
    for model in plan.models:
        settings = plan.settings(model)
        settings = resolve(settings, image_stats(make_target(settings, image, torch.zeros(1))))
        if plan.equal_parameters and chosen:
            wanted = count_parameters(chosen[0], image.channels)
            settings = match_parameters(settings, image.channels, wanted)
        chosen.append(settings)
    return chosen


def _row(fit: Fit, folder: Path, signals: Signals) -> dict[str, Any]:
    """Run a fit, unless that was done, and say how it ended."""
    row: dict[str, Any] = {
        "image": fit.image.stem,
        "label": fit.label,
        "model": fit.settings.model,
        "seed": fit.seed,
        "error": None,
    }
    run = fit.find_run(folder)
    if run is None or not run.metrics.exists():
        row["error"] = _run(_command(fit, folder, run), signals, folder)
        run = fit.find_run(folder)
    if row["error"] is None and run is not None:
        row |= {**run.read_metrics(), "run": str(run.path)}  # the folder may have moved since
    return row


def _command(fit: Fit, folder: Path, run: RunFolder | None) -> list[str]:
    """What ``kanfield fit`` is told; a run that was begun goes on."""
    words = [sys.executable, "-m", "kanfield", "fit", "--quiet", "--json"]
    if run is not None:
        return [*words, "--resume", str(run.path)]
    file = folder / "settings" / f"{fit.image.stem}-{fit.label}.yaml"
    file.parent.mkdir(exist_ok=True)
    write_text(file, yaml.safe_dump(to_plain(fit.settings, str(fit.image)), sort_keys=False))
    return [*words, "--config", str(file), "--seed", str(fit.seed), "--out", str(fit.parent(folder))]


def _run(command: list[str], signals: Signals, folder: Path) -> str | None:
    """Run a fit to its end; its error in words, or None."""
    # A session of its own: Ctrl-C reaches this process alone, which passes it on once.
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while True:
        try:
            _, said = process.communicate(timeout=_LOOK_EVERY)
            break
        except subprocess.TimeoutExpired:
            if signals.received is not None:
                process.send_signal(signals.received)
                process.communicate()
    if signals.received is not None:
        message = f"Interrupted and saved. Go on with: kanfield compare --resume {folder}"
        raise Interrupted(message, 128 + signals.received)
    if process.returncode == 0:
        return None
    if process.returncode < 0:
        return f"killed by {signal.Signals(-process.returncode).name}"
    last = (said.strip().splitlines() or [f"ended with code {process.returncode}"])[-1]
    return last.removeprefix("kanfield: ")


def _line(row: dict[str, Any], number: int, total: int) -> str:
    """What a person is told of a fit that ended."""
    head = f"[{number}/{total}] {row['image']}, {row['label']}, seed {row['seed']}: "
    if row["error"] is not None:
        return head + f"failed: {row['error']}"
    unseen = "" if row["held_out_psnr"] is None else f", unseen {row['held_out_psnr']:.2f} dB"
    return head + f"{row['psnr']:.2f} dB{unseen}, {row['steps']} steps in {row['seconds']:.1f} s"
