"""The parts of a study: trials, which are computed and kept one by one.

A study is a folder ``kanfield/studies/<name>/``. Its module ``settings`` holds its options, its module
``study`` two functions: ``trials(settings)`` lists what is to be computed, ``conclude(settings, results)``
gives the findings; :mod:`kanfield.studies.runner` does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Result = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """The smallest part of a study that is computed and kept.

    Attributes:
        key: its name, also of its file.
        compute: returns plain values for JSON; an entry ``curves``, ``{"tag": [[step, value], ...]}``, goes
            to TensorBoard.
    """

    key: str
    compute: Callable[[], Result]
