"""kanfield: fit images with neural fields, above all Kolmogorov-Arnold networks on fine B-spline grids.

>>> from kanfield import KAN, fit, load, read_image
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kanfield.fields.kan import KAN as KAN
    from kanfield.fields.kan_layer import KANLayer as KANLayer
    from kanfield.images import read_image as read_image
    from kanfield.runs.run import Run as Run
    from kanfield.tiles.entry import fit as fit
    from kanfield.tiles.entry import load as load

# torch takes seconds to import: a name brings its module only when it is asked for.
_HOMES = {
    "KAN": "kanfield.fields.kan",
    "KANLayer": "kanfield.fields.kan_layer",
    "Run": "kanfield.runs.run",
    "fit": "kanfield.tiles.entry",
    "load": "kanfield.tiles.entry",
    "read_image": "kanfield.images",
}

__all__ = ["KAN", "KANLayer", "Run", "__version__", "fit", "load", "read_image"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'kanfield' has no attribute '{name}'")
