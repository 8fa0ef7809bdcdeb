"""What belongs to the whole process, borrowed and given back: warnings, torch's settings, threads.

kanfield runs in notebooks, services and pools, in several threads at once and in forked children. Blocks of
several threads may overlap here, and the last one to end leaves everything as the first one found it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from kanfield.container import cpu_count
from kanfield.errors import InputError

_lock = threading.RLock()
_seeding = threading.RLock()  # held while a field is built, which may take a while
_quiet_blocks = 0
_caught: warnings.catch_warnings[None]
_limited: list[int] = []  # the thread of every block of `limit_threads` that is on
_unlimited = 0  # torch's threads before the first of them
_blas_limited: list[int] = []  # the thread of every block that has limited the BLAS of NumPy and SciPy
_blas_unlimited: Any = None  # puts back what was before the first of them
_has_computed = False
_forked: str | None = None  # "fresh", or "computed" where the parent had computed before the fork


# ---- torchrun ----------------------------------------------------------------------------------

_STARTED_BY = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # its variables


def process_count() -> int:
    """How many processes torchrun started for this command; 1 without it."""
    words = [os.environ.get(name, "") for name in _STARTED_BY]
    return int(words[2]) if all(words) and words[2].isdigit() else 1


def leads() -> bool:
    """Whether this is the first of torchrun's processes, or the only one."""
    return process_count() == 1 or os.environ["RANK"] == "0"


def leads_host() -> bool:
    """Whether this is the first of torchrun's processes on its host, or the only one."""
    return process_count() == 1 or os.environ["LOCAL_RANK"] == "0"


# ---- warnings ----------------------------------------------------------------------------------


@contextlib.contextmanager
def quiet_warnings() -> Iterator[None]:
    """Drop warnings, in all threads, while at least one block is on.

    ``warnings.catch_warnings`` alone, overlapping in two threads, would leave its filters behind.

    >>> with quiet_warnings():
    ...     warnings.warn("nobody hears this")
    """
    global _quiet_blocks, _caught
    with _lock:
        if not _quiet_blocks:
            _caught = warnings.catch_warnings()
            _caught.__enter__()
            warnings.simplefilter("ignore")
        _quiet_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _quiet_blocks -= 1
            if not _quiet_blocks:
                _caught.__exit__(None, None, None)


# ---- torch -------------------------------------------------------------------------------------


@contextlib.contextmanager
def default_settings() -> Iterator[None]:
    """Torch and NumPy as they start, in this thread: gradients, the CPU, no autocast, no errors of rounding.

    The default dtype is one for all threads and stays the caller's: only :func:`seeded` changes it.

    >>> import torch
    >>> with torch.inference_mode(), default_settings():
    ...     torch.ones(1, requires_grad=True).sum().requires_grad
    True
    """
    import torch

    global _has_computed
    _has_computed = True
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # a mode of its own slows every call down
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(limit_threads(None))
        yield


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from a seed, in float32, inside a ``with`` block; then the caller's generator and dtype are back.

    One block at a time: both are shared by all threads. Generators of GPUs are left alone.

    >>> import torch
    >>> with seeded(0):
    ...     first = torch.rand(1)
    >>> with seeded(0):
    ...     bool(torch.rand(1) == first)
    True
    """
    import torch

    with _seeding, torch.random.fork_rng(devices=[]):
        dtype = torch.get_default_dtype()
        torch.set_default_dtype(torch.float32)
        torch.default_generator.manual_seed(seed)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


# ---- threads -----------------------------------------------------------------------------------


@contextlib.contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """Let torch, and the BLAS of NumPy and SciPy, use ``count`` CPU threads inside a ``with`` block.

    None leaves the BLAS as it is, and stands for as many as torch has, but no more than there are cores for
    the process. In a forked child that is one, and so is any ``count`` of torch's where the parent had
    computed before the fork.

    Args:
        count: Number of threads, or None; inside another block of this thread None changes nothing.

    Raises:
        InputError: ``count`` is not a number of threads.
    """
    import torch

    if count is not None and not 1 <= count <= 4096:
        raise InputError(f"--threads {count} is impossible: give a number of CPU threads above zero")
    global _unlimited
    thread, asked = threading.get_ident(), count
    with _lock:
        now = torch.get_num_threads()
        if not _limited:
            _unlimited = now
        # A thread that asks for the first time is given what the others' blocks have set.
        before = now if not _limited or thread in _limited else _unlimited
        if count is None:
            count = before if thread in _limited else 1 if _forked else min(before, cpu_count())
        _limited.append(thread)
        _set_threads(1 if _forked == "computed" else count)
    try:
        with _limit_blas(asked):
            yield
    finally:
        with _lock:
            _limited.remove(thread)
            _set_threads(before)


@contextlib.contextmanager
def _limit_blas(count: int | None) -> Iterator[None]:
    """The libraries that are loaded by now: each of NumPy's and SciPy's has threads of its own."""
    if count is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    global _blas_unlimited
    thread = threading.get_ident()
    with _lock:
        before = threadpool_limits(min(count, cpu_count()), user_api="blas")
        if not _blas_limited:
            _blas_unlimited = before
        _blas_limited.append(thread)
    try:
        yield
    finally:
        with _lock:
            _blas_limited.remove(thread)
            (before if _blas_limited else _blas_unlimited).restore_original_limits()


def _set_threads(count: int) -> None:
    import torch

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def cpu_threads() -> int:
    """How many threads native kernels use: torch's own setting, and one where the others were lost in a fork.

    >>> cpu_threads() >= 1
    True
    """
    import torch

    global _has_computed
    _has_computed = True
    return 1 if _forked == "computed" else torch.get_num_threads()


def _after_fork() -> None:
    """In a forked child: OpenMP's threads are gone and would be waited for; so may be a lock's owner."""
    global _forked, _lock, _seeding
    _lock, _seeding = threading.RLock(), threading.RLock()
    for limited in (_limited, _blas_limited):
        limited[:] = [thread for thread in limited if thread == threading.get_ident()]
    _forked = "computed" if _has_computed or _forked == "computed" else "fresh"
    if _has_computed:
        import torch

        torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)
