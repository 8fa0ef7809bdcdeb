"""Cores and memory that a container, or the scheduler of a cluster, leaves to this process."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path, PurePosixPath

_GROUPS = Path("/proc/self/cgroup")  # which control groups the process is in
_MOUNTS = Path("/sys/fs/cgroup")  # where control groups are mounted
_LOAD = Path("/proc/loadavg")
_LOOKS, _BETWEEN = 9, 0.01  # seconds


def cpu_count(groups: Path = _GROUPS, mounts: Path = _MOUNTS) -> int:
    """How many cores this process may use: those it is bound to, or fewer by a container's quota; at least 1.

    Args:
        groups: The file that says which control groups the process is in.
        mounts: Where control groups are mounted.

    >>> cpu_count() >= 1
    True
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # only Linux binds processes to cores
        cores = os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas(groups, mounts)]
    return max(1, min([cores, *quotas]))


def cores_are_taken(load: Path = _LOAD, cores: int | None = None) -> bool:
    """Whether other processes compute on so many cores that this one cannot have all that it may use.

    Args:
        load: The file with the number of threads that run at this moment.
        cores: Of the machine; None for what the system says.

    >>> cores_are_taken(Path("no such file"))
    False
    """
    others = []
    for _ in range(_LOOKS):  # a single look would often meet something short
        words = _words(load)
        if len(words) < 4:  # only Linux has it
            return False
        others.append(int(words[3].partition("/")[0]) - 1)
        time.sleep(_BETWEEN)
    free = (cores or os.cpu_count() or 1) - sorted(others)[_LOOKS // 2]
    return free < cpu_count()


def memory_limits(groups: Path = _GROUPS, mounts: Path = _MOUNTS) -> list[int]:
    """Bytes that the process's control groups and all that hold them allow; empty without a limit.

    Args:
        groups: As for :func:`cpu_count`.
        mounts: As for :func:`cpu_count`.
    """
    limits = []
    for folder, version in _folders("memory", groups, mounts):
        words = _words(folder / ("memory.max" if version == 2 else "memory.limit_in_bytes"))
        if words and words[0].isdigit():  # "max" for no limit
            limits.append(int(words[0]))
    return limits


def _quotas(groups: Path, mounts: Path) -> list[float]:
    """Cores' worth of time that control groups allow."""
    quotas = []
    for folder, version in _folders("cpu", groups, mounts):
        if version == 2:
            words = _words(folder / "cpu.max")
        else:
            words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
        if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):  # "max", -1: no limit
            quotas.append(int(words[0]) / int(words[1]))
    return quotas


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except (OSError, ValueError):  # not mounted here, or not ours to read
        return []


def _folders(controller: str, groups: Path, mounts: Path) -> list[tuple[Path, int]]:
    """Folders of the process's control groups and of all that hold them, with their version, 1 or 2."""
    found: list[tuple[Path, int]] = []
    try:
        lines = groups.read_text().splitlines()
    except (OSError, ValueError):
        return []
    for line in lines:
        _, controllers, group = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            roots, version = [mounts, mounts / "unified"], 2
        elif controller in controllers.split(","):
            roots, version = [mounts / controller, mounts / controllers], 1
        else:
            continue
        path = PurePosixPath(group.lstrip("/"))
        if ".." in path.parts:  # of a group beyond what is mounted here
            path = PurePosixPath()
        found += [(root / folder, version) for root in roots for folder in (path, *path.parents)]
    return found
