"""Decoders are kept quiet without a side effect on the rest of the process."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from kanfield.images import Image, read_image, write_image
from kanfield.images.formats.quiet import quiet_native, quiet_tifffile


def _two_at_once(block):
    """Run the block in two threads so that the first one to enter is the first one to leave."""
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first():
        with block():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    def second():
        first_in.wait(10)
        with block():
            second_in.set()
            first_out.wait(10)

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)


def test_overlapping_threads_leave_the_streams_as_they_were(capfd):
    before, stdout = os.fstat(2), sys.stdout
    _two_at_once(quiet_native)
    assert os.path.samestat(os.fstat(2), before) and sys.stdout is stdout
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


def test_overlapping_threads_leave_the_logger_as_it_was():
    logger = logging.getLogger("tifffile")
    before = [*logger.filters], logger.disabled, logger.level
    _two_at_once(quiet_tifffile)
    assert ([*logger.filters], logger.disabled, logger.level) == before


def test_nothing_is_redirected_while_other_threads_run(capfd):
    done = threading.Event()
    thread = threading.Thread(target=done.wait, args=(10,))
    thread.start()
    before, stdout = os.fstat(2), sys.stdout
    with quiet_native():
        assert os.path.samestat(os.fstat(2), before) and sys.stdout is stdout
    done.set()
    thread.join()


def test_other_threads_are_heard(caplog, capsys, monkeypatch):
    monkeypatch.setattr(threading, "active_count", lambda: 1)

    def speak():
        logging.getLogger("tifffile").warning("mine")
        print("mine")

    with quiet_tifffile(), quiet_native():
        logging.getLogger("tifffile").warning("the decoder's")
        print("the decoder's")
        thread = threading.Thread(target=speak)
        thread.start()
        thread.join()
    assert (caplog.messages, capsys.readouterr().out) == (["mine"], "mine\n")


def test_reading_a_tiff_leaves_standard_error_alone(tmp_path, monkeypatch):
    write_image(tmp_path / "a.tif", Image(np.zeros((4, 4, 1), np.uint16), "L"))
    redirected = []
    monkeypatch.setattr(os, "dup2", lambda *args: redirected.append(args))
    read_image(tmp_path / "a.tif")
    assert redirected == []


@pytest.mark.parametrize("suffix", [".tif", ".exr"])
def test_files_are_read_where_standard_error_is_closed(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, Image(np.arange(16, dtype=np.float32).reshape(4, 4, 1), "L"))
    code = (
        "import os, sys; os.close(2); from kanfield.images import read_image; "
        f"print(read_image({str(path)!r}).pixels.sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "120.0\n")
