"""What the machine does to a run: full disks, vanished folders, rivals, jumping clocks; for root too."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from kanfield.cli import main
from kanfield.errors import InputError, RunFailed
from kanfield.images import Image
from kanfield.runs.checkpoint import read_checkpoint
from kanfield.training import fit as fitting
from kanfield.training import memory
from kanfield.training.evaluate_run import evaluate_run
from kanfield.training.fit import fit, resume
from kanfield.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = {"options": {"widths": [8], "grids": [8, 4]}, "batch_size": 64, "threads": 1}
RUN = Path("image/kan-0001")


@pytest.fixture
def image():
    y, x, c = np.mgrid[:16, :20, :3]
    return Image((128 + 100 * np.sin(x / 3 + c) * np.cos(y / 4)).astype(np.uint8), "RGB")


@pytest.fixture
def at_step(monkeypatch):
    """``at_step(n, action)`` does ``action(trainer)`` at the end of step n (from 1)."""
    steps = {}
    original = Trainer._step

    def step(self):
        loss = original(self)
        steps.pop(self.progress.step + 1, lambda trainer: None)(self)
        return loss

    monkeypatch.setattr(Trainer, "_step", step)
    return steps.__setitem__


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "checkpoints/last.safetensors").tensors


def _equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture
def small_files():
    """``small_files(bytes)``: from now on no file may grow past this, which is what a full disk does.

    ``small_files(None)`` ends that; a test has to call it, because pytest itself writes before it tears down.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [1000, 6000])  # too little for the table of steps; for a checkpoint
@pytest.mark.filterwarnings("error")  # a thread that dies would be told as a warning
def test_a_disk_that_fills_up_keeps_the_last_checkpoint(image, tmp_path, at_step, small_files, room):
    reference = fit(image, out=tmp_path / "reference", steps=60, **SMALL)
    at_step(30, lambda trainer: small_files(room))
    try:
        with pytest.raises(RunFailed, match="cannot be written") as caught:
            fit(image, out=tmp_path, steps=60, checkpoint_seconds=1e-6, **SMALL)
    finally:
        small_files(None)
    assert "\n" not in str(caught.value) and "--resume" in str(caught.value)
    saved = read_checkpoint(tmp_path / RUN / "checkpoints/last.safetensors")
    assert 20 <= saved.info["step"] <= 40
    run = resume(tmp_path / RUN)
    assert run.metrics["steps"] == 60
    assert _equal(_weights(run.path), _weights(reference.path))


def test_a_disk_that_is_full_from_the_start_is_one_line(image, tmp_path, small_files, capfd):
    small_files(100)
    try:
        with pytest.raises((RunFailed, OSError)) as caught:
            fit(image, out=tmp_path, steps=20, **SMALL)
    finally:
        small_files(None)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("when", ["training", "results"])
def test_a_folder_removed_while_the_run_is_on(image, tmp_path, monkeypatch, at_step, when):
    def remove(*_):
        shutil.rmtree(tmp_path / RUN)

    if when == "training":
        at_step(20, remove)
    else:
        original = fitting.write_results
        monkeypatch.setattr(fitting, "write_results", lambda *results: (remove(), original(*results)))
    with pytest.raises(RunFailed, match="is gone: it was removed while the run was on"):
        fit(image, out=tmp_path, steps=40, checkpoint_seconds=1e-6, **SMALL)
    assert not (tmp_path / RUN).exists()


def test_a_second_fit_in_one_folder_is_refused(image, tmp_path, at_step):
    said = []

    def rival(trainer):
        with pytest.raises(InputError) as caught:
            resume(trainer.folder.path)
        said.append(str(caught.value))

    at_step(20, rival)
    run = fit(image, out=tmp_path, steps=40, checkpoint_seconds=1e-6, **SMALL)
    assert said == [f"{run.path} is in use by another fit: wait for it or stop it"]
    assert _equal(_weights(run.path), _weights(fit(image, out=tmp_path / "b", steps=40, **SMALL).path))


def test_resume_alone_leaves_a_run_in_use_to_its_owner(image, tmp_path, at_step, capsys):
    at_step(10, lambda trainer: sys.exit(9))
    with pytest.raises(SystemExit):
        fit(image, out=tmp_path, steps=20, checkpoint_seconds=1e-6, **SMALL)

    def rival(trainer):
        assert trainer.folder.path == tmp_path / "image/kan-0002"  # the younger one, but in use
        main(["fit", "--resume", "--out", str(tmp_path), "--quiet"])

    at_step(5, rival)
    fit(image, out=tmp_path, steps=20, **SMALL)
    assert (tmp_path / RUN / "metrics.json").exists()


