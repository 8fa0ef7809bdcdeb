"""What a study is made of: trials, which are computed and kept one by one.

A study is a folder ``kanfield/studies/<name>/``. Its module ``settings`` holds its options, its module
``study`` two functions: ``trials(settings)`` lists what is to be computed, ``conclude(settings, results)``
says what it shows; :mod:`kanfield.studies.runner` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    pass


Result = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """What is computed at a time, and kept.

    Attributes:
        key: its name, fit for a file. compute: gives plain values; an entry ``curves``,
            ``{"tag": [[step, value], ...]}``, goes to TensorBoard.
    """

    key: str
    compute: Callable[[], Result]
