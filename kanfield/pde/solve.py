"""Solves a problem stretch by stretch; a run that was stopped goes on at the stretch it was in."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from kanfield.errors import InputError, RunFailed
from kanfield.fields.field import Field
from kanfield.fields.kan import KAN
from kanfield.files import replacing
from kanfield.full_batch import minimize
from kanfield.least_squares import Minimum, levenberg_marquardt
from kanfield.pde.checks import time_axis
from kanfield.pde.growth import growth_weights
from kanfield.pde.jets import Jet, field_jet, spline_layers
from kanfield.pde.outer import solve_outer_layer
from kanfield.pde.plan import Plan, Stretch, build
from kanfield.pde.problem import Problem, Reference, solution
from kanfield.pde.problems.references import until
from kanfield.pde.sampling import adaptive_points, face_points, inside_points
from kanfield.pde.settings import SolveSettings
from kanfield.pde.system import System

_SCORES = 12  # in a stretch
_SCORED = 101  # points along each axis of the scores on the way
_DAMPING = 1e-3  # of Levenberg-Marquardt at first; a stretch goes on with what the one before found right
_DECAY = 1e-8  # of a KAN's parameters while the time grows
_HELD_OUT = 2000  # points of the residual that is reported


@dataclass(frozen=True)
class Row:
    """A line of ``metrics.csv``.

    Attributes:
        step: of the optimiser, over all stretches.
        seconds: of solving, without those of the reference and the scores.
        stretch: number of the stretch, from 1.
        until: share of the time that is solved.
        loss: weighted mean squares of all residuals over two.
        l2: relative error in L2 over that share, None without a reference.
        h1: relative error in the H1 seminorm.
    """

    step: int
    seconds: float
    stretch: int
    until: float
    loss: float
    l2: float | None
    h1: float | None


class OutOfTime(Exception):
    """The seconds that were given are over."""


class Solver:
    """The field of a run, and what it has reached.

    Args:
        problem: to solve.
        settings: how.
        plan: from :func:`kanfield.pde.plan.make_plan`.
        reference: to compare with, or None.
        checkpoint: file that is written after every stretch, and read if it is there; None for none.
        log: called with every row.

    Raises:
        InputError: the checkpoint is damaged.
    """

    def __init__(
        self,
        problem: Problem,
        settings: SolveSettings,
        plan: Plan,
        reference: Reference | None,
        checkpoint: Path | None,
        log: Callable[[Row], None] = lambda row: None,
    ) -> None:
        self.problem, self.settings, self.plan, self.reference = problem, settings, plan, reference
        self.rows: list[Row] = []
        self.field: Field = build(problem, settings, plan.options)
        self._checkpoint, self._log = checkpoint, log
        self._done, self._step, self._seconds = 0, 0, 0.0
        self._damping = _DAMPING
        if checkpoint is not None and checkpoint.exists():
            self._read(checkpoint)

    @property
    def seconds(self) -> float:
        """Of solving, those after the last row too."""
        return round(self._seconds, 3)

    def run(self) -> None:
        """Go through the stretches that are not done."""
        for number, stretch in enumerate(self.plan.stretches):
            if number < self._done:
                continue
            try:
                self._go(number, stretch)
            except OutOfTime:
                self._done = len(self.plan.stretches)
                self._write()
                return
            self._done = number + 1
            self._write()

    def _go(self, number: int, stretch: Stretch) -> None:
        began = time.perf_counter()
        system = self._system(number, stretch)
        fresh = number == 0 or stretch.grids != self.plan.stretches[number - 1].grids
        if self.plan.outer and fresh:
            solve_outer_layer(system)
        paused = 0.0
        every = max(1, stretch.steps // _SCORES)
        first, before = self._step, self._seconds

        def watch(done: int, loss: Callable[[], float]) -> None:
            nonlocal paused
            self._step, self._seconds = first + done, before + time.perf_counter() - began - paused
            over = self.settings.seconds is not None and self._seconds >= self.settings.seconds
            if done % every == 0 or done == stretch.steps or over:
                pause = time.perf_counter()
                self._record(number, stretch, loss())
                paused += time.perf_counter() - pause
            if over:
                raise OutOfTime

        self._optimise(system, stretch.steps, every, watch)
        self._seconds = before + time.perf_counter() - began - paused  # with steps that were refused
        if not self.rows or self.rows[-1].step < self._step:  # it converged before its last step
            self._record(number, stretch, float(system.loss().detach()))

    def _system(self, number: int, stretch: Stretch) -> System:
        """The equations of a stretch, with its grids and its points."""
        problem, seed = self.problem, self.settings.seed + 1000 * (number + 1)
        points = inside_points(problem, self.plan.points, seed, stretch.until)
        if isinstance(self.field, KAN):
            sizes = [layer.grid_size for layer in spline_layers(self.field) or []]
            if number == 0:
                everywhere = inside_points(problem, len(points), seed)
                self.field.fit_ranges(problem.see(everywhere), margin=0.2)
            elif tuple(sizes) != stretch.grids:
                for layer, size in zip(spline_layers(self.field) or [], stretch.grids, strict=True):
                    layer.extend(size)
        if number:
            points = adaptive_points(
                problem,
                len(points),
                seed,
                stretch.until,
                lambda p: self.residual(p) * self._weights(p, stretch.until),
            )
        faces = [
            face_points(
                problem, condition, max(64, self.plan.points // 8), seed + 100 * (n + 1), stretch.until
            )
            for n, condition in enumerate(problem.conditions)
        ]
        weights = self._weights(points, stretch.until)
        if stretch.until == 1:
            return System(problem, self.field, points, faces, weights=weights)
        # After the window, splines that points hardly touch would grow without bounds.
        later = inside_points(problem, len(points) // 4, seed + 1)
        decay = _DECAY if isinstance(self.field, KAN) else 0.0
        return System(problem, self.field, points, faces, later, weights, decay)

    def _weights(self, points: Tensor, until: float) -> Tensor:
        if not self.plan.weighted:
            return torch.ones(len(points), dtype=points.dtype)
        return growth_weights(self.problem, self.jet, points, until)

    def _optimise(
        self, system: System, steps: int, every: int, watch: Callable[[int, Callable[[], float]], None]
    ) -> None:
        if self.plan.optimizer == "lm":
            self._least_squares(system, steps, watch)
            return
        minimize(
            self.field.parameters(),
            system.loss,
            steps,
            optimizer=self.plan.optimizer,  # type: ignore[arg-type]
            watch=lambda done: watch(done, lambda: float(system.loss().detach())) if done else None,
            every=every if self.settings.seconds is None else 1,  # the clock is read after every step
        )

    def _least_squares(
        self, system: System, steps: int, watch: Callable[[int, Callable[[], float]], None]
    ) -> None:
        def after(reached: Minimum) -> None:
            self._damping = reached.damping
            system.parameters = torch.from_numpy(reached.parameters)
            watch(reached.iterations, lambda: reached.cost / 2)

        start = system.parameters
        if not bool(torch.isfinite(system.residual(start)).all()):
            raise RunFailed(
                f"{self.problem.name}: the residual is not finite at the start: give another --seed or fewer "
                "--widths"
            )
        best = levenberg_marquardt(
            lambda p: system.residual(torch.from_numpy(p)).numpy(),
            lambda p: system.jacobian(torch.from_numpy(p))[1].numpy(),
            start.numpy(),
            iterations=steps,
            damping=self._damping,
            geodesic=True,
            watch=after,
        )
        system.parameters = torch.from_numpy(best.parameters)

    def values(self, points: Tensor) -> Tensor:
        """The solution at points ``(N, D)``, shape ``(N,)``."""
        with torch.no_grad():
            lift, mask = self.problem.hold(points).unbind(1)
            value: Tensor = lift + mask * self.field(self.problem.see(points))[:, 0]
        return value

    def jet(self, points: Tensor) -> Jet:
        """The jet of the solution at points ``(N, D)``, without a graph."""
        samples = self.problem.samples(points)
        with torch.no_grad():
            return solution(field_jet(self.field, samples.features), samples)

    def residual(self, points: Tensor) -> Tensor:
        """The equation's residual at points ``(N, D)``, shape ``(N,)``."""
        with torch.no_grad():
            return self.problem.apply(self.problem.residual, self.jet(points), points)

    def on_grid(self, reference: Reference) -> NDArray[np.float64]:
        """The solution on a reference's grid."""
        return self.values(reference.points()).reshape(reference.values.shape).numpy()

    def held_out_residual(self) -> float:
        """Root mean square of the equation's residual at points of its own."""
        points = inside_points(self.problem, _HELD_OUT, self.settings.seed + 999_983)
        return float(self.residual(points).square().mean().sqrt())

    def _record(self, number: int, stretch: Stretch, loss: float) -> None:
        if not math.isfinite(loss):
            raise RunFailed(
                f"{self.problem.name}: {self.plan.optimizer} diverged at step {self._step}: give another "
                "--optimizer, --seed or fewer --widths; stretches before this one are kept"
            )
        l2 = h1 = None
        if self.reference is not None:
            coarse = self.reference.thinned(_SCORED)
            part = until(coarse, time_axis(self.problem), stretch.until)
            l2, h1 = part.errors(self.on_grid(part))
        row = Row(self._step, round(self._seconds, 3), number + 1, stretch.until, loss, l2, h1)
        self.rows.append(row)
        self._log(row)

    def _write(self) -> None:
        if self._checkpoint is None:
            return
        info: dict[str, Any] = {"done": self._done, "step": self._step, "seconds": self._seconds}
        info |= {"damping": self._damping}
        info |= {"grids": [layer.grid_size for layer in spline_layers(self.field) or []]}
        info |= {"rows": [dataclasses.asdict(row) for row in self.rows]}
        tensors = {name: t.detach().clone().contiguous() for name, t in self.field.state_dict().items()}
        try:
            with replacing(self._checkpoint) as temporary:
                save_file(tensors, temporary, metadata={"kanfield": json.dumps(info)})
        except (SafetensorError, OSError) as error:
            raise RunFailed(
                f"{self._checkpoint} cannot be written ({error}): make room, then --resume"
            ) from None

    def _read(self, checkpoint: Path) -> None:
        try:
            with safe_open(checkpoint, framework="pt") as file:
                info = json.loads(file.metadata()["kanfield"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            for layer, size in zip(spline_layers(self.field) or [], info["grids"], strict=True):
                layer.extend(size)
            self.field.load_state_dict(tensors)
            self.rows = [Row(**row) for row in info["rows"]]
            self._done, self._step, self._seconds = info["done"], info["step"], info["seconds"]
            self._damping = info.get("damping", _DAMPING)
        except (SafetensorError, ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(
                f"{checkpoint} does not fit its run ({reason}): delete it to start the run anew"
            ) from None
