"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from kanfield.files import make_numbered_folder, replacing


def test_numbered_folders_go_on_after_the_highest_number(tmp_path):
    (tmp_path / "kan-0007").mkdir()
    (tmp_path / "kan-rbf-0100").mkdir()
    (tmp_path / "kan-0009.txt").touch()
    assert make_numbered_folder(tmp_path, "kan") == tmp_path / "kan-0008"


def test_the_name_of_a_numbered_folder_is_not_a_pattern(tmp_path):
    (tmp_path / "ab-0003").mkdir()
    assert make_numbered_folder(tmp_path, "a[b].*").name == "a[b].*-0001"
    assert make_numbered_folder(tmp_path, "a[b].*").name == "a[b].*-0002"


def test_a_numbered_folder_needs_no_name(tmp_path):
    assert [make_numbered_folder(tmp_path / "spectra").name for _ in range(2)] == ["0001", "0002"]


def test_numbered_folders_made_at_once_are_all_different(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: make_numbered_folder(tmp_path, "kan"), range(40)))
    assert len(set(folders)) == 40 and all(folder.is_dir() for folder in folders)


def test_a_numbered_folder_where_there_can_be_none(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_numbered_folder(tmp_path / "file", "kan")


def test_two_writers_of_a_file_do_not_share_a_temporary_one(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
        assert first != second
        assert all(p.parent == tmp_path and p.name[0] == "." and p.suffix == ".tmp" for p in (first, second))
    assert path.read_text() == "first" and list(tmp_path.iterdir()) == [path]


def test_the_folder_is_flushed_after_the_rename(tmp_path, monkeypatch):
    done, replace, fsync = [], os.replace, os.fsync

    def note_replace(*args):
        done.append("replace")
        replace(*args)

    def note_fsync(descriptor):
        done.append("folder" if os.path.samestat(os.fstat(descriptor), tmp_path.stat()) else "file")
        fsync(descriptor)

    monkeypatch.setattr(os, "replace", note_replace)
    monkeypatch.setattr(os, "fsync", note_fsync)
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert done == ["file", "replace", "folder"]


def test_a_new_file_has_the_usual_permissions(tmp_path):
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "usual").stat().st_mode
