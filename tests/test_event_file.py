"""TensorBoard event files: what TensorBoard reads back, and nothing done to other threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kanfield.images import Image
from kanfield.monitors.base import Row
from kanfield.monitors.event_file import EventFile
from kanfield.monitors.tensorboard import TensorBoardLog

ROW = Row(
    step=10,
    seconds=0.5,
    loss=0.25,
    psnr=20.0,
    held_out_psnr=None,
    lr=0.01,
    adam_lr=0.001,
    out_of_range=0.125,
    pixels_per_second=1e6,
)


def read(folder):
    return EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()


def test_tensorboard_reads_every_kind_of_event(tmp_path):
    log = TensorBoardLog(tmp_path, {"steps": 20}, None)
    log.log(ROW)
    log.picture(10, Image(np.full((4, 6, 3), 7, np.uint8), "RGB"))
    log.spectrum(10, {"1/4-1/2": 0.5})
    log.close()
    board = read(tmp_path)
    found = {tag: [(e.step, e.value) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}
    assert found["train/loss"] == [(10, 0.25)]
    assert found["train/out_of_range"] == [(10, 0.125)]
    assert found["spectrum/1/4-1/2 cycles per pixel"] == [(10, 0.5)]
    assert "psnr/held_out" not in found
    (picture,) = board.Images("reconstruction")
    assert (picture.step, picture.height, picture.width) == (10, 4, 6)
    assert b"steps: 20" in board.Tensors("config/text_summary")[0].tensor_proto.string_val[0]


def test_a_resumed_run_hides_what_came_after_its_checkpoint(tmp_path):
    first = EventFile(tmp_path)
    for step in (10, 20, 30):
        first.scalar("loss", step, step)
    first.close()
    second = EventFile(tmp_path, purge_step=21)
    second.scalar("loss", -30, 30)
    second.close()
    assert [(e.step, e.value) for e in read(tmp_path).Scalars("loss")] == [(10, 10), (20, 20), (30, -30)]


def test_files_made_at_once_are_different(tmp_path):
    for _ in range(3):
        EventFile(tmp_path).close()
    assert len(list(tmp_path.iterdir())) == 3


def test_other_threads_keep_their_exceptions(tmp_path, monkeypatch):
    heard = []
    monkeypatch.setattr(threading, "excepthook", lambda args: heard.append(str(args.exc_value)))
    hook = threading.excepthook
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    def fail():
        raise ValueError("mine")

    first = TensorBoardLog(tmp_path / "a", {}, None)
    second = TensorBoardLog(tmp_path / "b", {}, None)
    first.close()
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    second.close()
    assert heard == ["mine"] and threading.excepthook is hook


def test_a_full_disk_is_the_callers_error(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(28, "No space left on device")

    log = TensorBoardLog(tmp_path, {}, None)
    monkeypatch.setattr(log._events._records, "write", refuse)
    with pytest.raises(OSError, match="No space"):
        log.log(ROW)
    log.close()
