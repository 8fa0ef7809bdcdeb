"""Ten waves at once: how soon a field recovers the amplitude of each (arXiv:2410.01803, section 5.1).

The target is ``f(t) = sum_i A_i sin(2 pi k_i t + phase_i)`` with k = 5, 10, ... 50 Hz, seen at 200 times in
[0, 1). A field is fitted to all of them at once with Adam in double precision; the amplitude recovered at k_i
is ``2 |FFT(prediction)| / (200 A_i)``. A field biased to low frequencies learns the slow waves first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kanfield.fields.field import Field, count_parameters
from kanfield.full_batch import minimize
from kanfield.process import seeded
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.studies.common.fields import paper_field
from kanfield.studies.study import Result, Trial
from kanfield.studies.waves.figures import WaveFits, draw_first_steps, draw_heat_maps
from kanfield.studies.waves.settings import Waves
from kanfield.studies.waves.signal import (
    FREQUENCIES,
    RECOVERED,
    SAMPLES,
    amplitudes_of,
    recovered,
    target,
)
from kanfield.training.trainer import RANGE_EVERY

_DIVERGED = 10.0  # times the target's own mean square: a loss above means that the fit diverged
_CLAIMED_STEPS = 8000  # of Adam, in which the paper's KANs recover all waves and its MLPs do not
_EVALUATIONS = 80  # of the amplitudes, in a fit
_RANGE_STEPS = 200  # in which hidden grids follow the data

# The step at which the authors' saved fits had recovered a wave: family, its width, depth and grid,
# amplitudes, Hz, steps.
_SAVED = (
    ("kan", (10, 4, 10), "equal", 50, 3500),
    ("kan", (10, 3, 40), "increasing", 50, 2500),
    ("mlp", (256, 6), "increasing", 25, 45_000),
    ("mlp", (256, 6), "increasing", 35, 60_000),
)


def field_for(settings: Waves, model: str) -> Field:
    """A fresh field in double precision: kan and mlp in the paper's shapes, other families in their own."""
    return paper_field(
        model,
        1,
        kan_widths=[settings.width] * (settings.depth - 1),
        grid=settings.grid,
        mlp_widths=[settings.mlp_width] * (settings.mlp_depth - 1),
        activation="relu",
    )


def trials(settings: Waves) -> list[Trial]:
    """A fit for every repeat, kind of amplitudes and model."""
    return [
        Trial(f"{model}-{kind}-{repeat:02d}", _Fit(settings, model, kind, repeat))
        for repeat in range(settings.repeats)
        for kind in settings.amplitudes
        for model in settings.models
    ]


