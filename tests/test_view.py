"""``kanfield view``: squares of runs, the page and what serves it."""

from __future__ import annotations

import io
import json
import math
import shutil
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
import pytest
from browser import opened
from conftest import chromium
from PIL import Image as PILImage

from kanfield.cli import main
from kanfield.errors import InputError
from kanfield.tiles.entry import fit, load
from kanfield.view.scene import DEEPER, SIDE, Scene
from kanfield.view.server import Server

pytestmark = pytest.mark.usefixtures("no_edge_figures")

WIDTH, HEIGHT = 300, 40
SIREN = {"model": "siren", "options": {"widths": [8]}, "steps": 30, "batch_size": 256, "threads": 1}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("view")
    y, x, c = np.mgrid[:HEIGHT, :WIDTH, :3]
    pixels = (128 + 100 * np.sin(x / 9 + c) * np.cos(y / 5)).astype(np.uint8)
    PILImage.fromarray(pixels).save(folder / "photo.png")
    return fit(folder / "photo.png", out=folder / "runs", **SIREN).path


@pytest.fixture
def scene(path):
    return Scene(load(path))


def drawn(scene, layer, scale):
    """A whole layer, put together from its squares."""
    level = scene.deepest - DEEPER + round(math.log2(scale))
    columns = -(-math.ceil(WIDTH * scale) // SIDE)
    rows = -(-math.ceil(HEIGHT * scale) // SIDE)
    squares = [[np.asarray(scene.square(layer, level, c, r)) for c in range(columns)] for r in range(rows)]
    return np.concatenate([np.concatenate(row, axis=1) for row in squares])


@pytest.mark.parametrize("scale", [1, 2, 8])
def test_squares_of_the_field_are_the_parts_of_one_rendering(scene, scale):
    whole = np.asarray(scene.run.render(scale=scale).to_pil())
    found = drawn(scene, "field", scale)
    assert found.shape == whole.shape and np.abs(found.astype(int) - whole).max() <= 1  # rounding


def test_a_reduced_field_is_a_mean_of_what_it_covers(scene):
    whole = np.asarray(scene.run.render().to_pil(), float).reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3)
    assert np.abs(drawn(scene, "field", 1 / 4) - whole.mean((1, 3))).max() <= 1


def test_a_reduced_field_without_a_finished_picture_is_drawn(scene):
    stored = drawn(scene, "field", 1 / 4)
    scene.__dict__["_overview"] = None
    assert np.abs(drawn(scene, "field", 1 / 4).astype(int) - stored).mean() < 1


def test_the_image_has_squares_of_its_pixels(scene):
    pixels = scene.run.image.pixels
    assert np.array_equal(drawn(scene, "image", 1), pixels)
    assert np.array_equal(drawn(scene, "image", 4), pixels.repeat(4, 0).repeat(4, 1))
    whole = PILImage.fromarray(pixels).resize((WIDTH * 4, HEIGHT * 4), PILImage.Resampling.BICUBIC)
    assert np.abs(drawn(scene, "bicubic", 4).astype(int) - np.asarray(whole)).max() <= 1


def test_the_error_is_that_of_the_run_folder_and_of_whole_pixels(scene):
    with PILImage.open(scene.run.folder.error_map) as kept:
        error = np.asarray(kept.convert("RGB"))
    assert error.any()
    assert np.array_equal(drawn(scene, "error", 1), error)
    assert np.array_equal(drawn(scene, "error", 2), error.repeat(2, 0).repeat(2, 1))


def test_seen_from_afar_a_field_without_error_has_none(scene, monkeypatch):
    exact = scene.run.render()
    monkeypatch.setattr(
        scene, "_read", lambda box: exact.with_pixels(exact.pixels[box[1] : box[3], box[0] : box[2]])
    )
    for scale in (1, 1 / 2, 1 / 4):
        assert not drawn(scene, "error", scale).any()
    assert scene.psnr((0, 0, WIDTH, HEIGHT)) == math.inf


def test_sixteen_bits_seen_from_afar(tmp_path):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    PILImage.fromarray((200 * x + 300 * y).astype(np.uint16)).save(tmp_path / "deep.png")
    scene = Scene(load(fit(tmp_path / "deep.png", out=tmp_path / "runs", **SIREN).path))
    near = drawn(scene, "field", 1).astype(float).reshape(HEIGHT // 4, 4, WIDTH // 4, 4, 3).mean((1, 3))
    assert np.abs(drawn(scene, "field", 1 / 4) - near).max() <= 1.5


def test_the_gradient_has_one_scale_for_all_squares(scene):
    gradient = scene.run.derivative("gradient", scale=2)
    shown = drawn(scene, "gradient", 2)[..., 0].astype(float)
    inside = (shown > 20) & (shown < 250)
    ratio = shown[inside] / gradient[inside]
    assert inside.sum() > 1000 and ratio.std() < 0.05 * ratio.mean()


@pytest.mark.parametrize("box", [(0, 0, WIDTH, HEIGHT), (10, 5, 74, 37), (-50, -9, 20.5, 9999)])
def test_psnr_in_view(scene, box):
    left, top, right, bottom = (
        max(0, box[0]),
        max(0, box[1]),
        min(WIDTH, math.ceil(box[2])),
        min(HEIGHT, box[3]),
    )
    here = slice(top, bottom), slice(left, right)
    difference = scene.run.render().values() - scene.run.image.values()
    squared = np.square(difference.reshape(HEIGHT, WIDTH, 3)[here]).mean()
    assert scene.psnr(box) == pytest.approx(-10 * math.log10(squared), abs=0.05)


def test_psnr_of_a_large_part_is_that_of_pixels_at_equal_distances(scene, monkeypatch):
    whole = scene.psnr((0, 0, WIDTH, HEIGHT))
    monkeypatch.setattr("kanfield.view.scene._SAMPLES", 1000)
    assert scene.psnr((0, 0, WIDTH, HEIGHT)) == pytest.approx(whole, abs=0.5)
    assert scene.psnr((400, 0, 500, 10)) is None


def test_without_the_image_the_field_is_shown(path, tmp_path):
    shutil.copytree(path, tmp_path / "moved/kan-0001")
    scene = Scene(load(tmp_path / "moved/kan-0001"))
    scene.run._image = tmp_path / "gone.png"
    assert scene.layers == ["field", "gradient"] and "gone.png" in scene.missing_image
    assert scene.psnr((0, 0, 10, 10)) is None
    with pytest.raises(InputError, match="no square"):
        scene.square("image", 5, 0, 0)


@pytest.mark.parametrize(
    "square",
    [("field", 99, 0, 0), ("field", 5000, 0, 0), ("field", -1, 0, 0), ("field", 9, 0, 7), ("x", 9, 0, 0)],
)
def test_there_is_no_such_square(scene, square):
    with pytest.raises(InputError, match="no square"):
        scene.square(*square)


@pytest.mark.slow
def test_a_tiled_run_is_seen_as_its_field_draws_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 1), dtype=np.uint8)
    PILImage.fromarray(pixels[..., 0]).save(tmp_path / "a.png")
    run = fit(tmp_path / "a.png", out=tmp_path / "runs", tiles=16, **{**SIREN, "steps": 3})
    scene = Scene(load(run.path))
    level = scene.deepest - DEEPER
    assert np.array_equal(np.asarray(scene.square("image", level, 0, 0))[..., :1], pixels)
    field = np.asarray(scene.square("field", level + 1, 0, 0))[..., 0]
    assert np.abs(field.astype(int) - np.asarray(run.render(scale=2).to_pil())).max() <= 1
    assert scene.psnr((0, 0, 40, 24)) == pytest.approx(run.metrics["psnr_8bit"], abs=0.02)


