"""Runs a study trial by trial, so that it can go on after an interruption, then draws its findings."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.text import Text

from kanfield.errors import InputError, Interrupted
from kanfield.files import write_json, write_text
from kanfield.names import command_line
from kanfield.process import limit_threads
from kanfield.reports.findings import Findings
from kanfield.reports.tensorboard import write_curves
from kanfield.reports.write import check_out, make_folder
from kanfield.studies.catalogue import STUDIES
from kanfield.studies.report import write_study
from kanfield.studies.settings import (
    StudySettings,
    from_plain,
    how_it_is_run,
    resolve_settings,
    to_plain,
)
from kanfield.studies.study import Result, Trial

_FILE = "study.yaml"


def begin(settings: StudySettings) -> StudySettings:
    """Checked settings with all gaps filled; under ``--resume``, those of the study's folder.

    Raises:
        InputError: a setting is impossible, or the folder is not to be used.
    """
    if settings.resume is not None:
        stored = _read_settings(settings, settings.resume)
        return dataclasses.replace(resolve_settings(stored), **how_it_is_run(settings))
    if settings.out is not None and (settings.out / _FILE).exists():
        again = command_line("kanfield", "study", settings.NAME, "--resume", settings.out)
        raise InputError(f"--out {settings.out} holds a study: go on with {again}, or give another")
    check_out(settings.out, "the study")
    return resolve_settings(settings)


def _read_settings(given: StudySettings, folder: Path) -> StudySettings:
    """The settings that a study's folder holds, of the same study as those given."""
    kind = type(given)
    if given.out is not None or given != kind(**how_it_is_run(given)):
        raise InputError("--resume takes everything from the study's folder: leave out the other options")
    path = folder / _FILE
    if not path.is_file():
        raise InputError(f"{folder} is no study, it has no {_FILE}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = str(content.pop("study", "")) if isinstance(content, dict) else ""
        if name not in STUDIES:
            raise InputError("it names no study")
        settings = from_plain(STUDIES[name], content)
    except (yaml.YAMLError, ValueError) as error:
        reason = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(
            f"{path} is damaged{reason}: correct it, or start the study anew in another folder"
        ) from None
    if name != kind.NAME:
        again = command_line("kanfield", "study", name, "--resume", folder)
        raise InputError(f"{folder} holds the study {name}: {again}")
    return settings


def run_study(
    settings: StudySettings, console: Console | None = None
) -> tuple[Findings, dict[str, Any], Path]:
    """Run the trials that are missing, and write ``results.json``, figures, events and ``report.html``.

    Args:
        settings: from :func:`begin`.
        console: where progress is printed, or None.

    Returns:
        The findings, the content of ``results.json``, and the study's folder.

    Raises:
        InputError: a file that the settings name cannot be used; nothing was written.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; finished trials are kept.
    """
    module = importlib.import_module(f"kanfield.studies.{settings.NAME.replace('-', '_')}.study")
    with limit_threads(settings.threads):
        trials: Sequence[Trial] = module.trials(settings)
        folder = settings.resume or _make_study(settings)
        results: dict[str, Result] = {}
        seconds: dict[str, float] = {}
        with _interruptible(command_line("kanfield", "study", settings.NAME, "--resume", folder)):
            for number, trial in enumerate(trials, 1):
                content = _read(folder, trial) or _compute(folder, trial, f"{number}/{len(trials)}", console)
                results[trial.key], seconds[trial.key] = content["result"], content["seconds"]
            findings: Findings = module.conclude(settings, results)
            return findings, write_study(folder, settings, findings, results, seconds), folder


def _make_study(settings: StudySettings) -> Path:
    name = settings.NAME + ("-quick" if settings.quick else "")
    folder = make_folder(settings.out, Path("studies"), name)
    content = {"study": settings.NAME, **to_plain(settings)}
    write_text(folder / _FILE, yaml.safe_dump(content, sort_keys=False))
    return folder


def _compute(folder: Path, trial: Trial, number: str, console: Console | None) -> dict[str, Any]:
    """Compute a trial and keep its result."""
    started = time.perf_counter()
    result = trial.compute()
    content = {"seconds": round(time.perf_counter() - started, 3), "result": result}
    path = _file(folder, trial)
    path.parent.mkdir(exist_ok=True)
    write_json(path, content)
    write_curves(folder, trial.key, result.get("curves", {}))
    if console is not None:
        console.print(Text(f"[{number}] {trial.key}: {content['seconds']:.1f} s"), soft_wrap=True)
    return content


def _read(folder: Path, trial: Trial) -> dict[str, Any] | None:
    """A finished trial, or None; a damaged file counts as none."""
    try:
        content = json.loads(_file(folder, trial).read_text(encoding="utf-8"))
        whole = isinstance(content["result"], dict) and isinstance(content["seconds"], (int, float))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return content if whole else None


def _file(folder: Path, trial: Trial) -> Path:
    return folder / "trials" / f"{trial.key}.json"


@contextlib.contextmanager
def _interruptible(command: str) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP end a study in one line; the trial that is being computed is lost."""
    message = f"Interrupted; finished trials are kept. Go on with: {command}"

    def stop(number: int, frame: object) -> None:
        raise Interrupted(message, 128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is not None and signal.getsignal(hangup) is not signal.SIG_IGN:  # nohup's stays ignored
        numbers.append(hangup)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
