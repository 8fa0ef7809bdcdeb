"""What several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # tests run side by side, each with the cores to itself would wait
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

if not torch.cuda.is_available():  # Triton's kernels are interpreted; it looks when it is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

from kanfield.splines import backend as backends


@pytest.fixture(autouse=True)
def _same_numbers_every_time() -> None:
    torch.manual_seed(0)


@pytest.fixture
def _keep_threads() -> Iterator[None]:
    """Puts back the number of threads that a test changes."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def native_core() -> None:
    """For tests that mean nothing without the compiled core."""
    if backends.native is None:
        pytest.skip(f"the native core is not built: {backends.native_error}")


@pytest.fixture(params=("native", "reference"))
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test once on every backend of the CPU that is there."""
    if request.param == "native" and backends.native is None:
        pytest.skip(f"the native core is not built: {backends.native_error}")
    with backends.use_backend(request.param):
        yield request.param


@pytest.fixture(scope="module")
def no_edge_figures() -> Iterator[None]:
    """For tests that fit: matplotlib takes longer than small fits, and the figure has a test of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kanfield.monitors.tensorboard.edge_figure", lambda field: None)
        yield
