"""The caller's process is left as it was, whatever it has set, in threads and in forked children."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from kanfield import child as child_module
from kanfield import fit, load, process
from kanfield.child import set_for_this_process
from kanfield.images import Image
from kanfield.runs.run import Run
from kanfield.training.evaluate_run import evaluate_run

pytestmark = pytest.mark.usefixtures("no_edge_figures", "_keep_threads")

KAN = {"options": {"widths": [4], "grids": [8, 8]}, "encoding": "none", "steps": 20, "batch_size": 64}
FAMILIES = ["siren", "mlp", "rff", "posenc", "gauss", "wire", "finer", "hashgrid", "kan-rbf", "kan-fourier"]


def picture(side: int = 12) -> Image:
    return Image((np.arange(side * side * 3) % 251).astype(np.uint8).reshape(side, side, 3), "RGB")


def weights(run: Run) -> list[torch.Tensor]:
    return [tensor.detach().clone() for tensor in run.field.state_dict().values()]


def same(a: Run, b: Run) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def state() -> dict[str, object]:
    """What belongs to the whole process."""
    streams = [os.fstat(number) for number in (0, 1, 2)]
    return {
        "descriptors": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None,
        "streams": [(one.st_dev, one.st_ino) for one in streams],
        "stdout": (sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook, sys.displayhook),
        "signals": [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "torch": (torch.get_default_dtype(), torch.get_default_device(), torch.get_num_threads()),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "random": (random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())),  # noqa: NPY002
        "warnings": [*warnings.filters],
        "numpy": np.geterr(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "threads": threading.active_count(),
    }


def changed(before: dict[str, object]) -> list[str]:
    return [name for name, value in state().items() if value != before[name]]


@contextlib.contextmanager
def float64():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextlib.contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SURROUNDINGS = {
    "plain": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "float64": float64,
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
    "numpy": lambda: np.errstate(all="raise"),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory, no_edge_figures) -> Run:
    """A fit in a process that has set nothing."""
    return fit(picture(), out=tmp_path_factory.mktemp("plain"), **KAN)


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_a_fit_works_in_what_the_caller_has_set_and_leaves_it(name, plain, tmp_path):
    with SURROUNDINGS[name]():
        before = state()
        run = fit(picture(), out=tmp_path, **KAN)
        drawn = load(run.path).render(scale=2).pixels
        slope = load(run.path).derivative("gradient")
        again = evaluate_run(run.path)["psnr"]
        assert changed(before) == []
    assert again == run.psnr
    assert same(run, plain)
    assert np.array_equal(drawn, plain.render(scale=2).pixels) and np.isfinite(slope).all()


@pytest.mark.slow
@pytest.mark.parametrize("model", FAMILIES)
def test_every_family_works_in_another_default_dtype(model, tmp_path):
    first = fit(picture(), out=tmp_path, model=model, steps=10, batch_size=64)
    with float64():
        second = fit(picture(), out=tmp_path, model=model, steps=10, batch_size=64)
        assert np.array_equal(second.render().pixels, first.render().pixels)
    assert same(first, second)


def test_fits_in_threads_are_those_of_one_after_the_other(tmp_path):
    def one(number: int) -> Run:
        threads = 1 + number % 2
        return fit(picture(), out=tmp_path / f"{number}", seed=number // 2, threads=threads, **KAN)

    alone = [one(number) for number in range(4)]
    before = state()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(one, range(4)))
    assert changed(before) == []
    assert [same(a, b) for a, b in zip(alone, together, strict=True)] == [True] * 4
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads()


def blas_threads() -> list[int]:
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


def test_threads_are_those_of_numpy_and_scipy_too():
    before = blas_threads()
    with threadpool_limits(2, user_api="blas"):
        outside = blas_threads()
        with process.limit_threads(1), process.limit_threads(None):
            inside = blas_threads()
            with process.limit_threads(2):
                pass
            assert inside == blas_threads() == [1] * len(outside)
        assert blas_threads() == outside
        with process.limit_threads(None):
            assert blas_threads() == outside
    assert blas_threads() == before


def test_threads_of_numpy_that_overlap_are_put_back():
    entered, leave = threading.Event(), threading.Event()

    def second():
        with process.limit_threads(1):
            entered.set()
            leave.wait(10)

    before = blas_threads()
    thread = threading.Thread(target=second)
    with process.limit_threads(1):
        thread.start()
        entered.wait(10)
    leave.set()
    thread.join()
    assert blas_threads() == before


def test_warnings_that_overlap_in_threads_leave_the_filters():
    entered, leave = threading.Event(), threading.Event()

    def second():
        with process.quiet_warnings():
            entered.set()
            leave.wait(10)

    before = [*warnings.filters]
    thread = threading.Thread(target=second)
    with process.quiet_warnings():
        thread.start()
        entered.wait(10)
    leave.set()
    thread.join()
    assert warnings.filters == before


def _arrays() -> dict[str, np.ndarray]:
    pixels = picture().pixels
    read_only = pixels.copy()
    read_only.flags.writeable = False
    wide = np.zeros((24, 24, 4), np.uint8)
    wide[::2, ::2, :3] = pixels
    deep, real = pixels.astype(np.uint16) * 257, pixels.astype(np.float32)
    return {
        "rot90": np.rot90(np.rot90(pixels, 2), 2)[::-1][::-1],
        "turned": np.rot90(pixels, 2),
        "mirrored": np.flip(pixels),
        "bgr": pixels[..., ::-1],
        "Fortran": np.asfortranarray(pixels),
        "transposed": pixels.transpose(1, 0, 2),
        "strided": wide[::2, ::2, :3],
        "read-only": read_only,
        "broadcast": np.broadcast_to(pixels[:1], pixels.shape),
        "uint16 mirrored": deep[::-1],
        "big-endian uint16": deep.astype(">u2"),
        "big-endian float32": real.astype(">f4"),
        "float32 mirrored": real[:, ::-1],
    }


@pytest.mark.parametrize("name", _arrays())
def test_arrays_of_every_layout_are_fitted(name, tmp_path):
    array = _arrays()[name]
    copy = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("=")))
    before = array.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        run = fit(Image(array, "RGB"), out=tmp_path, **KAN)
    assert np.array_equal(run.image.pixels, copy) and np.array_equal(array, before)
    assert same(run, fit(Image(copy, "RGB"), out=tmp_path, **KAN))


# ---- forks -------------------------------------------------------------------------------------

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


def in_child(work) -> bool:
    """Whether ``work`` comes to its end in a forked child, within a minute."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


