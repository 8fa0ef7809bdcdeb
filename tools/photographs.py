"""The photographs of the searches and comparisons, which come with scikit-image and matplotlib.

python tools/photographs.py photos [--size 256]     # the six of the README's tables, as PNG files
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import skimage.data
from matplotlib import cbook
from numpy.typing import NDArray

import kanfield
from kanfield.images import Image, resize_image, write_image

SIX = ("camera", "astronaut", "coffee", "chelsea", "rocket", "hopper")
SMALL = (*SIX, "motorcycle")
LARGE = ("retina", "hubble", "mosaic")  # the ones with a thousand pixels a side


def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph by name, ``(height, width)`` or ``(height, width, 3)``; the mosaic is made of four."""
    if name == "hopper":
        file = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
        return np.asarray(kanfield.read_image(file).pixels)
    if name == "motorcycle":
        return np.asarray(skimage.data.stereo_motorcycle()[0])
    if name == "hubble":
        return np.asarray(skimage.data.hubble_deep_field())
    if name == "mosaic":
        camera, hopper = photograph("camera"), photograph("hopper")
        top = [np.repeat(camera[..., None], 3, 2), photograph("astronaut")]
        bottom = [hopper[40:552], photograph("retina")[450:962, 450:962]]
        return np.concatenate([np.concatenate(top, 1), np.concatenate(bottom, 1)])
    return np.asarray(getattr(skimage.data, name)())


def load(name: str, size: int) -> Image:
    """A photograph with its longer side ``size`` pixels; never enlarged."""
    pixels = photograph(name)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    image = Image(pixels, {1: "L", 3: "RGB"}[pixels.shape[2]])
    return resize_image(image, size) if size < max(pixels.shape) else image


def main() -> None:
    """Read the command line, write the six."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256, help="of the longer side, in pixels")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in SIX:
        write_image(arguments.folder / f"{name}.png", load(name, arguments.size))


if __name__ == "__main__":
    main()
