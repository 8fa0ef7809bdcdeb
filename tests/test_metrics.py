"""Qualities against their definitions and against scikit-image."""

from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from kanfield import metrics
from kanfield.metrics import image_quality


def _pair(height: int, width: int, channels: int, spread: float = 20) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture and a noisy copy of it."""
    rng = np.random.default_rng(0)
    rows, columns, layers = np.mgrid[:height, :width, :channels]
    clean = 128 + 90 * np.sin(rows / 5 + layers) * np.cos(columns / 7)
    noisy = clean + rng.normal(0, spread, clean.shape)
    return tuple(np.clip(a, 0, 255).round().astype(np.uint8) for a in (clean, noisy))  # type: ignore[return-value]


def test_psnr_is_minus_ten_log_of_the_error():
    assert metrics.psnr(0.25) == pytest.approx(6.0206, abs=1e-4)
    assert metrics.psnr(1e-4) == pytest.approx(40.0)


def test_psnr_counts_against_the_peak():
    assert metrics.psnr(255.0**2 / 100, peak=255.0) == pytest.approx(20.0)


@pytest.mark.parametrize("error", [0.0, 1e-16, 1e-300])
def test_psnr_is_capped_and_finite(error):
    assert metrics.psnr(error) == 150.0


def test_psnr_of_nan_is_nan():
    assert math.isnan(metrics.psnr(math.nan))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_psnr_8bit_is_scikit_images(channels):
    a, b = _pair(20, 31, channels)
    assert metrics.psnr_8bit(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-9)


def test_psnr_8bit_sees_a_difference_of_either_sign():
    # Unsigned subtraction would wrap around.
    a, b = np.full((2, 2, 1), 10, np.uint8), np.full((2, 2, 1), 12, np.uint8)
    assert metrics.psnr_8bit(a, b) == metrics.psnr_8bit(b, a) == pytest.approx(10 * math.log10(255**2 / 4))


def test_psnr_8bit_of_equal_images_is_none():
    a, _ = _pair(8, 8, 3)
    assert metrics.psnr_8bit(a, a.copy()) is None


def _textured_pair(height: int, width: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """White noise, and a copy that is worse toward the border: a wrong rule there changes the mean."""
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (height, width, channels))
    rows, columns = np.mgrid[:height, :width]
    border = np.minimum.reduce([rows, columns, height - 1 - rows, width - 1 - columns]) < 5
    noisy = clean + rng.normal(0, np.where(border, 150, 20)[..., None], clean.shape)
    return tuple(np.clip(a, 0, 255).round().astype(np.uint8) for a in (clean, noisy))  # type: ignore[return-value]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("band", [1 << 17, 37 * 9, 1], ids=["one band", "bands of 9 rows", "rows"])
def test_ssim_is_scikit_images(monkeypatch, channels, band):
    monkeypatch.setattr(image_quality, "_SSIM_BAND", band)
    a, b = _textured_pair(48, 37, channels)
    expected = structural_similarity(
        a / 255,
        b / 255,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
    )
    assert metrics.ssim(a, b) == pytest.approx(expected, abs=2e-6)


def test_ssim_of_equal_images_is_one():
    a, _ = _pair(16, 16, 4)
    assert metrics.ssim(a, a.copy()) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(("height", "width"), [(10, 40), (40, 10), (1, 1)])
def test_ssim_is_none_where_its_window_does_not_fit(height, width):
    a, b = _pair(height, width, 3)
    assert metrics.ssim(a, b) is None


def test_ssim_needs_just_the_window():
    a, b = _pair(11, 11, 1)
    assert metrics.ssim(a, b) is not None
