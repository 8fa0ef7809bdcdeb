"""Images in and out of kanfield: files, pixel values, sample coordinates, held-out and missing pixels.

Pixels are always listed in row-major order.
"""

from kanfield.images.checks import BANDS, MODES
from kanfield.images.coordinates import coordinates
from kanfield.images.held_out import held_out_mask, missing_pixels
from kanfield.images.image import Image
from kanfield.images.read import read_image
from kanfield.images.resize import MAX_PIXELS, resize_image
from kanfield.images.write import write_image

__all__ = [
    "BANDS",
    "MAX_PIXELS",
    "MODES",
    "Image",
    "coordinates",
    "held_out_mask",
    "missing_pixels",
    "read_image",
    "resize_image",
    "write_image",
]