# ---- the server ----------------------------------------------------------------------------------


@contextmanager
def served(scenes):
    with Server(scenes) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server, path, host=None):
    request = urllib.request.Request(server.address + path, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=100) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_page_and_all_that_it_asks_for(scene):
    with served([scene, scene]) as server:
        assert server.server_address[0] == "127.0.0.1"
        status, page = ask(server, "")
        assert status == 200 and b"view.js" in page and b"http" not in page  # no network
        for name in ("view.css", "view.js", "openseadragon.min.js"):
            assert ask(server, name)[0] == 200
        known = json.loads(ask(server, "runs.json")[1])
        assert [run["width"] for run in known["runs"]] == [WIDTH, WIDTH]
        square = PILImage.open(io.BytesIO(ask(server, f"squares/1/field/{scene.deepest}/3/2")[1]))
        assert square.size == (SIDE, SIDE)
        psnr = json.loads(ask(server, f"psnr/0?box=0,0,{WIDTH},{HEIGHT}")[1])["psnr"]
        assert psnr == pytest.approx(scene.run.metrics["psnr_8bit"], abs=0.02)


@pytest.mark.parametrize(
    "asked",
    [
        *("nothing", "squares/2/field/9/0/0", "squares/0/field/9/0", "squares/0/field/x/0/0"),
        "squares/-3/field/9/0/0",
        *("psnr/0", "psnr/0?box=1,2", "psnr/0?box=nan,0,1,1", "../../etc/passwd", "static/view.js"),
    ],
)
def test_what_there_is_not(scene, asked):
    with served([scene, scene]) as server:
        assert ask(server, asked)[0] == 404


def test_a_page_of_another_site_is_refused(scene):
    with served([scene]) as server:
        assert ask(server, "runs.json", host="example.org")[0] == 403


def test_a_taken_port_is_refused_in_one_line(scene, path, capsys):
    with served([scene]) as server, pytest.raises(SystemExit) as ended:
        main(["view", str(path), "--port", str(server.server_address[1])])
    assert ended.value.code == 2 and "--port" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["nothing"], ["RUN", "--port", "99999"], ["RUN", "--port", "-1"]])
def test_mistakes(words, path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["view", *(str(path) if word == "RUN" else word for word in words)])
    assert ended.value.code == 2 and len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.needs("Chromium")
def test_a_browser_draws_two_runs(scene, tmp_path):
    with served([scene, scene]) as server, opened(chromium(), server.address, tmp_path) as page:
        notes = "[...document.querySelectorAll('.pane .quiet')].map((note) => note.textContent)"
        page.wait(f"{notes}.filter((text) => text.endsWith(' dB')).length === 2")
        assert page.evaluate("document.querySelectorAll('.pane').length") == 3
