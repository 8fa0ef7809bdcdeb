"""PNG and JPEG pictures that are larger than memory, which is taken to be small here."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from conftest import refused
from test_tiles import SMALL, here, pixels  # noqa: F401  a fixture

from kanfield.images import Image, read_image, write_image
from kanfield.tiles import entry, streamed
from kanfield.training.signals import Signals


@pytest.fixture(autouse=True)
def little(monkeypatch):
    monkeypatch.setattr(streamed, "memory_limit", lambda: 20_000)


def test_without_libvips_it_is_refused_in_words(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(streamed.importlib.util, "find_spec", lambda name: None)
    write_image(tmp_path / "a.png", Image(pixels(), "RGB"))
    words = "fit", tmp_path / "a.png", "--tiles", "32", "--out", tmp_path / "runs"
    said = refused(capsys, *words)
    assert "a.png does not fit in memory: pip install 'kanfield[vips]', which decodes it piece by" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.needs("libvips")
@pytest.mark.parametrize("kind", ["png", "jpg", "deep", "gray"])
def test_with_libvips_it_is_read_as_ever(here, tmp_path, kind):  # noqa: F811
    file = tmp_path / ("a.jpg" if kind == "jpg" else "a.png")
    picture = Image(pixels(), "RGB") if kind != "gray" else Image(pixels(channels=1), "L")
    picture = Image(pixels().astype(np.uint16) * 257, "RGB") if kind == "deep" else picture
    write_image(file, picture)
    run = entry.fit(file, out=tmp_path / "runs", **SMALL)
    assert (run.path / "decoded.tiff").is_file() and not (run.path / "pixels.npy").exists()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["a"]
    difference = run.image.pixels.astype(int) - read_image(file).pixels
    assert abs(difference).max() <= (1 if kind == "jpg" else 0)
    file.unlink()
    assert entry.evaluate_run(run.path)["psnr"] == run.metrics["psnr"]
    assert run.image_file == file


@pytest.mark.needs("libvips")
def test_a_broken_file_leaves_nothing_behind(tmp_path, capsys):
    write_image(tmp_path / "a.png", Image(pixels(), "RGB"))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    words = "fit", tmp_path / "a.png", "--tiles", "32", "--quiet", "--out", tmp_path / "runs"
    said = refused(capsys, *words)
    assert "a.png cannot be decoded piece by piece (" in said and "save it again" in said
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_behind(tmp_path, capsys, monkeypatch, number):
    def ended(path, file, out):
        file.write_bytes(b"half of it")
        os.kill(os.getpid(), number)

    monkeypatch.setattr(streamed.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(streamed, "_decode", ended)
    write_image(tmp_path / "a.png", Image(pixels(), "RGB"))
    words = "fit", tmp_path / "a.png", "--tiles", "32", "--quiet", "--out", tmp_path / "runs"
    assert refused(capsys, *words, codes=(128 + number,)) == "kanfield: interrupted\n"
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.needs("libvips")
def test_a_signal_ends_libvips(tmp_path, capsys, monkeypatch):
    class Received(Signals):
        def __enter__(self):
            self.received = signal.SIGTERM
            return self

    monkeypatch.setattr(streamed, "Signals", Received)
    write_image(tmp_path / "a.png", Image(pixels(), "RGB"))
    words = "fit", tmp_path / "a.png", "--tiles", "32", "--quiet", "--out", tmp_path / "runs"
    assert refused(capsys, *words, codes=(143,)) == "kanfield: interrupted\n"
    assert not list((tmp_path / "runs").iterdir())
