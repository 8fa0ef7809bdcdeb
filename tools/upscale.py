"""PSNR of an image at twice the size, from its half: of a fit on grids, and of bicubic interpolation.

python tools/upscale.py kodim03.png --smoothness 1.5e-3
"""

from __future__ import annotations

import argparse
import tempfile

import numpy as np
from PIL import Image as PILImage

import kanfield
from kanfield.metrics.image_quality import psnr


def main() -> None:
    """Read the command line, fit, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", help="with sides of an even number of pixels")
    parser.add_argument("--smoothness", type=float, default=0.0, help="the setting of that name")
    parser.add_argument("--seconds", type=float, default=12.0, help="of the fit")
    arguments = parser.parse_args()
    whole = PILImage.open(arguments.image).convert("RGB")
    half = whole.resize((whole.width // 2, whole.height // 2), PILImage.Resampling.BOX)
    with tempfile.TemporaryDirectory() as folder:
        half.save(f"{folder}/half.png")
        run = kanfield.fit(
            f"{folder}/half.png",
            out=folder,
            encoding="grid",
            smoothness=arguments.smoothness,
            seconds=arguments.seconds,
        )
        drawn = run.render(scale=2).to_pil()
    print(f"on the pixels {run.psnr:.2f} dB")
    for name, picture in (
        ("field", drawn),
        ("bicubic", half.resize(whole.size, PILImage.Resampling.BICUBIC)),
    ):
        error = np.asarray(picture, dtype=np.float64) - np.asarray(whole, dtype=np.float64)
        print(f"at twice the size, {name}: {psnr(float(np.mean((error / 255) ** 2))):.2f} dB")


if __name__ == "__main__":
    main()
