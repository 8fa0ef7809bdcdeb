"""What a picture of a field looks like, kept in the checkpoint: drawing a run needs no original image."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from kanfield.images import Image


def frame_to_plain(image: Image) -> dict[str, Any]:
    """Size, mode, pixel type, value range and colour profile as plain JSON values.

    >>> frame_to_plain(Image(np.zeros((2, 3, 1), np.uint8), "L"))["width"]
    3
    """
    profile = None if image.icc_profile is None else base64.b64encode(image.icc_profile).decode()
    return {
        "height": image.height,
        "width": image.width,
        "mode": image.mode,
        "dtype": image.pixels.dtype.name,
        "value_range": list(image.value_range),
        "icc_profile": profile,
    }


def frame_from_plain(frame: dict[str, Any]) -> Image:
    """A blank image of that frame, which takes no memory however large.

    >>> frame_from_plain(frame_to_plain(Image(np.ones((2, 3, 1), np.uint8), "L"))).pixels.shape
    (2, 3, 1)
    """
    blank = np.zeros((1, 1, len(frame["mode"])), dtype=frame["dtype"])
    low, high = frame["value_range"]
    profile = frame["icc_profile"]
    return Image(
        np.broadcast_to(blank, (frame["height"], frame["width"], len(frame["mode"]))),
        frame["mode"],
        icc_profile=None if profile is None else base64.b64decode(profile),
        value_range=(low, high),
    )
