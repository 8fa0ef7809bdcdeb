"""Runs of tiles whose files are damaged or gone, and what users are told of a picture read by windows."""

from __future__ import annotations

import errno
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import refused
from rich.console import Console
from test_tile_workers import begin, weights
from test_tiles import SMALL, finished, here, pixels  # noqa: F401  fixtures

from kanfield.cli import main
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image, read_image, write_image
from kanfield.images.windows import open_windows
from kanfield.tiles import entry
from kanfield.tiles.ledger import TRIES, Ledger
from kanfield.tiles.picture import FileReader
from kanfield.tiles.run import TiledRun
from kanfield.tiles.work import work
from kanfield.training.trainer import Trainer

WHOLE = slice(0, 80), slice(0, 96)


def a_console() -> Console:
    return Console(file=io.StringIO(), width=300)


@pytest.fixture
def copied(finished, tmp_path) -> TiledRun:  # noqa: F811
    """A finished run that may be written to."""
    shutil.copytree(finished.path, tmp_path / "run")
    return entry.load(tmp_path / "run")


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize("damage", [_remove, _cut])
@pytest.mark.parametrize("name", ["checkpoints/best.safetensors", "metrics.json"])
def test_a_done_tile_without_its_files_is_refused_and_fitted_again(
    copied,
    capsys,
    damage,
    name,
    here,  # noqa: F811
):
    before = weights(copied.path)
    file = copied.path / "tiles/0001-0001" / name
    damage(file)
    words = f"tiles/0001-0001/{name} is damaged or missing: kanfield fit --resume"
    for command in ("eval", "render"):
        out = ["--out", copied.path / "a.png"] if command == "render" else []
        if command == "eval" or name != "metrics.json":  # a drawing needs weights alone
            assert words in refused(capsys, command, copied.path, *out, codes=(1, 2))
    assert not (copied.path / "a.png").exists()
    console = a_console()
    run = entry.resume(copied.path, console=console)
    assert f"{name} is damaged or missing: tile 0001-0001 is fitted again" in console.file.getvalue()
    assert weights(copied.path) == before and run.metrics["tiles"] == 9
    console = a_console()
    entry.resume(copied.path, console=console)
    assert console.file.getvalue().strip().endswith("is finished: nothing to do")


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_damaged_checkpoint_of_one_tile_begins_that_tile_anew(tmp_path, monkeypatch, name):
    run = begin(tmp_path, monkeypatch, steps=60, batch_size=256)
    step = Trainer._step

    def stop(trainer: Trainer):
        if trainer.progress.best_psnr is not None:
            trainer.save()
            raise KeyboardInterrupt
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", stop)
        with pytest.raises(KeyboardInterrupt):
            work(run.path)
    (left,) = run.folder.tiles.iterdir()
    _cut(left / f"checkpoints/{name}.safetensors")
    (left / ".metrics.json.0a1b2c3d.tmp").write_text("{")
    console, started = a_console(), []
    restore = Trainer.restore
    monkeypatch.setattr(Trainer, "restore", lambda self: started.append(restore(self)) or [])
    assert work(run.path, console=console) == 9 and not started
    assert f"tile {left.name[:9]} is begun anew: its checkpoint is damaged" in console.file.getvalue()
    assert not list(run.path.rglob("*.tmp"))
    whole = tmp_path / "whole"
    whole.mkdir()
    alone = begin(whole, monkeypatch, steps=60, batch_size=256)
    work(alone.path)
    assert weights(run.path) == weights(alone.path)


def test_what_kanfield_work_says_at_the_end(copied, capsys):
    main(["work", str(copied.path)])
    assert "is finished: nothing is left to do" in capsys.readouterr().err
    (copied.path / "metrics.json").unlink()
    main(["work", str(copied.path)])
    assert "0 tiles fitted here, none is left; the picture comes with: kanf" in capsys.readouterr().err


def test_a_drawing_says_how_many_tiles_are_not_done(copied, capsys):
    shutil.rmtree(copied.path / "tiles/0002-0002")
    main(["render", str(copied.path), "--out", str(copied.path / "a.png"), "--laplacian"])
    assert "; 1 of 9 tiles are not done yet and gray" in capsys.readouterr().err


def test_deaths_that_are_forgiven_while_they_are_read(copied, monkeypatch):
    ledger = Ledger(copied.folder, copied.split.order)
    shutil.rmtree(copied.path / "tiles/0000-0000")
    for number in range(TRIES):
        ledger.note_death("0000-0000", f"death {number}")
    read = Path.read_text

    def late(path: Path, *arguments: object, **keywords: object) -> str:
        ledger.forgive()
        return read(path, *arguments, **keywords)

    assert ledger.given_up() == {"0000-0000": "death 2"}
    monkeypatch.setattr(Path, "read_text", late)
    assert ledger.given_up() == {}


def test_the_spectrum_of_a_run_of_tiles_is_that_of_its_picture(copied, monkeypatch, tmp_path):
    from kanfield.comparison.spectra import measure
    from kanfield.metrics.spectra import radial_spectrum

    spectrum = measure(copied.path)
    assert spectrum.image == "a" and spectrum.curve is None
    _, expected = radial_spectrum(pixels() / 255.0)
    assert spectrum.original == pytest.approx(expected, rel=1e-6)
    _, drawn = radial_spectrum(copied.render().pixels / 255.0)
    assert spectrum.reconstruction[:10] == pytest.approx(drawn[:10], rel=0.01)


