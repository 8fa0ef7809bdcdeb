"""The training loop: it learns, it is fair to unseen pixels, it repeats itself, it fails cleanly."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import math
import shlex
import types

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kanfield import KAN
from kanfield.cli import main
from kanfield.errors import InputError, RunFailed
from kanfield.images import Image, coordinates, held_out_mask, read_image
from kanfield.machine import pick_device
from kanfield.monitors import base, tensorboard
from kanfield.runs.checkpoint import read_checkpoint
from kanfield.runs.progress import Progress
from kanfield.runs.rendering import evaluate_field
from kanfield.runs.run import load
from kanfield.training import trainer
from kanfield.training.evaluation import evaluate
from kanfield.training.fit import fit, resume
from kanfield.training.permutation import shuffle
from kanfield.training.sampling import Batches, PixelSampler
from kanfield.training.target import Target
from kanfield.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = {"options": {"widths": [8], "grids": [8, 4]}, "batch_size": 64, "threads": 1}
_edge_figure = tensorboard.edge_figure


@pytest.fixture
def image():
    y, x, c = np.mgrid[:16, :20, :3]
    return Image((128 + 100 * np.sin(x / 3 + c) * np.cos(y / 4)).astype(np.uint8), "RGB")


def _weights(run, which="last"):
    tensors = read_checkpoint(run.path / f"checkpoints/{which}.safetensors").tensors
    return {name: t for name, t in tensors.items() if name.startswith("layers.")}


def _equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _rows(run):
    with open(run.path / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def _evaluating_every(monkeypatch, steps):
    original = Trainer.__init__

    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        self.evaluate_every = steps

    monkeypatch.setattr(Trainer, "__init__", init)


def _after_step(monkeypatch, number, action):
    """Do ``action(trainer)`` at the end of step ``number`` (from 1)."""
    original = Trainer._step

    def step(self):
        loss = original(self)
        if self.progress.step + 1 == number:
            action(self)
        return loss

    monkeypatch.setattr(Trainer, "_step", step)


@torch.no_grad()
def _fill(trainer, value):
    for parameter in trainer.field.parameters():
        parameter.fill_(value)


# ---- learning ----------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_psnr_climbs(image, tmp_path, optimizer):
    run = fit(
        image,
        out=tmp_path,
        steps=150,
        optimizer=optimizer,
        **{**SMALL, "options": {"widths": [8, 8], "grids": [8, 4, 4]}},
    )
    psnr = [float(row["psnr"]) for row in _rows(run) if row["psnr"]]
    assert run.psnr > 25
    assert run.psnr > psnr[0] + 5


@pytest.mark.parametrize(
    ("options", "precision"), [({"order": 1}, "fp32"), ({}, "fp64"), ({"grids": [[4, 8], 4]}, "fp32")]
)
def test_every_kind_of_spline_learns(image, tmp_path, options, precision):
    settings = {**SMALL, "options": {**SMALL["options"], **options}, "precision": precision}
    run = fit(image, out=tmp_path, steps=60, lr=0.02, **settings)
    assert run.psnr > 18


def test_one_seed_gives_one_result(image, tmp_path):
    a, b = (fit(image, out=tmp_path, steps=20, seed=4, **SMALL) for _ in range(2))
    assert _equal(_weights(a), _weights(b))
    assert (a.path / "reconstruction.png").read_bytes() == (b.path / "reconstruction.png").read_bytes()


def test_two_seeds_give_two_results(image, tmp_path):
    a, b = (fit(image, out=tmp_path, steps=20, seed=seed, **SMALL) for seed in (1, 2))
    assert not _equal(_weights(a), _weights(b))


def test_seconds_end_the_training(image, tmp_path, monkeypatch):
    ticks = itertools.count()  # each reading of this clock takes a hundredth of a second
    clock = types.SimpleNamespace(perf_counter=lambda: next(ticks) / 100)
    monkeypatch.setattr(trainer, "time", clock)
    run = fit(image, out=tmp_path, seconds=0.2, **SMALL)
    assert run.metrics["seconds"] == pytest.approx(0.2, abs=0.02)
    assert 10 <= run.metrics["steps"] <= 20


def test_first_crossings_are_noted(image, tmp_path):
    run = fit(image, out=tmp_path, steps=100, lr=0.02, **SMALL)
    psnr = {int(row["step"]): float(row["psnr"]) for row in _rows(run) if row["psnr"]}
    first = {
        str(mark): min(step for step, value in psnr.items() if value >= mark)
        for mark in range(20, 105, 5)
        if max(psnr.values()) >= mark
    }
    assert first  # else there is nothing to compare
    assert run.metrics["steps_to_psnr"] == first
    assert run.metrics["seconds_to_psnr"].keys() == first.keys()


def test_smoothing_dies_away_with_the_run(image, tmp_path, monkeypatch):
    rates = []
    monkeypatch.setattr(KAN, "smooth_coefficients", lambda self, rate: rates.append(rate))
    fit(image, out=tmp_path, options={"widths": [4], "grids": [8, 8]}, steps=40, smoothness=1e-3)
    assert rates == pytest.approx([1e-2 * (1 - step / 41) for step in (1, 11, 21, 31)])


# ---- batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7, 10, 64, 100, 1000])
def test_each_pixel_comes_once_an_epoch(batch_size):
    pixels = np.arange(100) * 3
    sampler = PixelSampler(pixels, batch_size, seed=1)
    steps = 3 * math.lcm(100, sampler.batch_size) // sampler.batch_size
    drawn = torch.cat([sampler.batch(step) for step in range(steps)])
    for epoch in drawn.split(100):
        assert epoch.sort().values.tolist() == pixels.tolist()


def test_a_batch_depends_on_seed_and_step_alone():
    pixels = np.arange(100)
    forward, backward = PixelSampler(pixels, 7, seed=1), PixelSampler(pixels, 7, seed=1)
    there = [forward.batch(step) for step in range(40)]
    torch.manual_seed(99)
    back = [backward.batch(step) for step in reversed(range(40))]
    assert all(torch.equal(a, b) for a, b in zip(there, reversed(back), strict=True))


@pytest.mark.parametrize("count", [1, 2, 3, 17, 1000, 4096, 5000])
def test_a_shuffle_is_a_permutation(count):
    shuffled = shuffle(np.arange(count), count, [1, 2])
    assert sorted(shuffled.tolist()) == list(range(count))


def test_a_shuffle_spreads_over_an_image_too_large_for_a_table():
    count, drawn = 10**12, 20_000
    shuffled = shuffle(np.arange(drawn), count, [0])
    for bins in (np.histogram(shuffled, 100, (0, count))[0], np.bincount(shuffled % 100)):
        assert 40 < np.square(bins - drawn / 100).sum() / (drawn / 100) < 180  # chi-square of 99 degrees


def test_epochs_differ():
    sampler = PixelSampler(np.arange(100), 100, seed=1)
    assert not torch.equal(sampler.batch(0), sampler.batch(1))


def test_seeds_give_different_batches():
    one, two = (PixelSampler(np.arange(100), 100, seed) for seed in (1, 2))
    assert not torch.equal(one.batch(0), two.batch(0))


def test_the_focus_is_drawn_anew_for_every_seed():
    focus = torch.arange(500)
    one, two = (PixelSampler(np.arange(1000), 100, seed).batch(0, focus)[:50] for seed in (1, 2))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("seed", [0, 2**23, 2**31, 2**53])
def test_any_seed_serves(seed):
    assert len(PixelSampler(np.arange(10), 4, seed).batch(3, torch.arange(2))) == 4


@pytest.mark.parametrize(("wrong", "share"), [(2, 4), (400, 50)])
def test_up_to_half_of_a_batch_goes_to_the_focus(wrong, share):
    focus = torch.arange(wrong)
    sampler = PixelSampler(np.arange(1000), 100, seed=0)
    batch = sampler.batch(2, focus)
    assert len(batch) == 100
    assert torch.isin(batch[:share], focus).all()
    assert torch.equal(batch[share:], sampler.batch(2)[share:])
    assert torch.equal(batch, sampler.batch(2, focus))


def test_an_empty_focus_changes_nothing():
    sampler = PixelSampler(np.arange(50), 10, seed=0)
    assert torch.equal(sampler.batch(1, torch.arange(0)), sampler.batch(1))


@pytest.mark.parametrize("batch_size", [3, 64, 3000])
@pytest.mark.parametrize("order", [list(range(30)), [29, 0, 13, 12, 28, 1]])
def test_batches_are_the_samplers_step_by_step(batch_size, order):
    target = Target(Image(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), "L"), torch.zeros(1))
    sampler = PixelSampler(target.seen(), batch_size, seed=3)
    batches = Batches(sampler, target)
    for step in order:
        x, y = batches.at(step)
        true_x, true_y = target.samples(sampler.batch(step))
        assert torch.equal(x, true_x) and torch.equal(y, true_y)
    focus = torch.tensor([5, 6])
    for mine, true in zip(batches.at(7, focus), target.samples(sampler.batch(7, focus)), strict=True):
        assert torch.equal(mine, true)


# ---- what must not matter ----------------------------------------------------------------------


@pytest.mark.parametrize("held_out", [None, "0.3"])
def test_looking_often_does_not_change_the_weights(image, tmp_path, monkeypatch, held_out):
    more = {"held_out": held_out} if held_out else {}
    rarely = fit(image, out=tmp_path, steps=30, **more, **SMALL)
    _evaluating_every(monkeypatch, 1)
    often = fit(image, out=tmp_path, steps=30, **more, **SMALL)
    assert len(_rows(often)) == 30 > len(_rows(rarely))
    assert _equal(_weights(rarely), _weights(often))


def test_a_fit_leaves_the_global_random_streams_alone(image, tmp_path):
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    fit(image, out=tmp_path, steps=12, **SMALL)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # noqa: NPY002


def test_the_global_random_stream_does_not_reach_a_fit(image, tmp_path):
    torch.manual_seed(1)
    a = fit(image, out=tmp_path, steps=5, **SMALL)
    torch.manual_seed(2)
    b = fit(image, out=tmp_path, steps=5, **SMALL)
    assert _equal(_weights(a), _weights(b))


def test_a_fit_leaves_the_number_of_threads_alone(image, tmp_path):
    before = torch.get_num_threads()
    fit(image, out=tmp_path, steps=2, **{**SMALL, "threads": before + 1})
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("pattern", ["checkerboard", "every-second", "0.4"])
def test_unseen_pixels_never_reach_the_weights(image, tmp_path, pattern):
    mask = held_out_mask(image.height, image.width, pattern, seed=0).reshape(image.height, image.width)
    pixels = image.pixels.copy()
    pixels[mask] = 255 - pixels[mask]
    other = Image(pixels, image.mode)
    a, b = (fit(i, out=tmp_path, steps=40, held_out=pattern, **SMALL) for i in (image, other))
    assert a.metrics["held_out_psnr"] != b.metrics["held_out_psnr"]
    assert a.psnr == b.psnr
    for which in ("last", "best"):
        assert _equal(_weights(a, which), _weights(b, which))


def test_unseen_pixels_never_stop_a_run(image, tmp_path):
    mask = held_out_mask(image.height, image.width, "checkerboard", seed=0).reshape(16, 20)
    pixels = image.pixels.copy()
    pixels[mask] = 255 - pixels[mask]
    a, b = (
        fit(i, out=tmp_path, steps=300, held_out="checkerboard", target_psnr=20.0, **SMALL)
        for i in (image, Image(pixels, image.mode))
    )
    assert a.metrics["steps"] == b.metrics["steps"] < 300
    assert a.metrics["target_reached"] is b.metrics["target_reached"] is True


def test_psnr_is_that_of_the_float_values_on_seen_pixels():
    field = torch.nn.Linear(2, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 1), dtype=np.uint8)
    held_out, missing = np.arange(10) >= 6, np.arange(10) == 0
    picture = Image(pixels, "L", missing=missing.reshape(2, 5))
    result = evaluate(field, Target(picture, torch.zeros(1), held_out))
    values = ((field(coordinates(2, 5)) + 1) / 2).clamp(0, 1).detach().numpy()
    error = np.square(values - picture.values())
    assert result.psnr == pytest.approx(-10 * math.log10(error[1:6].mean()), abs=1e-4)
    assert result.held_out_psnr == pytest.approx(-10 * math.log10(error[6:].mean()), abs=1e-4)


def test_a_look_at_some_pixels_is_part_of_the_look_at_all():
    field = torch.nn.Linear(2, 3)
    picture = Image(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8), "RGB")
    target, some = Target(picture, torch.zeros(1)), np.arange(0, 63, 2)
    whole, part = evaluate(field, target), evaluate(field, target, some)
    assert part.picture is None and whole.picture is not None
    assert np.array_equal(part.wrong, whole.wrong[some])
    error = np.square(evaluate_field(field, coordinates(9, 7)).numpy() - picture.values())[some]
    assert part.psnr == pytest.approx(-10 * math.log10(error.mean()), abs=1e-4)


def test_evaluation_in_pieces_is_evaluation_at_once(monkeypatch):
    field, coords = torch.nn.Linear(2, 3), torch.rand(1000, 2)
    whole = evaluate_field(field, coords)
    monkeypatch.setattr("kanfield.runs.rendering.CHUNK", 64)
    assert torch.allclose(evaluate_field(field, coords), whole, atol=1e-6)


# ---- the best weights --------------------------------------------------------------------------


def test_results_come_from_the_best_weights(image, tmp_path, monkeypatch):
    _evaluating_every(monkeypatch, 10)
    _after_step(monkeypatch, 35, lambda trainer: _fill(trainer, 0.0))
    run = fit(image, out=tmp_path, steps=40, **SMALL)
    psnr = {int(row["step"]): float(row["psnr"]) for row in _rows(run)}
    assert psnr[40] < psnr[30]  # or the last weights would be the best
    assert run.psnr == psnr[30] and run.metrics["best_step"] == 30
    saved = read_image(run.path / "reconstruction.png")
    assert np.array_equal(saved.pixels, run.render().pixels)
    assert not _equal(_weights(run, "best"), _weights(run, "last"))


def test_a_missed_target_counts_the_best_weights(image, tmp_path, monkeypatch):
    _evaluating_every(monkeypatch, 10)
    _after_step(monkeypatch, 35, lambda trainer: _fill(trainer, 0.0))
    run = fit(image, out=tmp_path, steps=40, target_psnr=99.0, **SMALL)
    assert run.metrics["target_reached"] is False
    assert run.metrics["best_step"] == 30 < run.metrics["steps"]


# ---- divergence --------------------------------------------------------------------------------


def test_a_huge_rate_is_one_line_and_exit_code_1(image, tmp_path, capsys):
    PILImage.fromarray(image.pixels).save(tmp_path / "a.png")
    words = shlex.split("--lr 1e8 --steps 40 --widths 8 --grids 8,4 --batch-size 64 --threads 1 --quiet")
    with pytest.raises(SystemExit) as end:
        main(["fit", str(tmp_path / "a.png"), "--out", str(tmp_path), *words])
    said = capsys.readouterr()
    assert end.value.code == 1
    assert said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err
    assert "diverged" in said.err and "--lr" in said.err and "kan-0001" in said.err


@pytest.mark.parametrize("step", [5, 10, 15, 35, 40])
def test_not_a_number_fails_the_run_whenever_it_comes(image, tmp_path, monkeypatch, step):
    _evaluating_every(monkeypatch, 10)
    _after_step(monkeypatch, step, lambda trainer: _fill(trainer, math.nan))
    with pytest.raises(RunFailed, match="diverged"):
        fit(image, out=tmp_path, steps=40, **SMALL)


def test_a_failed_run_keeps_its_best_weights(image, tmp_path, monkeypatch):
    _evaluating_every(monkeypatch, 10)
    # Between two looks, so that the loss tells and not the picture.
    _after_step(monkeypatch, 32, lambda trainer: _fill(trainer, 1e9))
    with pytest.raises(RunFailed, match="best weights") as caught:
        fit(image, out=tmp_path, steps=40, **SMALL)
    best = read_checkpoint(tmp_path / "image/kan-0001/checkpoints/best.safetensors")
    assert best.info["step"] <= 30
    assert all(t.isfinite().all() and t.abs().max() < 1e6 for t in best.tensors.values())
    assert "kan-0001" in str(caught.value)


def test_a_failed_run_without_good_weights_says_so(image, tmp_path, monkeypatch):
    _evaluating_every(monkeypatch, 40)
    _after_step(monkeypatch, 5, lambda trainer: _fill(trainer, math.nan))
    with pytest.raises(RunFailed, match="no weights were good enough"):
        fit(image, out=tmp_path, steps=60, **SMALL)


def test_a_failed_run_has_no_metrics(image, tmp_path, monkeypatch):
    _after_step(monkeypatch, 5, lambda trainer: _fill(trainer, 1e9))
    with pytest.raises(RunFailed):
        fit(image, out=tmp_path, steps=20, **SMALL)
    with pytest.raises(InputError, match="unfinished"):
        _ = load(tmp_path / "image/kan-0001").metrics


def test_running_out_of_memory_says_what_to_try(image, tmp_path, monkeypatch):
    def fail(trainer):
        raise MemoryError

    _after_step(monkeypatch, 3, fail)
    with pytest.raises(RunFailed, match="--batch-size"):
        fit(image, out=tmp_path, steps=5, **SMALL)


# ---- monitors ----------------------------------------------------------------------------------


def test_the_table_has_a_row_every_log_step(image, tmp_path):
    run = fit(image, out=tmp_path, steps=35, held_out="0.5", **SMALL)
    rows = _rows(run)
    assert list(rows[0]) == [field.name for field in dataclasses.fields(base.Row)]
    assert [int(row["step"]) for row in rows] == [10, 20, 30, 35]
    assert all(math.isfinite(float(value)) for value in rows[-1].values())
    assert 0 <= float(rows[-1]["out_of_range"]) <= 1
    assert float(rows[-1]["psnr"]) <= run.psnr
    seconds = [float(row["seconds"]) for row in rows]
    assert seconds == sorted(seconds)


def _board(run):
    board = EventAccumulator(str(run.path), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return board.Reload()


def test_tensorboard_has_curves_pictures_edges_and_settings(image, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "edge_figure", _edge_figure)
    run = fit(image, out=tmp_path, steps=30, held_out="0.5", **SMALL)
    board = _board(run)
    curves = {
        "train/loss",
        "train/learning_rate",
        "train/learning_rate_adam",
        "train/out_of_range",
        "train/pixels_per_second",
    }
    assert set(board.Tags()["scalars"]) == curves | {"psnr/seen", "psnr/held_out"}
    assert {"reconstruction", "edges"} == set(board.Tags()["images"])
    picture = board.Images("reconstruction")[-1]
    assert (picture.width, picture.height) == (20, 16)
    assert board.Images("edges")[0].width > 100
    (text,) = board.Tensors("config/text_summary")
    assert b"held_out" in text.tensor_proto.string_val[0]


def test_tensorboard_and_table_agree(image, tmp_path):
    run = fit(image, out=tmp_path, steps=30, **SMALL)
    losses = {event.step: event.value for event in _board(run).Scalars("train/loss")}
    assert losses == pytest.approx({int(r["step"]): float(r["loss"]) for r in _rows(run)})


def test_pictures_come_at_growing_distances(image, tmp_path, monkeypatch):
    _evaluating_every(monkeypatch, 1)
    run = fit(image, out=tmp_path, steps=100, timelapse=True, **SMALL)
    steps = sorted(int(path.stem) for path in (run.path / "timelapse").glob("*.png"))
    assert steps[:4] == [1, 2, 3, 4] and steps[-1] == 100
    ratios = [b / a for a, b in itertools.pairwise(steps[3:-1])]
    assert all(1.2 < ratio <= 1.6 for ratio in ratios), steps


# ---- from Python -------------------------------------------------------------------------------


def test_an_image_without_a_file_is_kept_in_its_run(image, tmp_path):
    run = fit(image, out=tmp_path, steps=5, **SMALL)
    assert run.path == tmp_path / "image/kan-0001"
    assert np.array_equal(load(run.path).image.pixels, image.pixels)
    assert run.render(scale=2).pixels.shape == (32, 40, 3)


def test_an_image_resized_in_reading_can_be_loaded_again(image, tmp_path):
    PILImage.fromarray(image.pixels).save(tmp_path / "a.png")
    run = fit(read_image(tmp_path / "a.png", size=10), out=tmp_path, steps=5, **SMALL)
    assert np.array_equal(load(run.path).image.pixels, read_image(tmp_path / "a.png", size=10).pixels)


def test_size_resizes_an_image_from_python_too(image, tmp_path):
    run = fit(image, out=tmp_path, size=10, steps=5, **SMALL)
    assert read_image(run.path / "reconstruction.png").pixels.shape == (8, 10, 3)


def test_a_run_shows_its_state(image, tmp_path):
    run = fit(image, out=tmp_path, steps=5, **SMALL)
    assert f"psnr={run.psnr:.2f}" in repr(run)
    run.folder.metrics.unlink()
    assert "unfinished" in repr(load(run.path))


def test_resuming_a_finished_run_returns_it(image, tmp_path):
    run = fit(image, out=tmp_path, steps=5, **SMALL)
    assert resume(run.path).metrics == run.metrics


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="--device nonsense is unknown"):
        pick_device("nonsense")
    with pytest.raises(InputError, match="--device meta is unknown"):
        pick_device("meta")


@pytest.mark.parametrize(
    ("lossless", "wrong", "every"), [(True, 5, 30), (True, 10, 90), (True, None, 90), (False, 5, 90)]
)
def test_a_lossless_fit_looks_more_often_for_its_last_wrong_pixels(lossless, wrong, every):
    progress = types.SimpleNamespace(wrong_pixels=wrong, step=0)
    state = types.SimpleNamespace(
        settings=types.SimpleNamespace(lossless=lossless),
        progress=progress,
        sampler=types.SimpleNamespace(count=1000),  # of 10,000 pixels, say, of which most are hidden
        evaluate_every=90,
        _is_last_step=lambda: False,
    )
    found = []
    for progress.step in range(1, 181):
        if Trainer._evaluates(state):
            found.append(progress.step)
    assert found == list(range(every, 181, every))


@pytest.mark.parametrize(
    ("lossless", "wrong", "psnr", "best"),
    [
        (True, 4, 60, True),
        (True, 6, 70, False),
        (True, 5, 66, True),
        (False, 4, 60, False),
        (False, 6, 70, True),
    ],
)
def test_the_best_state_of_a_lossless_fit_has_the_fewest_wrong_pixels(lossless, wrong, psnr, best):
    progress = Progress(best_psnr=65.0, fewest_wrong=5, wrong_pixels=wrong)
    assert progress.is_best(psnr, lossless) == best
