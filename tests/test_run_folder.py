"""The lock of a run folder, and folders of models with unusual names."""

from __future__ import annotations

import errno

import pytest

from kanfield.errors import InputError
from kanfield.runs import locks as module
from kanfield.runs.folder import RunFolder

fcntl = pytest.importorskip("fcntl")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.yaml").touch()
    return RunFolder(tmp_path)


def test_two_that_ask_at_once_do_not_take_each_other_for_a_fit(folder):
    with open(folder.config, "rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not folder.in_use


def test_a_fit_waits_for_who_only_asks(folder, monkeypatch):
    other = open(folder.config, "rb")  # noqa: SIM115  closed while the lock waits
    fcntl.flock(other, fcntl.LOCK_SH)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: other.close())
    with folder.lock():
        assert other.closed and folder.in_use
    assert not folder.in_use


def test_a_second_fit_is_refused(folder, monkeypatch):
    waits = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    with folder.lock(), pytest.raises(InputError, match="in use by another fit"), folder.lock():
        pass
    assert 0.1 < sum(waits) < 1


def _nfs(file, kind):
    """As on NFS, where an exclusive lock is one of bytes in a file that is open for writing."""
    if kind & fcntl.LOCK_EX and fcntl.fcntl(file, fcntl.F_GETFL) & 3 == 0:
        raise OSError(errno.EBADF, "Bad file descriptor")
    return real(file, kind)


real = fcntl.flock


def test_a_second_fit_is_refused_on_nfs_too(folder, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", _nfs)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    with folder.lock():
        assert folder.in_use
        with pytest.raises(InputError, match="in use by another fit"), folder.lock():
            pass
    assert not folder.in_use


@pytest.mark.parametrize("number", ["ENOLCK", "ENOSYS", "ENOTSUP", "EBADF", "EINVAL", "EIO", "EPERM"])
def test_a_fit_goes_on_where_there_are_no_locks(folder, monkeypatch, number):
    def none(file, kind):
        raise OSError(getattr(errno, number), number)

    monkeypatch.setattr(fcntl, "flock", none)
    with folder.lock():
        assert not folder.in_use


def test_a_config_that_cannot_be_written_is_locked_all_the_same(folder):
    folder.config.chmod(0o444)
    with folder.lock():
        assert folder.in_use


def test_the_latest_unfinished_run_is_found_beside_one_that_cannot_be_read(tmp_path, monkeypatch):
    for name in ("kan-0001", "kan-0002", "kan-0003"):
        (tmp_path / "a" / name).mkdir(parents=True)
        (tmp_path / "a" / name / "config.yaml").touch()
    errors = {"kan-0002": PermissionError(), "kan-0003": FileNotFoundError()}

    def is_locked(path):
        if path.parent.name in errors:
            raise errors[path.parent.name]
        return False

    monkeypatch.setattr("kanfield.runs.folder.is_locked", is_locked)
    assert RunFolder.latest_unfinished(tmp_path).path.name == "kan-0001"


def test_a_models_name_is_not_a_pattern(tmp_path):
    made = [RunFolder.create(tmp_path, tmp_path / "a.png", "my+model").path.name for _ in range(2)]
    assert made == ["my+model-0001", "my+model-0002"]
