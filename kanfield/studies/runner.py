"""Running a study: trial by trial, so that it can go on after an interruption, then its findings."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from kanfield.errors import InputError, Interrupted
from kanfield.files import write_json, write_text
from kanfield.reports.findings import Findings
from kanfield.reports.tensorboard import write_curves
from kanfield.reports.write import make_folder
from kanfield.studies.report import write_study
from kanfield.studies.settings import StudySettings, from_plain, resolve_settings, to_plain
from kanfield.studies.study import Result, Trial

_FILE = "study.yaml"


def begin(settings: StudySettings) -> tuple[StudySettings, Path]:
    """Settings with all gaps filled, and the folder of the study, which is not made yet.

    Raises:
        InputError: a setting is impossible, or the folder is not to be used.
    """
    if settings.resume is not None:
        return _reopen(settings), settings.resume
    settings = resolve_settings(settings)
    folder = settings.out
    if folder is None:
        numbers = itertools.count(1)
        name = settings.NAME + ("-quick" if settings.quick else "")
        folder = next(p for n in numbers if not (p := Path("studies") / f"{name}-{n:04d}").exists())
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder} is a file: give a folder for the study")
    if (folder / _FILE).exists():
        raise InputError(
            f"--out {folder} holds a study: go on with kanfield study {settings.NAME} --resume {folder}, or "
            "give another"
        )
    return settings, folder


def _reopen(given: StudySettings) -> StudySettings:
    """The settings that a folder holds."""
    assert given.resume is not None
    if given != type(given)(resume=given.resume):
        raise InputError("--resume takes everything from the study's folder: leave out the other options")
    path = given.resume / _FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        name = content.pop("study")
    except OSError:
        raise InputError(f"{given.resume} is no study, it has no {_FILE}") from None
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, UnicodeDecodeError):
        raise InputError(f"{path} is damaged: start the study anew in another folder") from None
    if name != given.NAME:
        raise InputError(
            f"{given.resume} holds the study {name}: kanfield study {name} --resume {given.resume}"
        )
    try:
        return resolve_settings(from_plain(type(given), content))
    except TypeError:
        raise InputError(f"{path} is damaged: start the study anew in another folder") from None


def run_study(settings: StudySettings, folder: Path, console: Console | None = None) -> Findings:
    """Run what is missing of a study, and write ``results.json``, figures, events and ``report.html``.

    Args:
        settings, folder: from :func:`begin`. console: where progress goes.

    Raises:
        InputError: what the settings name cannot be used; nothing was written.
        Interrupted: SIGINT or SIGTERM came; the trials that were done are kept.
    """
    module = importlib.import_module(f"kanfield.studies.{settings.NAME.replace('-', '_')}.study")
    trials: Sequence[Trial] = module.trials(settings)
    if not (folder / _FILE).exists():
        make_folder(folder)
        plain = {"study": settings.NAME, **to_plain(settings)}
        write_text(folder / _FILE, yaml.safe_dump(plain, sort_keys=False))
    results: dict[str, Result] = {}
    seconds: dict[str, float] = {}
    with _interruptible(f"kanfield study {settings.NAME} --resume {folder}"):
        for number, trial in enumerate(trials, 1):
            path = folder / "trials" / f"{trial.key}.json"
            kept = _read(path)
            if kept is None:
                began = time.perf_counter()
                result = trial.compute()
                kept = {"seconds": round(time.perf_counter() - began, 3), "result": result}
                path.parent.mkdir(exist_ok=True)
                write_json(path, kept)
                write_curves(folder, trial.key, result.get("curves", {}))
                if console is not None:
                    line = f"[{number}/{len(trials)}] {trial.key}: {kept['seconds']:.1f} s"
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
            results[trial.key], seconds[trial.key] = kept["result"], kept["seconds"]
        findings: Findings = module.conclude(settings, results)
        write_study(folder, settings, findings, results, seconds)
    return findings


def _read(path: Path) -> dict[str, Any] | None:
    """A trial that was done; a damaged file is as good as none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and {"seconds", "result"} <= content.keys() else None


@contextlib.contextmanager
def _interruptible(command: str) -> Iterator[None]:
    """Ctrl-C and SIGTERM end a study in one line; a trial that was on its way is lost."""
    message = f"Interrupted; the trials that were done are kept. Go on with: {command}"

    def stop(number: int, frame: object) -> None:
        raise Interrupted(message, 128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
