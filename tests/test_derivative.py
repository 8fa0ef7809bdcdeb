"""``render --gradient`` and ``--laplacian``: derivatives that finite differences confirm."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from kanfield import KAN
from kanfield.cli import main
from kanfield.images import Image, coordinates, read_image
from kanfield.runs.rendering import derivative, view
from kanfield.training import derivative as module
from kanfield.training.fit import fit

HEIGHT, WIDTH = 6, 9


@pytest.fixture(params=["L", "RGB", "RGBA"])
def like(request):
    channels = {"L": 1, "RGB": 3, "RGBA": 4}[request.param]
    return Image(np.zeros((HEIGHT, WIDTH, channels), np.uint8), request.param)


def _field(channels: int) -> KAN:
    torch.manual_seed(0)
    return KAN([2, 6, channels], [7, 5], order=3, noise=1.0).double()


def _differences(field: KAN, like: Image, kind: str, shape, window, step: float = 1e-3) -> np.ndarray:
    """The same by finite differences, with steps in pixels."""
    x = coordinates(HEIGHT, WIDTH, window=window, shape=shape).double()
    pixel = 2 / max(HEIGHT, WIDTH)

    def values(dx: float, dy: float) -> torch.Tensor:
        moved = x + torch.tensor([dx, dy], dtype=torch.float64) * pixel * step
        y = field(moved).detach()
        return (y[:, :3] if like.mode == "RGBA" else y) / 2

    if kind == "gradient":
        d = [(values(*s) - values(-s[0], -s[1])) / (2 * step) for s in ((1, 0), (0, 1))]
        return (d[0] ** 2 + d[1] ** 2).mean(1).sqrt().reshape(shape).numpy()
    second = [(values(*s) + values(-s[0], -s[1]) - 2 * values(0, 0)) / step**2 for s in ((1, 0), (0, 1))]
    return (second[0] + second[1]).mean(1).reshape(shape).numpy()


@pytest.mark.parametrize("kind", ["gradient", "laplacian"])
@pytest.mark.parametrize(("shape", "window"), [((6, 9), (0, 0, 9, 6)), ((5, 8), (1.5, 2, 4, 5))])
def test_derivatives_are_those_of_finite_differences(like, kind, shape, window):
    field = _field(like.channels)
    got = derivative(field, like, shape, window, kind)
    assert got.shape == shape and got.dtype == np.float32
    expected = _differences(field, like, kind, shape, window)
    assert np.allclose(got, expected, atol=1e-3 * np.abs(expected).max())


def test_pieces_make_the_whole(like, monkeypatch):
    field, window = _field(like.channels), (0, 0, WIDTH, HEIGHT)
    whole = derivative(field, like, (12, 18), window, "laplacian")
    monkeypatch.setattr(module, "CHUNK", 20)
    assert np.allclose(derivative(field, like, (12, 18), window, "laplacian"), whole, atol=1e-6)


def test_zero_is_black_in_a_gradient_and_gray_in_a_laplacian():
    values = np.array([[0.0, -2.0, 2.0]], np.float32)
    assert view(np.abs(values), "gradient")[0].pixels.ravel().tolist() == [0, 255, 255]
    assert view(values, "laplacian")[0].pixels.ravel().tolist() == [128, 0, 255]
    flat, white = view(np.zeros((2, 2), np.float32), "gradient")
    assert flat.pixels.max() == 0 and white == 1.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kanfield.monitors.tensorboard.edge_figure", lambda field: None)
        y, x = np.mgrid[:12, :16]
        image = Image((128 + 100 * np.sin(x / 3) * np.cos(y / 4)).astype(np.uint8)[..., None], "L")
        return fit(image, out=tmp_path_factory.mktemp("run"), widths=[8], grids=[8, 4], steps=40, threads=1)


@pytest.mark.parametrize("kind", ["gradient", "laplacian"])
def test_pictures_of_derivatives_are_written(run, tmp_path, capsys, kind):
    main(["render", str(run.path), f"--{kind}", "--scale", "2", "--out", str(tmp_path / "d.png")])
    assert "white is" in capsys.readouterr().err
    with PILImage.open(tmp_path / "d.png") as picture:
        assert (picture.size, picture.mode) == ((32, 24), "L")
    main(["render", str(run.path), f"--{kind}", "--scale", "2", "--out", str(tmp_path / "d.tiff")])
    values = read_image(tmp_path / "d.tiff").pixels[..., 0]
    assert np.allclose(values, run.derivative(kind, scale=2), atol=1e-5)
