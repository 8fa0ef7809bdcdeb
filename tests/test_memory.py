"""Memory: errors that mean it ran out, and how much of it there is in a container."""

from __future__ import annotations

import pytest
import torch

from kanfield.training import memory

GIB = 2**30


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: x"
        ),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 80000000000 bytes."),
    ],
)
def test_errors_that_mean_memory_ran_out(error):
    assert memory.is_out_of_memory(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("value cannot be converted to type int without overflow"),
        RuntimeError("cannot allocate a name"),
        ValueError("DefaultCPUAllocator: can't allocate memory"),
        OSError(12, "out of memory"),
    ],
)
def test_errors_that_mean_something_else(error):
    assert not memory.is_out_of_memory(error)


def test_what_torch_raises_when_memory_runs_out():
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**62, dtype=torch.uint8)
    assert memory.is_out_of_memory(raised.value)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 64 GiB whose control groups are files; returns a function that writes one."""
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GIB // 4096}.get)

    def write(name, content):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")

    return write


def limit(folder):
    return memory.memory_limit(folder / "cgroup", folder / "mounts")


def test_without_control_groups_it_is_the_machines(machine, tmp_path):
    assert limit(tmp_path) == 64 * GIB


def test_version_2_takes_the_least_of_the_group_and_its_parents(machine, tmp_path):
    machine("cgroup", "0::/pod/box")
    machine("mounts/pod/box/memory.max", "max")
    machine("mounts/memory.max", 32 * GIB)
    assert limit(tmp_path) == 32 * GIB
    machine("mounts/pod/memory.max", 4 * GIB)
    assert limit(tmp_path) == 4 * GIB


def test_version_1_has_a_folder_of_its_own(machine, tmp_path):
    machine("cgroup", "5:cpu,cpuacct:/other\n4:memory:/box\n1:name=systemd:/x")
    machine("mounts/memory/memory.limit_in_bytes", 9223372036854771712)  # no limit
    assert limit(tmp_path) == 64 * GIB
    machine("mounts/memory/box/memory.limit_in_bytes", 2 * GIB)
    assert limit(tmp_path) == 2 * GIB


def test_a_container_sees_its_own_limit_at_the_root(machine, tmp_path):
    machine("cgroup", "0::/")
    machine("mounts/memory.max", 3 * GIB)
    assert limit(tmp_path) == 3 * GIB
