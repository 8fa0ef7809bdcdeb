"""Whether a machine can hold a fit, before it begins."""

from __future__ import annotations

import itertools
import os

import torch

from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.images import Image
from kanfield.runs.rendering import CHUNK
from kanfield.runs.run import make_field


def check_buildable(settings: Settings, image: Image, device: torch.device) -> None:
    """Find what cannot work before a run folder is made.

    Raises:
        InputError: the field cannot be built, or the machine cannot hold what training it takes.
    """
    need, room = _least_memory(settings, image), _memory()
    if device.type == "cpu" and room is not None and need > room:
        raise InputError(
            f"the fit needs {need / 1e9:,.0f} GB of memory or more and the machine has {room / 1e9:,.0f}: "
            "give smaller --widths, --grids or --batch-size"
        )
    try:
        make_field(settings, image.channels)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise InputError("the field does not fit into memory: give smaller --widths or --grids") from None


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out."""
    # torch's CPU allocator raises a plain RuntimeError.
    words = ("allocate", "out of memory", "overflow")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _least_memory(settings: Settings, image: Image) -> int:
    """Bytes that a fit surely takes: weights, gradients and moments, or what one chunk makes of a layer."""
    assert settings.batch_size is not None
    options = settings.options or {}
    widths = [options.get("num_directions") or 2, *options.get("widths", []), image.channels]
    grids = options.get("grids", 0)
    grids = [grids] * (len(widths) - 1) if isinstance(grids, int) else grids
    finest = [grid if isinstance(grid, int) else max(grid, default=0) for grid in grids]
    samples = min(max(CHUNK, settings.batch_size), image.height * image.width)
    values = samples * max(i + o for i, o in itertools.pairwise(widths))
    # What does not fit together is refused when it is built.
    edges = zip(itertools.pairwise(widths), finest, strict=False)
    weights = sum(i * o * (grid + options.get("order", 0) + 1) for (i, o), grid in edges)
    return int(4 * max(3 * weights, values))


def _memory() -> int | None:
    """Bytes of the machine's memory; a system that promises more kills a fit without a word."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):  # Windows
        return None
