"""Checkpoints: whole, exact, harmless to read, and clear about what is wrong with a file."""

from __future__ import annotations

import errno
import json
import math
import pickle
import re
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from kanfield import KAN
from kanfield.errors import InputError, RunFailed
from kanfield.runs import checkpoint as module
from kanfield.runs.checkpoint import (
    FORMAT,
    Checkpoint,
    blank_image,
    load_field,
    load_optimizers,
    optimizer_tensors,
    read_checkpoint,
    write_checkpoint,
)
from kanfield.runs.progress import Progress
from kanfield.training.optimizers import Muon, build_optimizers


def _field(seed: int = 0) -> KAN:
    torch.manual_seed(seed)
    return KAN(2, 1, [4, 4], [4, [2, 4], 4])


def _step(field, optimizers, seed):
    x = torch.rand(32, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    loss = (field(x) - x.prod(1, keepdim=True)).square().mean()
    for optimizer in optimizers:
        optimizer.zero_grad()
    loss.backward()
    for optimizer in optimizers:
        optimizer.step()


@pytest.mark.parametrize("name", ["muon", "adam"])
def test_training_goes_on_exactly_after_a_round_trip(tmp_path, name):
    field = _field()
    optimizers = build_optimizers(field, name, 1e-2, 1e-3)
    for seed in range(3):
        _step(field, optimizers, seed)
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint({**field.state_dict(), **optimizer_tensors(optimizers)}, {"step": 3}))

    other = _field(seed=1)
    others = build_optimizers(other, name, 1e-2, 1e-3)
    read = read_checkpoint(path)
    load_field(other, read, path)
    load_optimizers(others, read.tensors)
    _step(field, optimizers, 3)
    _step(other, others, 3)

    assert read.info["step"] == 3
    assert all(torch.equal(a, b) for a, b in zip(field.parameters(), other.parameters(), strict=True))


def test_muon_and_adam_state_are_both_kept():
    field = _field()
    optimizers = build_optimizers(field, "muon", 1e-2, 1e-3)
    _step(field, optimizers, 0)
    names = {key.rsplit(".", 1)[1] for key in optimizer_tensors(optimizers)}
    assert isinstance(optimizers[0], Muon)
    assert names == {"momentum_buffer", "exp_avg", "exp_avg_sq", "step"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_tensors_keep_type_and_every_bit(tmp_path, dtype):
    tensor = (torch.rand(5, 3, dtype=torch.float64) * 1e6).to(dtype)
    write_checkpoint(tmp_path / "a", Checkpoint({"t": tensor}, {}))
    read = read_checkpoint(tmp_path / "a").tensors["t"]
    assert read.dtype == dtype and torch.equal(read, tensor)


def test_the_file_is_a_header_of_json_and_raw_numbers(tmp_path):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint({"t": torch.arange(3.0)}, {"step": 7}))
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    assert json.loads(header["__metadata__"]["kanfield"]) == {"format": FORMAT, "step": 7}
    assert data[8 + length :] == struct.pack("<3f", 0, 1, 2)


def test_reading_never_unpickles(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint({"t": torch.ones(2)}, {}))

    def refuse(*_, **__):
        raise AssertionError("unpickled")

    for home, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(home, name, refuse)
    assert torch.equal(read_checkpoint(path).tensors["t"], torch.ones(2))


def test_a_pickled_file_is_refused(tmp_path):
    path = tmp_path / "best.safetensors"
    torch.save({"t": torch.ones(2)}, path)
    with pytest.raises(InputError, match="damaged or not a safetensors file"):
        read_checkpoint(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone\.safetensors is missing"):
        read_checkpoint(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 60, -1], ids=["empty", "tiny", "in the header", "last byte gone"])
def test_a_cut_file_is_damaged(tmp_path, keep):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint({"t": torch.ones(100)}, {}))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.safetensors is damaged"):
        read_checkpoint(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"kanfield": "[1]"}, {"kanfield": "{}"}])