# ---- pictures ----------------------------------------------------------------------------------


def test_a_window_of_missing_and_no_data_pixels_is_none(tmp_path):
    values = pixels(channels=1).astype(np.float32)[..., 0]
    values[:30, :40] = np.nan
    values[:30, 20:60] = -9999
    tifffile.imwrite(tmp_path / "a.tif", values)
    reader = FileReader(open_windows(tmp_path / "a.tif"), Settings(nodata=-9999.0))
    assert reader(slice(0, 30), slice(0, 60)) is None
    assert reader(slice(0, 30), slice(0, 61)).missing.sum() == 1800
    hidden = np.zeros((80, 96), bool)
    hidden[:, 60:] = True
    masked = FileReader(
        open_windows(tmp_path / "a.tif"), Settings(nodata=-9999.0), lambda *window: hidden[window]
    )
    assert masked(slice(0, 30), slice(0, 96)) is None
    assert masked(slice(0, 31), slice(0, 96)).missing.sum() == 30 * 96 + 36


def test_a_disk_too_full_for_the_pixels_is_one_line_and_leaves_no_run(tmp_path, monkeypatch, capsys):
    def full(*arguments: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    write_image(tmp_path / "a.png", Image(pixels(), "RGB"))
    words = "fit", tmp_path / "a.png", "--tiles", "32", "--quiet", "--out", tmp_path / "runs"
    said = refused(capsys, *words, codes=(1,))
    assert "cannot be written (No space left on device): make room, or give another --out" in said
    assert not list(tmp_path.glob("runs/*/*"))


def test_no_data_and_missing_pixels_make_no_difference_to_the_rest(here, tmp_path):  # noqa: F811
    values = pixels(channels=1).astype(np.float32)[..., 0]
    values[:30, :40] = np.nan
    values[:30, 20:60] = -9999
    tifffile.imwrite(tmp_path / "a.tif", values)
    console = a_console()
    run = entry.fit(tmp_path / "a.tif", out=tmp_path, console=console, **SMALL, nodata=-9999.0)
    assert run.metrics["missing_pixels"] == 1800
    assert "1,800 pixels have no value and are missing." in console.file.getvalue()
    assert run.metrics["value_range"][0] >= 0


def test_notes_on_a_picture_read_by_windows_are_those_of_the_whole(here, tmp_path):  # noqa: F811
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for seed in (0, 1):
            file.write(pixels(channels=5, seed=seed), photometric="minisblack", planarconfig="contig")
    settings = {"bands": ["3", "1", "2"], "nodata": 256.0, "value_range": [20.0, 200.0]}
    console = a_console()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entry, "_train", lambda run, *rest: run)
        run = entry.fit(tmp_path / "a.tif", out=tmp_path, console=console, **SMALL, **settings)
    assert not (run.path / "pixels.npy").exists()
    said = console.file.getvalue()
    chosen = pixels(channels=5)[..., :3]
    outside = ((chosen < 20) | (chosen > 200)).any(axis=2).sum()
    assert "Bands 3, 1, 2 of 5.\n" in said
    assert "Only the first of 2 pictures in the file was read.\n" in said
    assert "No pixel has the value 256 of --nodata.\n" in said
    assert f"{outside:,} pixels have values outside of 20 to 200, which count as its ends.\n" in said


def test_bands_of_a_large_result_keep_their_names(here, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setattr("kanfield.tiles.collect._WHOLE", 1000)
    names = ("red edge", "near infrared")
    write_image(tmp_path / "a.tiff", Image(pixels(channels=2), "bands", bands=names))
    run = entry.fit(tmp_path / "a.tiff", out=tmp_path, **SMALL)
    assert read_image(run.path / "reconstruction.tiff").bands == names


def test_a_small_fraction_is_held_out_of_the_whole_picture(here, tmp_path):  # noqa: F811
    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb")
    run = entry.fit(tmp_path / "a.tif", out=tmp_path, held_out="0.0002", **SMALL)  # 2 of 7,680 pixels
    assert run.metrics["held_out_psnr"] is not None
    told = [run.folder.tile_metrics(name)["held_out_psnr"] for name in run.folder.done()]
    assert None in told and any(told)


# ---- .npy --------------------------------------------------------------------------------------


def test_npy_is_read_whole_as_by_windows(tmp_path):
    for name, array in {
        "gray": pixels(channels=1)[..., 0],
        "rgb": pixels(),
        "big": pixels().astype(">u2") * 200,
        "wide": pixels(channels=7).astype(np.float64),
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
        whole = read_image(tmp_path / f"{name}.npy")
        part = open_windows(tmp_path / f"{name}.npy").read(*WHOLE)
        assert np.array_equal(whole.pixels.squeeze(), array.astype(whole.pixels.dtype))
        assert np.array_equal(part.pixels, whole.pixels) and part.notes == whole.notes
        assert part.mode == whole.mode


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), r"holds an array of shape \(5,\) and type float64: save one of integers or"),
        (np.zeros((2, 3), complex), "and type complex128: save one of integers or floats, of shape"),
        (np.zeros((0, 3), np.uint8), r"holds an array of shape \(0, 3\) and type uint8"),
        (np.zeros((100, 100), np.uint8), "has 100 x 100 pixels, over 5,000: raise --max-pixels"),
        (np.array([[object()]]), "is truncated or damaged"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(tmp_path, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=words):
        read_image(tmp_path / "a.npy", max_pixels=5000)
