"""How a run is cut into stretches: coarse grids first, a growing span of time, new points for each."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from torch import nn

from kanfield.errors import InputError
from kanfield.fields import build_field
from kanfield.fields.field import Field, count_parameters
from kanfield.pde.checks import time_axis
from kanfield.pde.problem import Problem
from kanfield.pde.settings import SolveSettings
from kanfield.process import seeded

LM_LIMIT = 6000  # parameters: a step factorises a matrix of this size
_LM_DEFAULT = 3000
_COARSEST = 5  # cells from which a KAN's grids begin
_STEPS = {"lm": 300, "lbfgs": 3000, "adam": 20_000}
_QUICK_STEPS = {"lm": 12, "lbfgs": 40, "adam": 100}


@dataclass(frozen=True)
class Stretch:
    """A part of a run on the same points.

    Attributes:
        grids: cells of a KAN's layers; none for other fields.
        until: share of the time that is solved, 1 without time.
        steps: of the optimiser.
    """

    grids: tuple[int, ...]
    until: float
    steps: int


@dataclass(frozen=True)
class Plan:
    """Everything that a run needs beside its problem.

    Attributes:
        options: of the field at the first stretch.
        optimizer: ``"lm"``, ``"lbfgs"`` or ``"adam"``.
        points: of the equation.
        parameters: of the field at the end.
        stretches: one after another.
    """

    options: dict[str, object]
    optimizer: str
    points: int
    parameters: int
    stretches: list[Stretch]


def make_plan(problem: Problem, settings: SolveSettings) -> Plan:
    """Fill what the settings leave open.

    Raises:
        InputError: settings contradict each other or the problem.
    """
    timed = time_axis(problem) is not None
    widths = settings.widths or ([5, 5] if timed else [10]) if settings.model == "kan" else settings.widths
    if settings.model == "kan":
        assert widths is not None
        final = settings.grids or [5 if settings.quick else 20]
        final = final * (len(widths) + 1) if len(final) == 1 else final
        stages = _stages(tuple(final))
        options: dict[str, object] = {"widths": widths, "grids": list(stages[0]), "init_noise": 0.3}
    else:
        stages = [()]
        given = {"widths": widths, "grids": settings.grids}
        options = {name: value for name, value in given.items() if value}
        if settings.model == "mlp":  # ReLU has no second derivative
            options = {"widths": [32, 32, 32], "activation": "tanh", **options}
    field = build(problem, settings, {**options, "grids": list(stages[-1])} if stages[-1] else options)
    parameters = count_parameters(field)
    optimizer = settings.optimizer or ("lm" if parameters <= _LM_DEFAULT else "lbfgs")
    if optimizer == "lm" and parameters > LM_LIMIT:
        raise InputError(
            f"--optimizer lm takes up to {LM_LIMIT:,} parameters, this field has {parameters:,}: give lbfgs "
            "or adam, or fewer --widths"
        )
    points = settings.points or (max(400, 2 * parameters) if settings.quick else max(2000, 3 * parameters))
    if settings.model == "kan" and points < parameters:
        raise InputError(
            f"--points {points} are fewer than the KAN's {parameters:,} parameters, so its grids are too "
            "fine for them: give more points or coarser --grids"
        )
    spans = [(stages[0], (n + 1) / problem.windows) for n in range(problem.windows if timed else 1)]
    spans += [(grids, 1.0) for grids in stages[1:]]
    steps = settings.steps or (_QUICK_STEPS if settings.quick else _STEPS)[optimizer]
    stretches = [
        Stretch(grids, until, count)
        for (grids, until), count in zip(spans, _shares(steps, len(spans)), strict=True)
        if count
    ]
    options |= {"grids": list(stretches[0].grids)} if stretches[0].grids else {}
    return Plan(options, optimizer, points, parameters, stretches)


def build(problem: Problem, settings: SolveSettings, options: dict[str, object]) -> Field:
    """A fresh field of the settings' seed in double precision.

    Raises:
        InputError: the family or an option is impossible.
    """
    with seeded(settings.seed):
        field = build_field(settings.model, problem.num_features, 1, options).double()
    if any(isinstance(part, nn.LayerNorm) for part in field.modules()):
        raise InputError(
            f"--model {settings.model} normalises by LayerNorm, whose third derivatives torch gets wrong: "
            "give another family"
        )
    return field


def _shares(steps: int, parts: int) -> list[int]:
    """Steps of every stretch: half go to the last one, which decides.

    >>> _shares(100, 3), _shares(2, 3)
    ([25, 25, 50], [0, 1, 1])
    """
    before = [(n + 1) * (steps // 2) // max(1, parts - 1) for n in range(-1, parts - 1)]
    early = [after - start for start, after in itertools.pairwise(before)]
    return [*early, steps - sum(early)]


def _stages(final: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Grids from coarse to fine, each twice the one before, so that refinement is exact.

    >>> _stages((20, 40))
    [(5, 10), (10, 20), (20, 40)]
    """
    stages = [final]
    while all(size % 2 == 0 for size in stages[0]) and min(stages[0]) >= 2 * _COARSEST:
        stages.insert(0, tuple(size // 2 for size in stages[0]))
    return stages
