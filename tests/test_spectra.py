"""Spectra: energy is kept, waves land in their bands, and the bias is the slope that was put in."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from kanfield.comparison.spectra import _table
from kanfield.metrics.spectra import Bands, Bias, bias, frequencies, learned_at, power, radial_spectrum

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(16, 16, 1), (12, 20, 3), (1, 40, 1), (40, 3, 2)])
def test_energy_agrees_with_sums_written_out(shape):
    values = RNG.random(shape)
    height, width, channels = shape

    def hann(n, size):
        return math.sin(math.pi * (n + 0.5) / size) ** 2 if size >= 8 else 1.0

    window = np.array([[hann(r, height) * hann(c, width) for c in range(width)] for r in range(height)])
    found, total = power(values), 0.0
    for v, u in [(0, 0), (0, 1), (height // 2, width // 3), (height - 1, width - 1)]:
        wanted = 0.0
        for channel in range(channels):
            mean = (window * values[..., channel]).sum() / window.sum()
            amplitude = sum(
                window[r, c]
                * (values[r, c, channel] - mean)
                * np.exp(-2j * math.pi * (v * r / height + u * c / width))
                for r in range(height)
                for c in range(width)
            )
            wanted += abs(amplitude) ** 2
        expected = wanted / (height * width * (window**2).sum())
        assert found[v, u] == pytest.approx(expected, rel=1e-9, abs=1e-12)
    for channel in range(channels):  # Parseval
        mean = (window * values[..., channel]).sum() / window.sum()
        total += ((window * (values[..., channel] - mean)) ** 2).sum() / (window**2).sum()
    assert found.sum() == pytest.approx(total)


@pytest.mark.parametrize(("cycles", "band"), [(24, "1/4-1/2"), (12, "1/8-1/4"), (6, "1/16-1/8")])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_wave_lies_in_its_band(cycles, band, axis):
    wave = 0.3 * np.sin(2 * math.pi * cycles * (np.arange(64) + 0.5) / 64)
    values = (wave[:, None] if axis == 0 else wave[None]) * np.ones((64, 64))
    bands = Bands(64, 64)
    shares = dict(zip(bands.names, bands.energies(values[..., None]), strict=True))
    assert shares[band] == pytest.approx(0.3**2 / 2, rel=1e-3)
    assert sum(shares.values()) == pytest.approx(shares[band], rel=1e-3)


def test_white_noise_has_energy_in_proportion_to_area():
    bands = Bands(128, 128)
    energies = np.mean([bands.energies(RNG.standard_normal((128, 128, 1))) for _ in range(20)], 0)
    areas = [math.pi * (b**2 - a**2) for a, b in zip(bands.edges[:-1], bands.edges[1:], strict=True)]
    assert energies == pytest.approx(areas, rel=0.2)


def test_bands_of_other_shapes():
    assert Bands(256, 256).edges[0] == 2 / 256
    assert Bands(256, 90).edges[0] == 1 / 32 and len(Bands(256, 90).names) == 4
    assert Bands(1, 64).edges == Bands(64, 64).edges
    assert Bands(8, 8).names == ["1/4-1/2"]
    with pytest.raises(ValueError, match="8 pixels"):
        _ = Bands(7, 5).edges


def test_the_nyquist_frequency_counts_and_the_corners_do_not():
    radius = frequencies(64, 64)
    assert radius.max() > 0.7
    checker = np.indices((64, 64)).sum(0) % 2 * 1.0  # its one frequency is a corner
    stripes = np.arange(64)[None] % 2 * np.ones((64, 1))  # and its one lies on the border
    bands = Bands(64, 64)
    assert bands.energies(checker[..., None])[-1] < 0.05 < bands.energies(stripes[..., None])[-1]


def test_the_radial_spectrum_holds_the_same_energy():
    values = RNG.standard_normal((32, 32, 1))
    rings, energies = radial_spectrum(values)
    assert (np.diff(rings) > 0).all() and rings[0] == 1 / 32 and rings[-1] == 0.5
    ring = np.rint(frequencies(32, 32) * 32)
    assert energies[4] == pytest.approx(power(values)[ring == 5].mean())


def test_learned_at():
    assert learned_at([1, 2, 4], [0.05, 0.01, 0.01]) == 1
    assert learned_at([1, 2, 4], [1, 0.9, 0.5]) is None
    assert learned_at([0, 2, 4], [1, 0.1, 0.2]) == 2
    assert 2 < learned_at([1, 2, 4], [1, 0.2, 0.0]) < 4


@pytest.mark.parametrize("slope", [-0.5, 0.0, 1.7])
def test_the_bias_is_the_slope_that_was_put_in(slope):
    centres = [1.5 * low for low in Bands(256, 256).edges[:-1]]
    found = bias(centres, [300 * f**slope for f in centres])
    assert found.slope == pytest.approx(slope, abs=1e-6) and found.error == pytest.approx(0, abs=1e-6)
    steps = [
        300 * f**slope * math.exp(e) for f, e in zip(centres, (0.1, -0.2, 0.1, 0.2, -0.1, 0), strict=True)
    ]
    noisy = bias(centres, steps)
    assert abs(noisy.slope - slope) < 3 * noisy.error < 1
    few = bias(centres, [10, 20, *[None] * (len(centres) - 2)])
    assert (few.slope, few.learned, few.bands) == (None, 2, 6)


def test_a_mean_without_one_of_its_images_is_unknown():
    def run(label, image, slope):
        return SimpleNamespace(label=label, image=image, bias=Bias(slope, 0.1, 4, 6))

    runs = [run("kan", "a", 1.0), run("kan", "b", 3.0), run("siren", "a", 1.0), run("siren", "b", None)]
    heading, kan, siren = _table(runs).cells
    assert heading == ["model", "a", "b", "mean", "bands learned"]
    assert kan[3] == "2.00 ± 1.41" and siren[1:4] == ["1.00 ± 0.10", "–", "unknown"]


@pytest.mark.parametrize("shape", [(64, 64), (8, 2048), (1, 40_000), (7, 1 << 20)])
def test_the_names_of_bands_are_exact(shape):
    bands = Bands(*shape)
    pairs = zip(bands.edges[:-1], bands.edges[1:], strict=True)
    assert [Bands.parse_name(name) for name in bands.names] == list(pairs)


@pytest.mark.parametrize("name", ["", "0.25-0.5", "1/4", "1/4-1/0", "6.1e-05-0.0001", "1/4-1/2-1/1"])
def test_what_is_not_a_band(name):
    with pytest.raises(ValueError, match="1/4-1/2"):
        Bands.parse_name(name)
