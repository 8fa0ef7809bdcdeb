"""One field on several processes: two gloo processes on the loopback take the steps that one would."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import refused
from torch import nn

from kanfield.config.settings import Settings
from kanfield.images import Image, write_image
from kanfield.runs.checkpoint import read_checkpoint
from kanfield.tiles import entry
from kanfield.training.distributed import Ranks
from kanfield.training.signals import Signals
from kanfield.training.step import Step

FIT = [sys.executable, "-m", "kanfield"]
# What each of two processes computes, printed as JSON by the first.
GRADIENTS = """
import json
import torch
from torch import nn
from kanfield.training.distributed import Ranks, joined
from kanfield.training.step import Step

with joined(torch.device("cpu"), 7) as ranks:
    losses, weights = steps(ranks, {optimizer!r})
    if ranks.leads:
        print(json.dumps([losses, weights]))
"""


def steps(ranks: Ranks, optimizer: str) -> tuple[list[float], list[float]]:
    """Losses of three steps on batches of 7, an odd number, and the weights after them."""
    torch.manual_seed(0)
    field = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizers = [getattr(torch.optim, optimizer)(field.parameters(), lr=1.0 if optimizer == "SGD" else 1e-2)]
    step = Step(field, optimizers, ranks)
    losses = [step(torch.randn(7, 2), torch.randn(7, 3)).item() for _ in range(3)]
    return losses, torch.cat([p.detach().reshape(-1) for p in field.parameters()]).tolist()


@contextlib.contextmanager
def started(words: Sequence[str], count: int = 2) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes as torchrun starts them."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    processes = []
    try:
        for rank in range(count):
            environment = {**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)}
            pipe = subprocess.PIPE
            processes.append(
                subprocess.Popen(words, env=environment, stdout=pipe, stderr=pipe, text=True, stdin=pipe)
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit codes and what the processes have said."""
    said = [process.communicate(timeout=1500) for process in processes]
    return [(process.returncode, *each) for process, each in zip(processes, said, strict=True)]


@pytest.fixture
def picture(tmp_path) -> Path:
    y, x = np.mgrid[:48, :64]
    pixels = (128 + 60 * np.sin(x / 5) + 40 * np.cos(y / 7)).astype(np.uint8)[..., None]
    write_image(tmp_path / "a.png", Image(pixels, "L"))
    return tmp_path / "a.png"


def words(picture: Path, *more: str, steps: int = 120) -> list[str]:
    fixed = f"--steps {steps} --batch-size 64 --threads 1 --widths 8 --grids 8,4 --encoding directions"
    return [*FIT, "fit", str(picture), "--out", str(picture.parent / "runs"), *fixed.split(), *more]


def run(picture: Path, number: int) -> Path:
    return picture.parent / f"runs/a/kan-{number:04d}"


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_two_processes_take_the_steps_of_one(optimizer):
    script = "from __future__ import annotations\n" + inspect.getsource(steps)
    script += GRADIENTS.format(optimizer=optimizer)
    with started([sys.executable, "-c", script]) as processes:
        (first, out, errors), second = ended(processes)
    assert first == 0, errors
    assert second[0] == 0 and second[1] == ""
    losses, weights = json.loads(out)
    alone = steps(Ranks(), optimizer)
    assert losses == pytest.approx(alone[0], abs=1e-6)
    assert weights == pytest.approx(alone[1], abs=1e-6)


def test_parts_of_a_batch_are_the_batch():
    batch = torch.arange(22).reshape(11, 2)
    assert torch.equal(torch.cat([Ranks(rank, 4).part(batch) for rank in range(4)]), batch)


def test_a_signal_while_they_agree_counts_the_next_time(monkeypatch):
    signals = Signals()

    def meanwhile(told, op):
        signals.received = signal.SIGTERM  # after this process has told that none had come

    monkeypatch.setattr("torch.distributed.all_reduce", meanwhile)
    assert Ranks(0, 2).agree(1.5, signals) == (1.5, False)
    assert Ranks(0, 2).agree(2.5, signals) == (2.5, True)


