"""PSNR of an image at twice the size, from its half: of a fit, and of bicubic interpolation.

python tools/upscale.py kodim03.png --seconds 12 --parameters 103000
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from typing import Any

import numpy as np
from PIL import Image as PILImage

import kanfield
from kanfield.errors import KanfieldError
from kanfield.images import Image, read_image, resize_image
from kanfield.metrics.image_quality import psnr


def measure(image: Image, **settings: Any) -> tuple[float, float, float]:
    """Fit the half of an image, and compare both enlargements with the image.

    Args:
        image: of 8 bits, with sides of an even number of pixels.
        settings: of the fit.

    Returns:
        PSNR in dB: of the fit on its own pixels; at twice its size; of bicubic interpolation there.
    """
    half = resize_image(image, max(image.width, image.height) // 2)
    with tempfile.TemporaryDirectory() as folder:
        run = kanfield.fit(half, out=folder, **settings)
        seen, drawn = run.psnr, run.render(scale=2).pixels
    bicubic = half.to_pil().resize((image.width, image.height), PILImage.Resampling.BICUBIC)
    found = [np.asarray(drawn), np.asarray(bicubic).reshape(drawn.shape)]
    errors = [np.mean((pixels / 255.0 - image.pixels / 255.0) ** 2) for pixels in found]
    return seen, psnr(float(errors[0])), psnr(float(errors[1]))


def main() -> None:
    """Read the command line, fit, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", help="gray or RGB of 8 bits, with sides of an even number of pixels")
    parser.add_argument("--size", type=int, help="resize the image's longer side to so many pixels first")
    parser.add_argument("--encoding", default="grid", choices=["grid", "directions"], help="of the fit")
    parser.add_argument("--parameters", type=int, help="of the field, at most; without it the preset's")
    parser.add_argument("--smoothness", type=float, help="the setting of that name; without it the preset's")
    parser.add_argument("--seconds", type=float, help="of the fit; without it the preset's steps")
    arguments = parser.parse_args()
    try:
        image = read_image(arguments.image)
        if arguments.size:
            image = resize_image(image, arguments.size)
        if image.bits != 8 or image.mode not in ("L", "RGB") or image.width % 2 or image.height % 2:
            parser.error(f"{arguments.image} is not gray or RGB of 8 bits with even sides: give another")
        settings = {name: value for name, value in vars(arguments).items() if name not in ("image", "size")}
        seen, field, bicubic = measure(image, **settings)
    except KanfieldError as error:
        print(f"upscale: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(f"{seen:.2f} dB on the pixels; twice the size {field:.2f} dB, bicubic {bicubic:.2f} dB")


if __name__ == "__main__":
    main()
