"""Runs that are stopped, by a signal or with no warning at all, and what they end as once resumed."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import refused
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kanfield.cli import main
from kanfield.config.settings import Phase, Settings
from kanfield.errors import InputError
from kanfield.monitors.spectrum_log import read_spectrum
from kanfield.runs.checkpoint import read_checkpoint, write_checkpoint
from kanfield.training.fit import fit, resume
from kanfield.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_edge_figures")

STEPS = 150
FIELD = shlex.split("--widths 8,8 --grids 16,8,8 --batch-size 256 --threads 1")

# The children are forked from a server that has imported everything and computed nothing: starting one
# takes milliseconds in place of seconds, and no thread is lost in the fork.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    ["kanfield.cli", "kanfield.training.fit", "torch.utils.tensorboard", "torchmetrics.functional.image"]
)


def _command(words: list[str], said: str, prepare: Callable[[], None] | None) -> None:
    """In a child: the command, with its words in a file, after ``prepare`` has arranged what stops it."""
    from kanfield.monitors import tensorboard

    sys.stdout = sys.stderr = open(said, "a", buffering=1)  # noqa: SIM115
    tensorboard.edge_figure = lambda field: None  # type: ignore[assignment]
    if prepare is not None:
        prepare()
    main(words)


def _save_every_step() -> None:
    """Have a checkpoint after every step, so that the number of a save is that of its step."""
    initialise = Trainer.__init__

    def init(self: Trainer, *args: object, **kwargs: object) -> None:
        initialise(self, *args, **kwargs)  # type: ignore[arg-type]
        self.settings.checkpoint_seconds = 0.0

    Trainer.__init__ = init  # type: ignore[method-assign, assignment]


def _kill_at_save(number: int) -> None:
    """Die between the best weights and the state of the given save (from 1), the worst moment there is."""
    from kanfield.training import trainer as module

    original, count = module.write_checkpoint, 0

    def write(path: Path, checkpoint: object) -> None:
        nonlocal count
        if path.name == "last.safetensors":
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
        original(path, checkpoint)  # type: ignore[arg-type]

    module.write_checkpoint = write  # type: ignore[assignment]
    _save_every_step()


killed_at = partial(partial, _kill_at_save)  # as a child can receive it


def _kill_at_call(step: int, calls: int) -> None:
    """Die that many function calls into a step (from 1) or past it: the same moment on every machine."""
    original, count = Trainer._step, itertools.count()

    def kill(frame: object, event: str, called: object) -> None:
        if next(count) == calls:
            os.kill(os.getpid(), signal.SIGKILL)

    def stepping(self: Trainer) -> torch.Tensor:
        if self.progress.step + 1 == step:
            sys.setprofile(kill)
        return original(self)

    Trainer._step = stepping  # type: ignore[method-assign]
    _save_every_step()


def _finish(folder: Path, *words: object, prepare: Callable[[], None] | None = None) -> int:
    process = _processes.Process(
        target=_command, args=([str(word) for word in words], str(folder / "said.txt"), prepare)
    )
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def _fit_words(image: Path, out: Path) -> list[object]:
    return ["fit", image, "--out", out, "--steps", STEPS, "--checkpoint-seconds", 0.05, "--quiet", *FIELD]


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    y, x = np.mgrid[:32, :32]
    pixels = 128 + 80 * np.sin(x / 4) * np.cos(y / 5) + np.random.default_rng(0).normal(0, 5, (32, 32))
    path = tmp_path_factory.mktemp("image") / "a.png"
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def reference(image, tmp_path_factory) -> Path:
    """The run that nobody stopped."""
    folder = tmp_path_factory.mktemp("reference")
    assert _finish(folder, *_fit_words(image, folder)) == 0
    return folder / "a/kan-0001"


def _tensors(run: Path, which: str) -> dict[str, torch.Tensor]:
    return read_checkpoint(run / f"checkpoints/{which}.safetensors").tensors


def _rows(run: Path) -> list[dict[str, str]]:
    with open(run / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    # These two are about time, which no run repeats.
    return [{k: v for k, v in row.items() if k not in ("seconds", "pixels_per_second")} for row in rows]


def _curve(run: Path) -> list[tuple[int, float]]:
    board = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in board.Scalars("train/loss")]


def _same_end(run: Path, other: Path) -> None:
    """Both runs ended as the same run: weights, optimisers, table, figures, picture."""
    for which in ("best", "last"):
        a, b = _tensors(run, which), _tensors(other, which)
        assert a.keys() == b.keys()
        assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert _rows(run) == _rows(other)
    a, b = (json.loads((r / "metrics.json").read_text()) for r in (run, other))
    same = (
        "psnr",
        "psnr_8bit",
        "held_out_psnr",
        "steps",
        "best_step",
        "steps_to_psnr",
        "wrong_pixels",
        "ssim",
    )
    assert {key: a[key] for key in same} == {key: b[key] for key in same}
    assert (run / "reconstruction.png").read_bytes() == (other / "reconstruction.png").read_bytes()


def _next_second() -> None:
    # TensorBoard orders event files by name, and the name has whole seconds.
    time.sleep(1 - time.time() % 1)


# ---- killed ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "calls"),
    [
        (1, 0),
        (1, 200),
        (2, 0),
        (20, 500),
        (38, 1000),
        (50, 2000),
        (77, 4000),
        (101, 6000),
        (150, 0),
        (150, 50),
    ],
)
def test_a_killed_run_ends_as_if_nothing_had_happened(image, reference, tmp_path, step, calls):
    run = tmp_path / "a/kan-0001"
    kill = partial(_kill_at_call, step, calls)
    assert _finish(tmp_path, *_fit_words(image, tmp_path), prepare=kill) == -signal.SIGKILL
    assert not (run / "metrics.json").exists()

    assert _finish(tmp_path, "fit", "--resume", run, "--quiet") == 0
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["kan-0001"]  # in its own folder
    _same_end(run, reference)


@pytest.mark.slow
@pytest.mark.parametrize("save", [10, 37])
def test_a_kill_between_best_weights_and_state_does_no_harm(image, reference, tmp_path, save):
    assert _finish(tmp_path, *_fit_words(image, tmp_path), prepare=killed_at(save)) == -signal.SIGKILL
    run = tmp_path / "a/kan-0001"
    assert _finish(tmp_path, "fit", "--resume", run, "--quiet") == 0
    _same_end(run, reference)


@pytest.mark.slow
def test_a_kill_between_best_weights_and_state_at_the_target_keeps_the_count(image, reference, tmp_path):
    # A target that is met late, when there are best weights already.
    target = 0.95 * json.loads((reference / "metrics.json").read_text())["psnr"]
    words = [*_fit_words(image, tmp_path), "--target-psnr", target]
    assert _finish(tmp_path, *words) == 0
    whole = tmp_path / "a/kan-0001"
    end = json.loads((whole / "metrics.json").read_text())["steps"]
    assert end < STEPS
    # This save writes best weights that reach the target, beside a state that has not seen them.
    assert _finish(tmp_path, *words, prepare=killed_at(end)) == -signal.SIGKILL
    assert _finish(tmp_path, "fit", "--resume", tmp_path / "a/kan-0002", "--quiet") == 0
    _same_end(tmp_path / "a/kan-0002", whole)


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_starts_again_in_its_folder(image, reference, tmp_path):
    assert _finish(tmp_path, *_fit_words(image, tmp_path), prepare=killed_at(1)) == -signal.SIGKILL
    run = tmp_path / "a/kan-0001"
    assert not (run / "checkpoints/last.safetensors").exists()
    assert _finish(tmp_path, "fit", "--resume", run, "--quiet") == 0
    _same_end(run, reference)


@pytest.mark.slow
def test_tensorboard_after_a_kill_has_no_step_twice_and_none_missing(image, reference, tmp_path):
    # Two kills in one run. A checkpoint says where the run goes on, so what came before it must be on disk.
    assert _finish(tmp_path, *_fit_words(image, tmp_path), prepare=killed_at(55)) == -signal.SIGKILL
    run = tmp_path / "a/kan-0001"
    _next_second()
    assert _finish(tmp_path, "fit", "--resume", run, "--quiet", prepare=killed_at(43)) == -signal.SIGKILL
    _next_second()
    assert _finish(tmp_path, "fit", "--resume", run, "--quiet") == 0
    steps = [step for step, _ in _curve(run)]
    assert len(steps) == len(set(steps))
    assert _curve(run) == _curve(reference)
    _same_end(run, reference)


# ---- stopped by a signal -----------------------------------------------------------------------


def _signal_at(step: int, number: int = signal.SIGINT, monkeypatch=None) -> None:
    """Have this process receive a signal during a step (from 1), the first time it comes."""
    original, sent = Trainer._step, []

    def stepping(self):
        if self.progress.step + 1 == step and not sent:
            sent.append(step)
            os.kill(os.getpid(), number)
        return original(self)

    (monkeypatch or pytest.MonkeyPatch()).setattr(Trainer, "_step", stepping)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(image, tmp_path, monkeypatch, capsys, number, code):
    before = signal.getsignal(number)
    _signal_at(33, number, monkeypatch)
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in _fit_words(image, tmp_path)])
    run, said = tmp_path / "a/kan-0001", capsys.readouterr()
    assert end.value.code == code
    assert said.out == "" and said.err.count("\n") == 1
    assert f"kanfield fit --resume {run}" in said.err
    assert read_checkpoint(run / "checkpoints/last.safetensors").info["step"] == 33
    assert signal.getsignal(number) == before


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signalled_process_exits_with_the_signals_code(image, reference, tmp_path, number, code):
    run = tmp_path / "a/kan-0001"
    stop = partial(_signal_at, 33, number)
    assert _finish(tmp_path, *_fit_words(image, tmp_path), prepare=stop) == code
    assert f"kanfield fit --resume {run}" in (tmp_path / "said.txt").read_text()
    assert _finish(tmp_path, "fit", "--resume", run, "--quiet") == 0
    _same_end(run, reference)


SMALL = {"options": {"widths": [8, 8], "grids": [8, 4, 4]}, "batch_size": 256, "threads": 1}


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        (Settings(steps=60, **SMALL), 1),
        (Settings(steps=60, **SMALL), 30),
        (Settings(steps=60, **SMALL), 59),
        (Settings(steps=60, optimizer="adam", **SMALL), 17),
        (Settings(steps=60, precision="fp64", held_out="0.25", **SMALL), 17),
        (Settings(steps=60, timelapse=True, seed=3, **SMALL), 25),
        (Settings(steps=60, spectrum=True, **SMALL), 25),
        (Settings(steps=60, **{**SMALL, "options": {"widths": [8, 8], "grids": [[4, 8], [2, 4], 4]}}), 25),
        (Settings(phases=[Phase(25, 1e-2), Phase(35, 1e-3)], **SMALL), 24),
        (Settings(phases=[Phase(25, 1e-2), Phase(35, 1e-3)], **SMALL), 25),
        (Settings(phases=[Phase(25, 1e-2), Phase(35, 1e-3)], **SMALL), 26),
    ],
    ids=[
        *("first step", "middle", "last but one", "adam", "fp64", "timelapse", "spectrum", "levels"),
        *("before a phase", "at a phase", "after a phase"),
    ],
)
@pytest.mark.slow
def test_an_interrupted_run_ends_as_if_nothing_had_happened(image, tmp_path, monkeypatch, settings, step):
    whole = fit(image, settings, out=tmp_path)
    _signal_at(step, monkeypatch=monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fit(image, settings, out=tmp_path)
    run = resume(tmp_path / "a/kan-0002")
    _same_end(run.path, whole.path)
    frames = [sorted(p.name for p in r.path.glob("timelapse/*.png")) for r in (run, whole)]
    assert frames[0] == frames[1]
    looks = [read_spectrum(r.path / "spectrum.csv") for r in (run, whole)]
    assert (looks[0] is None) == (looks[1] is None) == (not settings.spectrum)
    if looks[0] is not None:
        assert looks[0].steps == looks[1].steps and (looks[0].errors == looks[1].errors).all()


def test_a_lossless_run_remembers_which_pixels_are_wrong(tmp_path, monkeypatch):
    y, x = np.mgrid[:6, :6]
    Image.fromarray((100 + 10 * x + 3 * y).astype(np.uint8)).save(tmp_path / "b.png")
    settings = Settings(
        lossless=True,
        steps=1500,
        lr=5e-3,
        adam_lr=5e-3,
        options={"widths": [16], "grids": [32, 16]},
        batch_size=16,
        threads=1,
        seed=1,
    )
    whole = fit(tmp_path / "b.png", settings, out=tmp_path)
    assert whole.metrics["lossless"]
    # Shortly before the end, when only a few are wrong and batches go to those.
    _signal_at(whole.metrics["steps"] - 4, monkeypatch=monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "b.png", settings, out=tmp_path)
    run = tmp_path / "b/kan-0002"
    assert "focus" in _tensors(run, "last")  # else the test shows nothing
    _same_end(resume(run).path, whole.path)


# ---- resuming ----------------------------------------------------------------------------------


def _stop_at(image: Path, out: Path, step: int, **settings: object) -> Path:
    """An unfinished run."""
    with pytest.MonkeyPatch.context() as patch:
        _signal_at(step, monkeypatch=patch)
        with pytest.raises(KeyboardInterrupt):
            fit(image, out=out, **{**SMALL, "steps": 40, **settings})
    return max((out / "a").iterdir())


def test_resuming_a_finished_run_does_nothing(reference, capsys):
    before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in reference.rglob("*")}
    main(["fit", "--resume", str(reference), "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out) == json.loads((reference / "metrics.json").read_text())
    assert "finished" in said.err
    assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in reference.rglob("*")} == before


def test_resume_alone_takes_the_latest_unfinished_run(image, tmp_path):
    first, second = _stop_at(image, tmp_path, 5), _stop_at(image, tmp_path, 5)
    fit(image, out=tmp_path, steps=2, **SMALL)
    main(["fit", "--resume", "--out", str(tmp_path), "--quiet"])
    assert (second / "metrics.json").exists() and not (first / "metrics.json").exists()
    main(["fit", "--resume", "--out", str(tmp_path), "--quiet"])
    assert (first / "metrics.json").exists()


def test_a_run_that_lost_only_its_results_gets_them_again(image, tmp_path):
    run = fit(image, out=tmp_path, steps=40, **SMALL)
    shutil.copytree(run.path, tmp_path / "copy")
    for name in ("metrics.json", "reconstruction.png", "error.png"):
        (tmp_path / "copy" / name).unlink()
    resume(tmp_path / "copy")
    _same_end(tmp_path / "copy", run.path)


def test_a_row_cut_short_by_a_crash_does_not_stay(image, tmp_path):
    whole = fit(image, out=tmp_path, steps=40, **SMALL)
    run = _stop_at(image, tmp_path, 25)
    with open(run / "metrics.csv", "a") as file:
        file.write("30,0.5,0.0")
    resume(run)
    assert _rows(run) == _rows(whole.path)


def test_training_time_goes_on_counting(image, tmp_path):
    run = _stop_at(image, tmp_path, 25)
    before = read_checkpoint(run / "checkpoints/last.safetensors").info["seconds"]
    after = resume(run).metrics["seconds"]
    assert before < after
    with open(run / "metrics.csv", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    assert seconds == sorted(seconds)


def test_resume_reports_where_it_goes_on(image, tmp_path, capsys):
    run = _stop_at(image, tmp_path, 25)
    main(["fit", "--resume", str(run)])
    said = capsys.readouterr()
    assert "resumed at step 25" in said.err
    assert "bit-identical" not in said.err  # nothing has changed


def test_resume_with_other_threads_warns(image, tmp_path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        run = _stop_at(image, tmp_path, 25, threads=None)
        torch.set_num_threads(2)
        said = io.StringIO()
        resume(run, console=Console(file=said, width=200))
    finally:
        torch.set_num_threads(before)
    assert "threads was 1, now 2" in said.getvalue()
    assert "not be bit-identical" in said.getvalue()


def _begun_on(device: str, run: Path) -> None:
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("device: auto", f"device: {device}"))


def test_a_run_of_another_machine_goes_on_with_the_device_that_is_given(image, tmp_path, capsys):
    run = _stop_at(image, tmp_path, 25)
    _begun_on("cuda:99", run)
    said = refused(capsys, "fit", "--resume", run)
    assert f"kanfield fit --resume {run} --device cpu" in said and "config.yaml" in said
    main(["fit", "--resume", str(run), "--device", "cpu", "--threads", "2"])
    said = capsys.readouterr().err
    assert "not be bit-identical" in said and "--device cpu in place of cuda:99" in said
    assert "--threads 2 in place of 1" in said
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["device"], metrics["threads"]) == ("cpu", 2)


def test_the_device_that_a_resumed_run_is_given_must_be_here(image, tmp_path, capsys):
    run = _stop_at(image, tmp_path, 25)
    assert "--device cuda:99" in refused(capsys, "fit", "--resume", run, "--device", "cuda:99")
    assert "--threads 0" in refused(capsys, "fit", "--resume", run, "--threads", "0")


def test_the_same_device_changes_nothing(image, tmp_path, capsys):
    run = _stop_at(image, tmp_path, 25)
    main(["fit", "--resume", str(run), "--device", "auto", "--threads", "1"])
    assert "bit-identical" not in capsys.readouterr().err


def test_a_run_folder_that_moved_can_be_resumed(image, tmp_path):
    run = _stop_at(image, tmp_path, 25)
    moved = run.rename(tmp_path / "elsewhere")
    assert resume(moved).metrics["run"] == str(moved)


def test_a_run_resumed_past_its_time_just_ends(image, tmp_path):
    run = _stop_at(image, tmp_path, 3, steps=None, seconds=30.0)
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("seconds: 30.0", "seconds: 1.0e-06"))
    metrics = resume(run).metrics
    assert metrics["steps"] == 3 and math.isfinite(metrics["psnr"])


def test_a_run_in_use_is_not_taken_up_a_second_time(tmp_path):
    fcntl = pytest.importorskip("fcntl")  # which only Unix has
    image = tmp_path / "a.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(image)
    run = _stop_at(image, tmp_path, 10, steps=20)
    with open(run / "config.yaml", "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="in use by another fit"):
            resume(run)
    assert resume(run).metrics["steps"] == 20


def test_best_weights_of_another_field_are_refused_when_a_run_goes_on(image, tmp_path):
    run = fit(image, out=tmp_path, steps=10, **SMALL)
    run.folder.metrics.unlink()
    best = read_checkpoint(run.folder.best)
    best.tensors["layers.0.coef"] = best.tensors["layers.0.coef"][:-1]
    write_checkpoint(run.folder.best, best)
    with pytest.raises(InputError, match=r"best\.safetensors does not fit the run's config\.yaml"):
        resume(run.path)
