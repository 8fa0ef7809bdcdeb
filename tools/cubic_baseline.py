"""PSNR of plain cubic interpolation on the pixels that ``--held-out`` hides: what a field has to beat.

python tools/cubic_baseline.py assets/camera.png checkerboard
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy.interpolate import griddata

from kanfield.images import Image, held_out_mask, read_image
from kanfield.metrics.image_quality import psnr


def interpolate(image: Image, pattern: str) -> float:
    """PSNR in dB on the hidden pixels, interpolated from the visible ones by SciPy's ``griddata``.

    Args:
        image: the whole image.
        pattern: what ``--held-out`` takes.
    """
    hidden = held_out_mask(image.height, image.width, pattern, seed=0)
    row, column = np.divmod(np.arange(image.height * image.width), image.width)
    points, values = np.c_[row, column], image.values()
    cubic = griddata(points[~hidden], values[~hidden], points[hidden], method="cubic")
    nearest = griddata(points[~hidden], values[~hidden], points[hidden], method="nearest")
    cubic = np.where(np.isnan(cubic), nearest, cubic).clip(0, 1)  # outside the hull there is no cubic
    return psnr(float(np.mean((cubic - values[hidden]) ** 2)))


def main() -> None:
    """Read the command line, print the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("pattern")
    arguments = parser.parse_args()
    decibels = interpolate(read_image(arguments.image), arguments.pattern)
    print(f"cubic interpolation, {arguments.pattern}: {decibels:.2f} dB on the pixels held out")


if __name__ == "__main__":
    main()