def test_a_foreign_file_is_refused(tmp_path, metadata):
    path = tmp_path / "a.safetensors"
    save_file({"t": torch.ones(2)}, path, metadata=metadata)
    with pytest.raises(InputError, match="was not written by kanfield"):
        read_checkpoint(path)


@pytest.mark.parametrize("other", [FORMAT - 1, FORMAT + 1])
def test_another_format_says_so_in_words(tmp_path, monkeypatch, other):
    path = tmp_path / "a.safetensors"
    monkeypatch.setattr(module, "FORMAT", other)
    write_checkpoint(path, Checkpoint({"t": torch.ones(2)}, {}))
    monkeypatch.undo()
    with pytest.raises(InputError, match=rf"format {other}.*reads {FORMAT}:.*fit again"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "key",
    ["optimizer.0.0", "optimizer.x.0.exp_avg", "optimizer.0.-1.a", "optimizer.0.9.a", "optimizer.5.0.a"],
)
def test_optimizer_state_that_belongs_nowhere_is_refused(key):
    optimizers = build_optimizers(_field(), "adam", 1e-2, 1e-3)
    with pytest.raises(InputError, match=rf"optimizer state \({re.escape(key)}\).*fit again"):
        load_optimizers(optimizers, {key: torch.zeros(())})


def test_optimizer_state_of_another_shape_is_refused():
    field = _field()
    optimizers = build_optimizers(field, "adam", 1e-2, 1e-3)
    _step(field, optimizers, 0)
    tensors = optimizer_tensors(optimizers)
    name = next(key for key in tensors if key.endswith("exp_avg"))
    with pytest.raises(InputError, match="optimizer state"):
        load_optimizers(optimizers, {**tensors, name: torch.zeros(99)})


GOOD = {"height": 2, "width": 3, "mode": "L", "dtype": "float32", "value_range": [0, 1], "icc_profile": None}


def test_a_huge_blank_image_takes_no_memory(tmp_path):
    image = blank_image({**GOOD, "height": 400_000, "width": 400_000}, tmp_path)  # 640 GB of pixels
    assert (image.height, image.value_range) == (400_000, (0, 1))


@pytest.mark.parametrize(
    "spec",
    [
        None,
        [],
        {"height": 2},
        *(
            {**GOOD, key: value}
            for key, value in [("height", 0), ("width", "3"), ("height", 2**70), ("height", -1)]
        ),
        *(
            {**GOOD, key: value}
            for key, value in [("mode", 3), ("mode", "XY"), ("dtype", "object"), ("dtype", "no")]
        ),
        *({**GOOD, "value_range": value} for value in [None, [0], [1, 0], ["a", "b"], [0, math.inf]]),
        {**GOOD, "icc_profile": 7},
    ],
)
def test_a_damaged_image_spec_is_one_line(spec):
    with pytest.raises(InputError, match=r"best\.safetensors is damaged .*fit again"):
        blank_image(spec, Path("best.safetensors"))


def test_weights_of_another_shape_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint(KAN(2, 1, [5], 4).state_dict(), {}))
    with pytest.raises(InputError, match=r"does not fit the run's config\.yaml"):
        load_field(KAN(2, 1, [4], 4), read_checkpoint(path), path)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, Checkpoint({"t": torch.zeros(2)}, {"step": 1}))
    before = path.read_bytes()

    def fill_up(tensors, temporary, metadata):
        temporary.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", fill_up)
    with pytest.raises(RunFailed, match="No space left"):
        write_checkpoint(path, Checkpoint({"t": torch.ones(2)}, {"step": 2}))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_that_json_lacks_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_checkpoint(tmp_path / "a", Checkpoint({}, {"psnr": float("nan")}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("info", [{"step": "many"}, {"best_psnr": [1]}, {"steps_to_psnr": 3}])
def test_damaged_progress_is_an_error_of_its_file(info, tmp_path):
    with pytest.raises(InputError, match=rf"last\.safetensors is damaged: {next(iter(info))}"):
        Progress.from_checkpoint(info, tmp_path / "last.safetensors")
