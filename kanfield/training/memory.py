"""Memory: whether a fit can be held, whether it ran out, and how much it took."""

from __future__ import annotations

import itertools
import math
import os
import sys

import torch

from kanfield.config.settings import Settings
from kanfield.container import memory_limits
from kanfield.errors import InputError
from kanfield.fields.field import Field, count_parameters, eval_mode
from kanfield.fields.registry import is_built_in
from kanfield.images import Image
from kanfield.runs.checkpoint import FOCUS
from kanfield.runs.rendering import CHUNK
from kanfield.runs.run import make_field

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_ROWS = 5  # coordinates at which a field of another package is tried
# What torch says where it raises a plain RuntimeError instead of OutOfMemoryError.
_TEXTS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",  # Windows
    "Storage size calculation overflowed",  # over 2^63 bytes
    "CUDA error: out of memory",  # outside torch's own allocator
    "MPS backend out of memory",
)


def check_buildable(settings: Settings, image: Image, device: torch.device) -> None:
    """Refuse a fit that cannot be held, before a run folder is made.

    Args:
        settings: Resolved settings.
        image: What is fitted.
        device: Where the field is trained.

    Raises:
        InputError: The field cannot be built or is none of such an image, has more parameters than it may, or
            the machine has less memory than training takes.
    """
    need, room = _least_memory(settings, image), memory_limit()
    if device.type == "cpu" and room is not None and need > room:
        raise InputError(
            f"the fit needs {need / 1e9:,.0f} GB of memory or more and the machine has {room / 1e9:,.0f}: "
            "give smaller --widths, --grids or --batch-size"
        )
    try:
        field = make_field(settings, image.channels)
        count = count_parameters(field)
        if not is_built_in(settings.model):
            _check_plug_in(field.to(device), settings.model, image.channels)
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise InputError("the field does not fit into memory: give smaller --widths or --grids") from None
        if is_built_in(settings.model):
            raise
        raise InputError(f"--model {settings.model}: {_reason(error)}") from None
    if settings.parameters is not None and count > settings.parameters:
        raise InputError(
            f"--parameters {settings.parameters}: the smallest such field has {count:,}; give more, or "
            "leave out other options of the field"
        )


def _check_plug_in(field: Field, name: str, channels: int) -> None:
    """Try a field that another package brings.

    Raises:
        InputError: It has nothing to train, fails, or gives values of another shape than the image has.
    """
    if not any(p.requires_grad for p in field.parameters()):
        raise InputError(f"--model {name} has no parameters to train: register them as torch.nn.Parameter")
    taken = [key for key in field.state_dict() if key == FOCUS or key.startswith("optimizer.")]
    if taken:
        raise InputError(f"--model {name}: checkpoints use the name {taken[0]} themselves: rename that part")
    x = torch.zeros(_ROWS, 2).to(next(field.parameters()))
    try:
        with eval_mode(field), torch.no_grad():
            y = field(x)
    except Exception as error:  # a stranger's module can raise anything
        if isinstance(error, (MemoryError, RuntimeError)) and is_out_of_memory(error):
            raise
        raise InputError(
            f"--model {name}: its forward fails at coordinates of shape ({_ROWS}, 2): {_reason(error)}"
        ) from None
    given = tuple(y.shape) if isinstance(y, torch.Tensor) else type(y).__name__
    if given != (_ROWS, channels):
        raise InputError(
            f"--model {name}: its forward gives {given} at coordinates of shape ({_ROWS}, 2), where "
            f"({_ROWS}, {channels}) belongs: give out_features numbers for each of them"
        )


def _reason(error: Exception) -> str:
    """The first line of an error with its kind."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory that this process has held, on the GPU where the field is on one; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_limit() -> int | None:
    """Bytes that this process may use: the machine's memory, or less in a container; None if unknown.

    A system that promises more kills a fit without a word.
    """
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError):  # Windows
        return None
    return min([physical, *memory_limits()])


def _least_memory(settings: Settings, image: Image) -> int:
    """Bytes that a fit takes at least: weights, gradients and moments, or one chunk's values of a layer."""
    assert settings.batch_size is not None
    options = settings.options or {}
    levels, features = options.get("resolutions") or [], options.get("features", 1)
    inputs = options.get("num_directions") or len(levels) * features or 2
    widths = [inputs, *options.get("widths", []), image.channels]
    grids = options.get("grids", 0)
    grids = [grids] * (len(widths) - 1) if isinstance(grids, int) else grids
    finest = [grid if isinstance(grid, int) else max(grid, default=0) for grid in grids]
    samples = min(max(CHUNK, settings.batch_size), image.height * image.width)
    values = samples * max(i + o for i, o in itertools.pairwise(widths))
    # What does not fit together is refused when it is built.
    edges = zip(itertools.pairwise(widths), finest, strict=False)
    weights = sum(i * o * (grid + options.get("order", 0) + 1) for (i, o), grid in edges)
    entries = options.get("entries", 0)
    weights += features * sum(min(math.prod(cells), entries) for cells in levels)
    residual = image.channels * math.prod(options.get("residual") or [0])
    return int(4 * max(3 * weights + residual, values))
