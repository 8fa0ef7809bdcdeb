"""Memory: errors that mean it ran out; how much of it, and how many cores, there are in a container."""

from __future__ import annotations

import pytest
import torch

from kanfield import container, process
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
def machine(tmp_path):
    """A machine of 64 GiB whose control groups are files; returns a function that writes one."""

    def write(name, content):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")

    return write


def limit(folder):
    limits = container.memory_limits(folder / "cgroup", folder / "mounts")
    return min([64 * GIB, *limits])


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


def test_a_fit_that_a_container_cannot_hold_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "memory_limits", lambda: [3 * GIB])
    assert memory.memory_limit() <= 3 * GIB


# ---- cores -------------------------------------------------------------------------------------


def cores(folder):
    return container.cpu_count(folder / "cgroup", folder / "mounts")


@pytest.fixture
def eight(machine, monkeypatch):
    """As ``machine``, with eight cores of which the process may use six."""
    monkeypatch.setattr(container.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(container.os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    return machine


def test_without_control_groups_cores_are_those_the_process_is_bound_to(eight, tmp_path, monkeypatch):
    assert cores(tmp_path) == 6
    monkeypatch.delattr(container.os, "sched_getaffinity")
    assert cores(tmp_path) == 8


@pytest.mark.parametrize(
    ("quota", "count"),
    [
        ("max 100000", 6),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("5000 100000", 1),
        ("1600000 100000", 6),
        ("", 6),
        ("100000 0", 6),
    ],
)
def test_a_quota_of_version_2(eight, tmp_path, quota, count):
    eight("cgroup", "0::/a pod/box")
    eight("mounts/a pod/cpu.max", quota)
    eight("mounts/a pod/box/cpu.max", "max 100000")
    assert cores(tmp_path) == count


@pytest.mark.parametrize("folder", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "count"), [(-1, 6), (300000, 3), (50000, 1)])
def test_a_quota_of_version_1(eight, tmp_path, folder, quota, count):
    eight("cgroup", "3:cpu,cpuacct:/docker/a\n0::/x")
    eight(f"mounts/{folder}/cpu.cfs_quota_us", quota)
    eight(f"mounts/{folder}/cpu.cfs_period_us", 100000)
    assert cores(tmp_path) == count


def test_groups_beyond_what_is_mounted_are_not_looked_for(eight, tmp_path):
    eight("cgroup", "0::/../../other")
    eight("mounts/cpu.max", "400000 100000")
    eight("other/cpu.max", "100000 100000")
    assert cores(tmp_path) == 4


@pytest.mark.usefixtures("_keep_threads")
def test_the_quota_limits_the_threads(monkeypatch):
    monkeypatch.setattr(process, "cpu_count", lambda: 2)
    torch.set_num_threads(3)
    with process.limit_threads(None):
        assert torch.get_num_threads() == 2
        with process.limit_threads(4), process.limit_threads(None):
            assert torch.get_num_threads() == 4
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("running", "cores", "taken"), [(1, 1000, False), (2, 1, True), (1001, 1000, True), (2, 1000, False)]
)
def test_cores_that_others_have_taken(tmp_path, running, cores, taken):
    load = tmp_path / "loadavg"
    load.write_text(f"0.52 0.61 0.70 {running}/812 4242\n")
    assert container.cores_are_taken(load, cores) is taken
