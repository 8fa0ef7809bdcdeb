"""Write the test images in assets/ from scikit-image's bundled data: no network needed.

Run it from the root of the repository:  python tools/make_assets.py
It needs scikit-image (pip install scikit-image) beside kanfield's own packages.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

ASSETS = Path(__file__).resolve().parent.parent / "assets"


def zone_plate(side: int) -> Image.Image:
    """Draw a gray chirp of r^2 whose local frequency reaches half a cycle per pixel at the border.

    The phase pi * r^2 / side has the local frequency r / side cycles per pixel, which is the
    Nyquist limit of 0.5 at r = side / 2, the middle of each edge. Beyond that circle the
    pattern would alias, so it fades to mid-gray over the last pixels inside the limit.
    """
    axis = np.arange(side) - (side - 1) / 2
    radius = np.hypot(axis[:, None], axis[None, :])
    fade = np.clip((side / 2 - radius) / 8, 0, 1)
    wave = 0.5 + 0.5 * fade * np.cos(np.pi * radius**2 / side)
    return Image.fromarray(np.floor(wave * 255 + 0.5).astype(np.uint8))


def halved(pixels: np.ndarray) -> Image.Image:
    """Halve a picture by Lanczos resampling, as ``kanfield fit --size`` does it."""
    picture = Image.fromarray(pixels)
    size = (picture.width // 2, picture.height // 2)
    return picture.resize(size, Image.Resampling.LANCZOS)


def main() -> None:
    """Write every asset and print its size."""
    pictures = {
        "camera.png": halved(data.camera()),
        "astronaut.png": halved(data.astronaut()),
        "coffee.png": halved(data.coffee()),
        "zoneplate.png": zone_plate(256),
    }
    ASSETS.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        picture.save(ASSETS / name, optimize=True)
        size = (ASSETS / name).stat().st_size
        print(f"{name}: {picture.width} x {picture.height} {picture.mode}, {size:,} bytes")


if __name__ == "__main__":
    main()
