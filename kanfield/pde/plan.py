"""How a run is cut into stretches: coarse grids first, a growing span of time, new points for each.

The first half of the steps goes to the windows of time and to the coarser grids, the second to the field as
it is in the end, in stretches that differ only by their points and weights.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from kanfield.errors import InputError
from kanfield.fields import build_field
from kanfield.fields.field import Field, count_parameters
from kanfield.pde.checks import time_axis
from kanfield.pde.problem import Problem
from kanfield.pde.settings import Optimizer, SolveSettings
from kanfield.process import seeded

LM_LIMIT = 6000  # of the parameters or the points, whichever are fewer: a step factorises such a matrix
LM_DEFAULT = 3000  # the same, where Levenberg-Marquardt is the default
_LM_ENTRIES = 1 << 27  # of a Jacobian: a gigabyte
_FEWEST_POINTS = 2000
_ROUNDS = 4  # of Levenberg-Marquardt, each with new points, on the field as it is in the end
_COARSEST = 5  # cells from which a KAN's grids begin
_ORDER = 5  # of its splines: second derivatives are cubic then, not straight lines, within a cell
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
        weighted: whether residuals count by what they do to the solution later.
        outer: whether a KAN's outer layer starts, fresh and refined, from linear least squares.
    """

    options: dict[str, object]
    optimizer: str
    points: int
    parameters: int
    stretches: list[Stretch]
    weighted: bool = True
    outer: bool = True


def make_plan(problem: Problem, settings: SolveSettings) -> Plan:
    """Fill what the settings leave open.

    Raises:
        InputError: settings contradict each other or the problem.
    """
    timed = time_axis(problem) is not None
    options, stages = _field(problem, settings)
    parameters = field_parameters(problem, settings)
    points = settings.points or _usual_points(settings, parameters)
    optimizer = settings.optimizer or usual_optimizer(settings.model, parameters)
    if optimizer == "lm" and (
        min(parameters, points) > LM_LIMIT or (parameters > LM_LIMIT and parameters * points > _LM_ENTRIES)
    ):
        raise InputError(
            f"--optimizer lm takes up to {LM_LIMIT:,} parameters, or as many points, and a Jacobian of a "
            f"gigabyte; this field has {parameters:,} at {points:,} points: give lbfgs or adam, or fewer "
            "--widths or --points"
        )
    if settings.model == "kan" and points < parameters:
        raise InputError(
            f"--points {points} are fewer than the KAN's {parameters:,} parameters, so its grids are too "
            "fine for them: give more points or coarser --grids"
        )
    early = [(stages[0], (n + 1) / problem.windows) for n in range(problem.windows if timed else 1)]
    early += [(grids, 1.0) for grids in stages[1:-1]]
    late = [(stages[-1], 1.0)] * (_ROUNDS if optimizer == "lm" else 1)
    steps = settings.steps or (_QUICK_STEPS if settings.quick else _STEPS)[optimizer]
    stretches = [
        Stretch(grids, until, count)
        for spans, share in ((early, steps // 2), (late, steps - steps // 2))
        for (grids, until), count in zip(spans, _shares(share, len(spans)), strict=True)
        if count
    ]
    options |= {"grids": list(stretches[0].grids)} if stretches[0].grids else {}
    return Plan(options, optimizer, points, parameters, stretches)


def usual_optimizer(model: str, parameters: int) -> Optimizer:
    """The best optimiser of a field.

    A step of Levenberg-Marquardt costs by the parameters or the points, whichever are fewer. A KAN's splines
    need more points than they have coefficients; other fields are smooth between few points.

    >>> usual_optimizer("kan", 4200), usual_optimizer("mlp", 33537)
    ('lbfgs', 'lm')
    """
    few = parameters <= LM_DEFAULT
    return "lm" if few or (model != "kan" and parameters * _FEWEST_POINTS <= _LM_ENTRIES) else "lbfgs"


def _usual_points(settings: SolveSettings, parameters: int) -> int:
    """Points of the equation.

    Of a KAN five for each parameter, since with two it follows its points in place of the solution; from
    3,000 parameters on 15,000, or three for each where that is more: a Jacobian must not fill the memory.
    """
    if settings.model != "kan":
        return 400 if settings.quick else _FEWEST_POINTS
    if settings.quick:
        return max(400, 2 * parameters)
    return max(_FEWEST_POINTS, 5 * min(parameters, LM_DEFAULT), 3 * parameters)


def _field(problem: Problem, settings: SolveSettings) -> tuple[dict[str, object], list[tuple[int, ...]]]:
    """Options of the field at first, and a KAN's grids from coarse to fine."""
    widths = settings.widths
    if settings.model == "kan":
        widths = widths or ([10] if time_axis(problem) is None else [5, 5])
        final = settings.grids or [5 if settings.quick else 20]
        final = final * (len(widths) + 1) if len(final) == 1 else final
        stages = _stages(tuple(final))
        order = settings.order or _ORDER
        return {"widths": widths, "grids": list(stages[0]), "order": order, "init_noise": 0.3}, stages
    given = {"widths": widths, "grids": settings.grids, "order": settings.order}
    options: dict[str, object] = {name: value for name, value in given.items() if value}
    if settings.model in ("mlp", "rff"):  # ReLU has no second derivative
        options = {"widths": [32, 32, 32], "activation": "tanh", **options}
    if settings.model == "rff":  # solutions are smoother than photographs
        options = {"sigma": 0.5, "frequencies": 64, **options}
    return options, [()]


def field_parameters(problem: Problem, settings: SolveSettings) -> int:
    """How many parameters the field of the settings has in the end.

    Raises:
        InputError: the family or an option is impossible.
    """
    options, stages = _field(problem, settings)
    final = {"grids": list(stages[-1])} if stages[-1] else {}
    return count_parameters(build(problem, settings, options | final))


def build(problem: Problem, settings: SolveSettings, options: dict[str, object]) -> Field:
    """A fresh field of the settings' seed in double precision, with its true derivatives: in evaluation mode.

    Raises:
        InputError: the family or an option is impossible.
    """
    with seeded(settings.seed):
        field = build_field(settings.model, problem.num_features, 1, options).double().eval()
    if any(isinstance(part, nn.LayerNorm) for part in field.modules()):
        raise InputError(
            f"--model {settings.model} normalises by LayerNorm, whose third derivatives torch gets wrong: "
            "give another family"
        )
    return field


def _shares(steps: int, parts: int) -> list[int]:
    """Steps of every stretch, as even as can be.

    >>> _shares(11, 3), _shares(2, 3)
    ([3, 4, 4], [0, 1, 1])
    """
    return [(n + 1) * steps // parts - n * steps // parts for n in range(parts)]


def _stages(final: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Grids from coarse to fine, each twice the one before, so that refinement is exact.

    >>> _stages((20, 40))
    [(5, 10), (10, 20), (20, 40)]
    """
    stages = [final]
    while all(size % 2 == 0 for size in stages[0]) and min(stages[0]) >= 2 * _COARSEST:
        stages.insert(0, tuple(size // 2 for size in stages[0]))
    return stages