@dataclass(frozen=True)
class _Fit:
    settings: Waves
    model: str
    kind: str
    repeat: int

    def __call__(self) -> Result:
        settings, amplitudes = self.settings, amplitudes_of(self.kind)
        with seeded(self.repeat):
            field = field_for(settings, self.model)
        generator = torch.Generator().manual_seed(self.repeat)
        y = target(amplitudes, torch.rand(len(FREQUENCIES), dtype=torch.float64, generator=generator))
        x = torch.arange(SAMPLES, dtype=torch.float64)[:, None] / SAMPLES
        if not settings.as_published:  # a field's coordinates span [-1, 1]
            x = 2 * x - 1
        steps, shares, losses = [], [], []
        every = max(1, settings.steps // _EVALUATIONS)

        @torch.no_grad()
        def watch(step: int) -> None:
            prediction = field(x)
            steps.append(step)
            shares.append([round(float(a), 5) for a in recovered(prediction, amplitudes)])
            losses.append(float((prediction - y).square().mean()))

        count = 0

        def loss() -> Tensor:
            nonlocal count
            follow = not settings.as_published and count < _RANGE_STEPS
            if follow and count % RANGE_EVERY == 0:
                field.fit_ranges(x)
            count += 1
            return nn.functional.mse_loss(field(x), y)

        minimize(
            field.parameters(),
            loss,
            settings.steps,
            optimizer="adam",
            lr=settings.lr,
            watch=watch,
            every=every,
        )
        if not losses[-1] < _DIVERGED * float(y.square().mean()):
            return {"steps": [], "recovered": [], "loss": None, "parameters": count_parameters(field)}
        curves = {
            f"amplitude/{hertz:02d} Hz": [(s, row[n]) for s, row in zip(steps, shares, strict=True)]
            for n, hertz in enumerate(FREQUENCIES)
        }
        curves["loss"] = list(zip(steps, losses, strict=True))
        return {
            "steps": steps,
            "recovered": shares,
            "loss": losses[-1],
            "parameters": count_parameters(field),
            "curves": curves,
        }


def conclude(settings: Waves, results: dict[str, Result]) -> Findings:
    """Show the amplitudes recovered, the step of each, and how they compare with the paper's fits."""
    groups = [_group(model, kind, results) for kind in settings.amplitudes for model in settings.models]
    failed = [f"{group.failed} of {group.model} ({group.kind})" for group in groups if group.failed]
    groups = [group for group in groups if len(group.recovered)]
    if not groups:
        return Findings(f"Every fit diverged: {', '.join(failed)}. A smaller --lr may help.")
    judged = None if settings.quick else True
    claims = [claim for group in groups for claim in _claims(group, judged)]
    claims += [claim for group in groups for claim in _against_saved(settings, group)]
    notes = [
        "Times are mapped to [-1, 1], where every field has its coordinates; in the authors' code they lie "
        "in [0, 1), which doubles the frequencies that a field sees (--as-published). The KAN's hidden grids "
        f"follow the data for the first {_RANGE_STEPS} steps."
        if not settings.as_published
        else "Times stay in [0, 1) while the KAN's grids lie on [-1, 1] and never move, as in the authors' "
        "code, where an argument in the wrong place switches the grid update off: half of the first grid "
        "is unused.",
        "The amplitude recovered says nothing about the phase; the loss does. Means, lowest and highest are "
        f"over {settings.repeats} repeats with phases and weights of their own.",
    ]
    notes += [f"Fits that diverged and are left out: {', '.join(failed)}."] if failed else []
    heading = ["model", "amplitudes", *(f"{hertz} Hz" for hertz in FREQUENCIES)]
    table = Table(
        f"Amplitude recovered after {settings.steps:,} steps, mean ± standard deviation over repeats",
        [heading, *([g.model, g.kind, *_means(g)] for g in groups)],
    )
    pictures = [
        Picture(
            "heat-maps", draw_heat_maps(groups), "Amplitude recovered at every frequency as training goes on."
        ),
        Picture(
            "recovered-at",
            draw_first_steps(groups, settings.steps),
            f"The step at which {100 * RECOVERED:.0f} % of a wave's amplitude is recovered: median and range "
            "over repeats; hollow: not recovered in every repeat by the end.",
        ),
    ]
    return Findings(_summary(groups, settings), claims, pictures, [table], notes)


def _group(model: str, kind: str, results: dict[str, Result]) -> WaveFits:
    fits = [r for key, r in results.items() if key.startswith(f"{model}-{kind}-")]
    good = [r for r in fits if r["steps"]]
    steps = np.array(good[0]["steps"] if good else [], dtype=np.float64)
    return WaveFits(model, kind, steps, np.array([r["recovered"] for r in good]), len(fits) - len(good))


def _means(group: WaveFits) -> list[str]:
    last = group.recovered[:, -1]
    return [f"{m:.2f} ± {s:.2f}" for m, s in zip(last.mean(0), last.std(0), strict=True)]


def _claims(group: WaveFits, judged: bool | None) -> list[Claim]:
    last, steps = group.recovered[:, -1], int(group.steps[-1])
    if group.model == "kan":
        incomplete = np.flatnonzero(~(group.recovered >= RECOVERED).all((0, 2)))
        since = incomplete[-1] + 1 if len(incomplete) else 0
        at = f", all ten from step {int(group.steps[since]):,} on" if since < len(group.steps) else ""
        measured = f"lowest of all waves and repeats {last.min():.3g}{at}"
        text = f"KAN, {group.kind} amplitudes: all ten above {RECOVERED} by {steps:,} steps"
        return [Claim(text, measured, judged and bool(last.min() > RECOVERED))]
    if group.model == "mlp":
        high = last.mean(0)[-2:]
        text = f"ReLU MLP, {group.kind} amplitudes: 45 and 50 Hz not recovered by {steps:,} steps"
        measured = f"mean over repeats {high[0]:.2f} and {high[1]:.2f}, highest {last[:, -2:].max():.2f}"
        holds = judged and bool(high.max() < RECOVERED) if steps <= _CLAIMED_STEPS else None
        return [Claim(text, measured, holds)]
    return []


def _against_saved(settings: Waves, group: WaveFits) -> list[Claim]:
    """Compare with the authors' saved fits of the same shape and amplitudes; not judged."""
    shape = {
        "kan": (settings.width, settings.depth, settings.grid),
        "mlp": (settings.mlp_width, settings.mlp_depth),
    }.get(group.model)
    claims = []
    for model, saved_shape, kind, hertz, step in _SAVED:
        if (model, saved_shape, kind) != (group.model, shape, group.kind):
            continue
        first = group.first_steps()[:, : FREQUENCIES.index(hertz) + 1].max(1)  # all waves up to this one
        text = f"The authors' {model.upper()}, {kind} amplitudes: {hertz} Hz recovered by about step {step:,}"
        if np.isnan(first).any():
            count = int(np.isfinite(first).sum())
            measured = f"in {count} of {len(first)} repeats by step {int(group.steps[-1]):,}"
        else:
            ratio = float(np.median(first)) / step
            factor = f"{1 / ratio:.1f} x sooner" if ratio < 1 else f"{ratio:.1f} x later"
            measured = f"median step {np.median(first):,.0f}, {factor}"
        claims.append(Claim(text, measured, None))
    return claims


def _summary(groups: Sequence[WaveFits], settings: Waves) -> str:
    parts = []
    for group in groups:
        count = (group.recovered[:, -1].mean(0) >= RECOVERED).sum()
        parts.append(f"{group.model} {count} of {len(FREQUENCIES)} ({group.kind} amplitudes)")
    return (
        f"Waves recovered to {100 * RECOVERED:.0f} % after {settings.steps:,} steps, mean over repeats: "
        f"{', '.join(parts)}."
    )
