"""What presets need to know of an image."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageStats:
    """Size of an image, and of what a fit may see of it.

    Attributes:
        width: pixel columns.
        height: pixel rows.
        seen: pixels that are trained on.
        channels: alpha included.
    """

    width: int
    height: int
    seen: int
    channels: int

    @property
    def pixels(self) -> int:
        """Pixels of the whole image."""
        return self.width * self.height

    @property
    def longest(self) -> int:
        """Pixels of the longer side."""
        return max(self.width, self.height)

    @property
    def resolution(self) -> float:
        """Seen pixels along the longer side.

        >>> ImageStats(256, 256, seen=16384, channels=1).resolution
        128.0
        """
        return self.longest * math.sqrt(self.seen / self.pixels)
