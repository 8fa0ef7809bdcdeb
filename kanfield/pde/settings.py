"""What ``kanfield solve`` can be told, and how a run folder keeps it. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from kanfield.config.parse import coerce_fields
from kanfield.errors import InputError
from kanfield.fields.registry import family_names, find_family

FILE = "solve.yaml"
MOST_POINTS = 2**28  # a Sobol sequence ends at 2^30, and new points are chosen from four times as many
Optimizer = Literal["lm", "lbfgs", "adam"]


@dataclass
class SolveSettings:
    """How a problem is solved; None stands for a choice of the program's.

    Attributes:
        problem: name in the catalogue, or the path of a Python file.
        model: family of fields.
        widths: hidden units.
        grids: cells of every layer of a KAN at the end; it begins on coarser ones.
        order: degree of a KAN's splines.
        optimizer: ``"lm"``, ``"lbfgs"`` or ``"adam"``.
        steps: of the optimiser, in all.
        seconds: after which it stops.
        points: at which the equation is to hold.
        seed: of the field and the points.
        quick: small sizes, to see that all works.
        sha256: of the problem's file when the run began, as hexadecimal digits; None for a name.
    """

    problem: str
    model: str = "kan"
    widths: list[int] | None = None
    grids: list[int] | None = None
    order: int | None = None
    optimizer: Optimizer | None = None
    steps: int | None = None
    seconds: float | None = None
    points: int | None = None
    seed: int = 0
    quick: bool = False
    sha256: str | None = None

    def check(self) -> None:
        """Check the values that need no problem to be known.

        Raises:
            InputError: one is impossible; the option is named.

        >>> SolveSettings("darcy", steps=0).check()
        Traceback (most recent call last):
        kanfield.errors.InputError: --steps 0 is impossible: give a number above zero
        """
        if self.model not in family_names():
            find_family(self.model)  # says what is wrong with it
        for name in ("steps", "seconds", "points"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"--{name} {value} is impossible: give a number above zero")
        if self.order is not None and self.order < 2:
            raise InputError(f"--order {self.order} leaves splines no second derivatives: give 2 to 5")
        if self.points is not None and self.points > MOST_POINTS:
            raise InputError(f"--points {self.points:,} are too many: give {MOST_POINTS:,} at most")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"--seed {self.seed} is impossible: give a number from 0 to 2^63 - 1")
        for name, sizes in (("widths", self.widths), ("grids", self.grids)):
            if sizes is not None and (
                not all(isinstance(s, int) for s in sizes) or min(sizes, default=0) < 1
            ):
                raise InputError(f"--{name} {sizes}: give whole numbers above zero, such as 10,10")

    def to_yaml(self) -> str:
        """The settings as text."""
        return yaml.safe_dump(dataclasses.asdict(self), sort_keys=False)


def read_settings(folder: Path) -> SolveSettings:
    """The settings of a run's folder.

    Raises:
        InputError: it is no run of ``kanfield solve``, or its file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"{folder} is no run of kanfield solve, it has no {FILE}: give its folder")
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("model") == "kan":
            content.setdefault("order", 3)  # a run from before there was a choice
        settings = coerce_fields(SolveSettings, content)
        settings.check()
        return settings
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        reason = f" ({error})" if isinstance(error, InputError) else ""
        raise InputError(f"{path} is damaged{reason}: correct it, or start anew in another folder") from None
