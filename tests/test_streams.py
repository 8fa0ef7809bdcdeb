"""Streams of any encoding, closed or with nobody at their end; terminals and parents that go away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from rich.console import Console

from kanfield.child import child
from kanfield.errors import Interrupted, RunFailed
from kanfield.monitors.tensorboard import TensorBoardLog
from kanfield.monitors.tolerant import Tolerant, tolerated
from kanfield.runs.folder import RunFolder
from kanfield.training import results
from kanfield.training.fit import fit, resume
from kanfield.training.signals import Signals

pytestmark = pytest.mark.usefixtures("no_edge_figures")

MLP = {"model": "mlp", "options": {"widths": [8]}, "batch_size": 64, "threads": 1}
WORDS = "--model mlp --widths 8 --batch-size 64 --threads 1"
KANFIELD = f"{sys.executable} -c 'from kanfield.cli import main; main()'"


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "фото.png"
    PILImage.fromarray(np.arange(192, dtype=np.uint8).reshape(12, 16)).save(path)
    return path


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    variables = {**os.environ, **environment}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=variables, capture_output=True, check=False
    )


@pytest.mark.slow
@pytest.mark.needs("bash")
@pytest.mark.parametrize(
    ("redirected", "environment"),
    [
        ("", {"PYTHONIOENCODING": "latin-1"}),
        ("", {"PYTHONIOENCODING": "ascii:strict"}),
        (">&- 2>&- <&-", {}),
        ("2>&1 | head -n 0; exit ${PIPESTATUS[0]}", {}),
    ],
)
def test_no_stream_costs_a_run_its_end(tmp_path, picture, redirected, environment):
    done = shell(f"{KANFIELD} fit {picture.name} --steps 20 {WORDS} {redirected}", tmp_path, **environment)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    assert json.loads((tmp_path / "runs/фото/mlp-0001/metrics.json").read_text())["steps"] == 20
    if environment:
        assert rb"runs/\u0444" in done.stdout


@pytest.mark.slow
@pytest.mark.needs("bash")
def test_a_list_for_nobody_is_no_error_and_one_for_a_full_disk_is(tmp_path):
    assert shell(f"{KANFIELD} models | true; exit ${{PIPESTATUS[0]}}", tmp_path).stderr == b""
    done = shell(f"{KANFIELD} models >/dev/full", tmp_path)
    assert done.returncode == 1 and done.stderr.count(b"\n") == 1
    assert b"standard output cannot be written (No space left on device)" in done.stderr


# ---- what goes away ------------------------------------------------------------------------------


def test_a_terminal_that_goes_away_twice_is_one_interruption():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.received == signal.SIGHUP
        assert signals.interrupted(7, Path("runs/a")).exit_code == 129
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


def test_nohup_stays_in_force(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
        assert signals.received is None and signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_fit_without_its_terminal_is_saved_and_goes_on(tmp_path, picture):
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGHUP))
    timer.start()
    with pytest.raises(Interrupted) as caught:
        fit(picture, out=tmp_path, seconds=300, **MLP)
    assert caught.value.exit_code == 129
    folder = RunFolder.latest_unfinished(tmp_path)
    text = folder.config.read_text().replace("seconds: 300.0", "seconds: 0.1")
    folder.config.write_text(text)
    assert resume(folder.path).metrics["steps"] > 0


@pytest.mark.slow
def test_a_fit_ends_with_its_comparison_even_where_that_is_killed(tmp_path, picture):
    """The parent is killed without a word; its child saves and ends, and --resume goes on with that run."""
    words = [str(picture), "--models", "mlp", "--seconds", "300", "--out", str(tmp_path / "cmp")]
    start = "from kanfield.cli import main; main()"
    parent = subprocess.Popen([sys.executable, "-c", start, "compare", *words], stderr=subprocess.DEVNULL)
    wait_for(lambda: list(tmp_path.rglob("last.safetensors")), 300)
    parent.kill()
    parent.wait()
    (config,) = tmp_path.rglob("seed-0/*/*/config.yaml")
    run = RunFolder(config.parent)
    wait_for(lambda: not run.in_use, 60)
    assert not run.metrics.exists() and run.last.exists()


def wait_for(condition, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_child_imports_nothing_from_the_working_folder(tmp_path, monkeypatch):
    for name in ("random", "torch", "tyro", "yaml"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working folder')")
    monkeypatch.chdir(tmp_path)
    with child(["models"]) as process:
        _, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")


# ---- what cannot be drawn ------------------------------------------------------------------------


class Gone:
    """A file of a console whose terminal is gone."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")

    def isatty(self) -> bool:
        return False


@pytest.mark.filterwarnings("ignore:progress is left out")
def test_a_console_that_is_gone_does_not_end_a_fit(tmp_path, picture):
    run = fit(picture, out=tmp_path, steps=20, console=Console(file=Gone()), **MLP)
    assert run.metrics["steps"] == 20


def test_metrics_are_kept_where_nothing_can_be_drawn(tmp_path, picture, monkeypatch):
    def fail(*_):
        raise OSError("encoder error -2 when writing image file")

    def broken(*_):
        raise ValueError("no such colour")

    monkeypatch.setattr(results, "write_image", fail)
    monkeypatch.setattr(TensorBoardLog, "picture", broken)
    with pytest.warns(UserWarning, match="left out") as caught:
        run = fit(picture, out=tmp_path, steps=20, **MLP)
    assert run.metrics["steps"] == 20 and (run.path / "metrics.csv").read_text().count("\n") == 3
    said = " ".join(str(each.message) for each in caught)
    assert "TensorBoard's file is left out (ValueError: no such colour)" in said
    assert "reconstruction.png is left out (OSError: encoder error -2" in said and "error.png is left" in said


def test_a_monitor_that_failed_is_asked_no_more_and_a_full_disk_is_no_matter_of_looks():
    calls = []

    class Fragile:
        def log(self, row):
            calls.append(row)
            raise RuntimeError("late")

    monitor = Tolerant(Fragile, "a log", None)
    with pytest.warns(UserWarning, match=r"a log is left out \(RuntimeError: late\)"):
        monitor.log(1)
    monitor.log(2)
    assert calls == [1]
    for error in (OSError(28, "No space left on device"), RunFailed("diverged")):
        with pytest.raises(type(error)), tolerated("a log", None):
            raise error
