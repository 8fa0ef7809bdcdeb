"""PSNR of an image at twice the size, from its half: of a fit on grids, and of bicubic interpolation.

python tools/upscale.py kodim03.png --smoothness 1.5e-3
"""

from __future__ import annotations

import argparse
import sys
import tempfile

import numpy as np
from PIL import Image as PILImage

import kanfield
from kanfield.errors import KanfieldError
from kanfield.images import Image, read_image, resize_image
from kanfield.metrics.image_quality import psnr


def measure(image: Image, smoothness: float, seconds: float) -> tuple[float, float, float]:
    """Fit the half of an image, and compare both enlargements with the image.

    Args:
        image: of 8 bits, with sides of an even number of pixels.
        smoothness: the setting of that name.
        seconds: of the fit.

    Returns:
        PSNR in dB: of the fit on its own pixels; at twice its size; of bicubic interpolation there.
    """
    half = resize_image(image, max(image.width, image.height) // 2)
    with tempfile.TemporaryDirectory() as folder:
        run = kanfield.fit(half, out=folder, encoding="grid", smoothness=smoothness, seconds=seconds)
        seen, drawn = run.psnr, run.render(scale=2).pixels
    bicubic = half.to_pil().resize((image.width, image.height), PILImage.Resampling.BICUBIC)
    found = [np.asarray(drawn), np.asarray(bicubic).reshape(drawn.shape)]
    errors = [np.mean((pixels / 255.0 - image.pixels / 255.0) ** 2) for pixels in found]
    return seen, psnr(float(errors[0])), psnr(float(errors[1]))


def main() -> None:
    """Read the command line, fit, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", help="gray or RGB of 8 bits, with sides of an even number of pixels")
    parser.add_argument("--smoothness", type=float, default=0.0, help="the setting of that name")
    parser.add_argument("--seconds", type=float, default=12.0, help="of the fit")
    arguments = parser.parse_args()
    try:
        image = read_image(arguments.image)
        if image.bits != 8 or image.mode not in ("L", "RGB") or image.width % 2 or image.height % 2:
            parser.error(f"{arguments.image} is not gray or RGB of 8 bits with even sides: give another")
        seen, field, bicubic = measure(image, arguments.smoothness, arguments.seconds)
    except KanfieldError as error:
        print(f"upscale: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(f"{seen:.2f} dB on the pixels; twice the size {field:.2f} dB, bicubic {bicubic:.2f} dB")


if __name__ == "__main__":
    main()