@needs_fork
@pytest.mark.parametrize("model", ["kan", "siren", "hashgrid"])
def test_a_child_forked_after_a_fit_fits_and_draws(model, tmp_path):
    torch.set_num_threads(2)
    settings = {"model": model, "steps": 10, "batch_size": 1024}
    run = fit(picture(32), out=tmp_path, **settings)

    def work():
        torch.rand(300, 300) @ torch.rand(300, 300)
        run.render(scale=4)
        coords = torch.rand(4096, 2) * 2 - 1
        run.field(coords).sum().backward()
        child = fit(picture(32), out=tmp_path / "child", threads=2, **settings)
        assert child.metrics["threads"] == 1
        assert in_child(lambda: child.render(scale=4))

    assert in_child(work)
    assert torch.get_num_threads() == 2
    run.render()


@needs_fork
def test_a_pool_of_forked_workers_fits(plain, tmp_path):
    torch.set_num_threads(2)
    plain.render(scale=20)
    code = os.path.join(tmp_path, "pool.py")
    with open(code, "w") as file:
        file.write(_POOL)
    done = subprocess.run(
        [sys.executable, code], cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr


_POOL = """
import multiprocessing
import numpy as np
from kanfield import fit
from kanfield.images import Image

pixels = (np.arange(32 * 32 * 3) % 251).astype(np.uint8).reshape(32, 32, 3)

def one(seed):
    return fit(Image(pixels, "RGB"), out=f"runs{seed}", seed=seed, steps=10).metrics["threads"]

if __name__ == "__main__":
    fit(Image(pixels, "RGB"), steps=10, threads=2)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(one, range(3)).get(120) == [1, 1, 1]
"""


def test_a_child_does_not_inherit_what_a_process_set_for_itself(monkeypatch):
    monkeypatch.setattr(child_module, "_own", set())
    monkeypatch.setattr(os, "environ", {**os.environ, "THEIRS": "1"})
    set_for_this_process("OURS", "2")
    environment = child_module._environment()
    assert os.environ["OURS"] == "2" and environment["THEIRS"] == "1" and "OURS" not in environment


# ---- how threads wait --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "taken", "policy"),
    [
        ("", True, "PASSIVE"),
        ("", False, None),
        ("os.environ['OMP_WAIT_POLICY'] = 'ACTIVE'", True, "ACTIVE"),
        ("os.environ['GOMP_SPINCOUNT'] = '7'", True, None),
        ("sys.modules['torch'] = sys", True, None),
        ("sys.argv[1] = 'eval'", True, None),
    ],
)
def test_threads_sleep_where_others_compute_in_a_process_of_its_own(before, taken, policy):
    code = f"""
import importlib, os, sys
sys.argv = ["kanfield", "fit"]
module = importlib.import_module("kanfield.cli.main")
assert "torch" not in sys.modules
module.cores_are_taken = lambda: {taken}
module.parse_command = lambda words: sys.exit(print(os.environ.get("OMP_WAIT_POLICY")))
{before}
module.main()
"""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1:] == [str(policy)], done.stderr