@pytest.mark.slow
def test_two_fits_started_at_once_get_folders_of_their_own(image, tmp_path):
    code = (
        "import sys, numpy as np; from kanfield.images import Image; from kanfield import fit;"
        "image = Image(np.arange(64, dtype=np.uint8).reshape(8, 8, 1), 'L');"
        f"fit(image, out={str(tmp_path)!r}, options={{'widths': [4], 'grids': [4, 4]}}, steps=10, threads=1)"
    )
    rivals = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [rival.wait() for rival in rivals] == [0, 0]
    assert {p.parent.name for p in tmp_path.glob("*/*/metrics.json")} == {"kan-0001", "kan-0002"}


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_clock_that_jumps_changes_nothing(image, tmp_path, monkeypatch, at_step, jump):
    reference = fit(image, out=tmp_path / "reference", steps=30, **SMALL)
    true_time = time.time
    at_step(15, lambda trainer: monkeypatch.setattr(time, "time", lambda: true_time() + jump))
    run = fit(image, out=tmp_path, steps=30, **SMALL)
    assert _equal(_weights(run.path), _weights(reference.path))
    assert 0 < run.metrics["seconds"] < 60


def test_half_written_files_of_a_killed_process_go(image, tmp_path, at_step):
    at_step(20, lambda trainer: sys.exit(9))
    with pytest.raises(SystemExit):
        fit(image, out=tmp_path, steps=40, checkpoint_seconds=1e-6, **SMALL)
    leftover = tmp_path / RUN / "checkpoints/.last.safetensors.99.tmp"
    leftover.write_bytes(b"half")
    resume(tmp_path / RUN)
    assert not leftover.exists()


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_running_out_of_memory_keeps_the_checkpoint(image, tmp_path, at_step, error):
    def exhaust(trainer):
        raise error

    at_step(20, exhaust)
    with pytest.raises(RunFailed, match="out of memory; checkpoints so far are in"):
        fit(image, out=tmp_path, steps=40, checkpoint_seconds=1e-6, **SMALL)
    assert resume(tmp_path / RUN).metrics["steps"] == 40


@pytest.mark.slow
def test_a_compiler_that_fails_is_told_in_a_line(image, tmp_path, monkeypatch):
    from torch._dynamo.exc import TorchDynamoException

    def fail(x):
        raise TorchDynamoException(
            "InvalidCxxCompiler: No working C++ compiler found.\n\nSet TORCHDYNAMO_VERBOSE"
        )

    monkeypatch.setattr(torch, "compile", lambda field: fail)
    with pytest.raises(
        RunFailed, match=r"^--compile does not work here \(Inv.* found\): fit again without it$"
    ):
        fit(image, out=tmp_path, steps=40, compile=True, **SMALL)


def test_a_run_whose_steps_were_removed_is_not_resumed_for_ever(image, tmp_path, at_step):
    at_step(20, lambda trainer: sys.exit(9))
    with pytest.raises(SystemExit):
        fit(image, out=tmp_path, steps=40, checkpoint_seconds=1e-6, **SMALL)
    config = tmp_path / RUN / "config.yaml"
    config.write_text("".join(line for line in config.open() if not line.startswith("steps:")))
    with pytest.raises(InputError, match="lacks steps"):
        resume(tmp_path / RUN)


def test_a_run_fitted_on_a_gpu_is_measured_without_one(image, tmp_path):
    run = fit(image, out=tmp_path, steps=10, device="cpu", **SMALL)
    run.folder.config.write_text(run.folder.config.read_text().replace("device: cpu", "device: cuda:99"))
    assert evaluate_run(run.path)["psnr"] == pytest.approx(run.psnr, abs=1e-5)


def test_a_field_that_the_machine_cannot_hold_is_refused_before_it_starts(image, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="GB of memory or more"):
        fit(image, out=tmp_path, options={"widths": [10**9], "grids": [8, 8]}, steps=5, threads=1)
    monkeypatch.setattr(memory, "memory_limit", lambda: 1000)
    with pytest.raises(InputError, match="give smaller --widths"):
        fit(image, out=tmp_path, steps=5, **SMALL)
    assert not (tmp_path / "image").exists()