@pytest.mark.slow
def test_a_fit_by_two_processes_is_that_of_one(picture):
    with started(words(picture)) as processes:
        (code, out, errors), second = ended(processes)
    assert code == 0 and second == (0, "", ""), (errors, second)
    assert "2 processes train this field, 32 pixels of every step each" in errors
    assert "this cannot pay: below 16,384 pixels a process" in errors and "PSNR" in out
    subprocess.run(words(picture, "--quiet"), check=True)
    two, one = (json.loads((run(picture, n) / "metrics.json").read_text()) for n in (1, 2))
    assert two["psnr"] == pytest.approx(one["psnr"], abs=0.05) and two["steps"] == one["steps"] == 120
    rows = [(run(picture, n) / "metrics.csv").read_text().splitlines() for n in (1, 2)]
    assert len(rows[0]) == len(rows[1])
    first = [dict(zip(r[0].split(","), r[1].split(","), strict=True)) for r in rows]
    assert float(first[0]["loss"]) == pytest.approx(float(first[1]["loss"]), abs=1e-5)


@pytest.mark.slow
def test_a_signal_to_one_of_two_saves_the_run_and_three_go_on_with_it(picture):
    with started(words(picture, "--checkpoint-seconds", "0.1", steps=100_000)) as processes:
        _wait(lambda: (run(picture, 1) / "checkpoints/last.safetensors").exists())
        processes[1].send_signal(signal.SIGTERM)
        found = ended(processes)
    assert [code for code, _, _ in found] == [143, 143]
    assert "and saved. Go on with: kanfield fit --resume" in found[0][2] and found[1][2] == ""
    step = _end_soon(run(picture, 1))
    with started([*FIT, "fit", "--resume", str(run(picture, 1))], count=3) as processes:
        assert [code for code, _, _ in ended(processes)] == [0, 0, 0]
    assert json.loads((run(picture, 1) / "metrics.json").read_text())["steps"] == step + 30


def _end_soon(path: Path) -> int:
    """Let a run end 30 steps after its checkpoint; returns the checkpoint's step."""
    step = int(read_checkpoint(path / "checkpoints/last.safetensors").info["step"])
    config = path / "config.yaml"
    config.write_text(config.read_text().replace("steps: 100000", f"steps: {step + 30}"))
    return step


def _wait(condition: object, seconds: float = 1500.0) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_resumes(picture):
    last = run(picture, 1) / "checkpoints/last.safetensors"
    with started(words(picture, "--checkpoint-seconds", "0.1", steps=100_000)) as processes:
        _wait(last.exists)
        processes[1].kill()
        (code, _, errors), _ = ended(processes)
    assert code == 1 and errors.strip().splitlines()[-1].startswith(
        "kanfield: another of torchrun's processes is gone or cannot be reached ("
    )
    assert "Traceback" not in errors
    step = _end_soon(run(picture, 1))
    subprocess.run([*FIT, "fit", "--resume", str(run(picture, 1)), "--quiet"], check=True)
    assert json.loads((run(picture, 1) / "metrics.json").read_text())["steps"] == step + 30


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="needs Linux")
def test_no_thread_of_gloo_outlives_the_fit(picture):
    # Else they may meet the end of the interpreter, and the process is aborted after all is done.
    script = f"""
import os
import sys
from kanfield.cli import main
main({words(picture, "--quiet", steps=5)[3:]})
names = [open(f"/proc/self/task/{{task}}/comm").read() for task in os.listdir("/proc/self/task")]
assert not [name for name in names if "gloo" in name], names
"""
    with started([sys.executable, "-c", script]) as processes:
        found = ended(processes)
    assert [code for code, _, _ in found] == [0, 0], found


@pytest.mark.slow
def test_torchrun_itself_and_a_mistake_that_is_said_once(picture):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run([*torchrun, *words(picture)[2:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("PSNR ") == 1
    with started(words(picture, "--lr", "0")) as processes:
        found = ended(processes)
    assert [code for code, _, _ in found] == [2, 2] and found[1][2] == ""
    assert found[0][2].startswith("kanfield: --lr 0")


def test_tiles_and_too_small_batches_are_refused(picture, monkeypatch, capsys):
    variables = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    out = "--out", picture.parent / "runs"
    said = refused(capsys, "fit", picture, "--tiles", "32", *out)
    assert "torchrun is for one field, and 64 x 48 pixels are split into many: add --tiles 1" in said
    assert entry._plan(Settings(), 2000, 2000) is None  # one field, as torchrun asks for
    said = refused(capsys, "fit", picture, "--batch-size", "1", *out)
    assert "--batch-size 1 is less than a pixel for each of 2 processes" in said
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    said = refused(capsys, "fit", picture, *out)
    assert "torch.distributed is initialised already" in said and "destroy_process_group" in said
    assert not (picture.parent / "runs").exists()
