"""References that took time to compute, kept in the user's cache folder; nothing depends on it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kanfield.files import replacing
from kanfield.pde.problem import Reference


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/kanfield/references``, by default under ``~/.cache``."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if not cache.is_absolute():  # a user without a home
        cache = Path(tempfile.gettempdir())
    return cache / "kanfield" / "references"


def cached(name: str, compute: Callable[[], Reference]) -> Reference:
    """A reference from the cache, or computed and then kept.

    A cache that cannot be read or written, or a file in it that is damaged, costs only time.

    Args:
        name: of the file, without a suffix; another one whenever the computation changes.
        compute: gives the reference.
    """
    path = cache_folder() / f"{name}.npz"
    damaged = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
    with contextlib.suppress(*damaged), np.load(path) as file:
        axes = [file[f"axis_{number}"] for number in range(file["values"].ndim)]
        if file["values"].shape == tuple(map(len, axes)) and np.isfinite(file["values"]).all():
            return Reference(axes, file["values"])
    reference = compute()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {f"axis_{number}": axis for number, axis in enumerate(reference.axes)}
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays, values=reference.values)
    return reference
