"""The image that studies fit by default: smooth shades, fine texture and edges, as photographs have."""

from __future__ import annotations

import numpy as np

from kanfield.images import Image


def generated_image(side: int, seed: int = 0) -> Image:
    """A gray 8-bit image: noise whose amplitude falls as 1/f (Field, 1987), a disc and a bar.

    Args:
        side: height and width in pixels.
        seed: of the noise.

    >>> generated_image(32).pixels.shape
    (32, 32, 1)
    """
    rng = np.random.default_rng(seed)
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    radius[0, 0] = 1
    spectrum = np.fft.rfft2(rng.standard_normal((side, side))) / radius
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (side, side))
    y, x = np.mgrid[:side, :side] / side
    disc = np.hypot(x - 0.35, y - 0.4) < 0.18
    bar = np.abs((x - 0.7) + 0.4 * (y - 0.5)) < 0.06
    values = 128 + 38 * noise / noise.std() + 60 * disc - 60 * bar
    return Image(values.clip(0, 255).round().astype(np.uint8)[..., None], "L")
