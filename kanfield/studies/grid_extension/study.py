"""Grid extension: a fixed fine grid, one refined in stages, and nested levels, on one image.

Refining doubles every grid without changing the function (the two-scale relation), and carries the
optimisers' moments along; nested levels are sums of coarse and fine splines. Four fits of equal steps show
the error of each in every octave of frequencies.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from kanfield.fields.field import count_parameters
from kanfield.fields.kan import KAN
from kanfield.images import Image, read_image
from kanfield.metrics.spectra import Bands
from kanfield.process import seeded
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.studies.common.generated import generated_image
from kanfield.studies.grid_extension.figures import draw_bands, draw_psnr
from kanfield.studies.grid_extension.settings import GridExtension
from kanfield.studies.study import Result, Trial
from kanfield.training.evaluation import evaluate
from kanfield.training.optimizers import build_optimizers, set_rate
from kanfield.training.sampling import Batches, PixelSampler
from kanfield.training.schedule import warm_up_and_decay
from kanfield.training.step import Step
from kanfield.training.target import Target
from kanfield.training.trainer import RANGE_EVERY

VARIANTS = {
    "coarse": "the coarse grid to the end",
    "staged": "from the coarse grid, refined twice",
    "fixed": "the fine grid from the start",
    "nested": "all three grids at once, as nested levels",
}
_STAGES = 3  # grids, each twice as fine as the one before
_RATES = (1e-2, 5e-3)  # of Muon and of Adam, the KAN's defaults
_BATCH = 2048
_RANGE_STEPS = 200  # in which hidden grids follow the data
_EVALUATIONS = 24  # of the error, in a fit
_EQUAL = 1e-3  # dB: what a refinement may change


def trials(settings: GridExtension) -> list[Trial]:
    """One fit for each variant."""
    image = read_image(settings.image, settings.size) if settings.image else generated_image(settings.size)
    return [Trial(name, _Fit(settings, image, name)) for name in VARIANTS]


@dataclass(frozen=True)
class _Fit:
    settings: GridExtension
    image: Image
    variant: str

    def field(self) -> KAN:
        """The KAN at its first stage."""
        first, hidden = self.settings.first_grid, self.settings.hidden_grid
        factors = {"fixed": [2 ** (_STAGES - 1)], "nested": [2**n for n in range(_STAGES)]}.get(
            self.variant, [1]
        )
        sizes = [[f * first for f in factors], *[[f * hidden for f in factors]] * 3]
        frequency = 4.5 * max(self.image.height, self.image.width) / 256  # as the preset smooth has it
        shape = (2, self.image.channels, [self.settings.width] * 3, sizes)
        with seeded(0):
            return KAN(*shape, order=2, init_frequency=frequency, num_directions=8)

    def __call__(self) -> Result:
        settings, field = self.settings, self.field()
        target = Target(self.image, torch.zeros(1))
        batches = Batches(PixelSampler(target.count, min(_BATCH, target.count), 0), target)
        optimizers = build_optimizers(field, "muon", *_RATES)
        take_step = Step(field, optimizers)
        refined = {round(settings.steps * n / _STAGES) for n in range(1, _STAGES)}
        evaluated = set(np.unique(np.geomspace(1, settings.steps, _EVALUATIONS).astype(int)).tolist())
        log, seconds, refinements = _ErrorLog(target), 0.0, []
        for step in range(settings.steps):
            if self.variant == "staged" and step in refined:
                before = evaluate(field, target).psnr
                field.refine(2, optimizers)
                refinements.append({"step": step, "before": before, "after": evaluate(field, target).psnr})
            began = time.perf_counter()
            _set_rates(optimizers, (step + 1) / (settings.steps + 1))
            x, y = batches.at(step)
            if step < _RANGE_STEPS and step % RANGE_EVERY == 0:
                field.fit_ranges(x)
            take_step(x, y)
            seconds += time.perf_counter() - began
            if step + 1 in evaluated:
                log.add(field, step + 1, seconds)
        return {**log.result(), "parameters": count_parameters(field), "refinements": refinements}


def _set_rates(optimizers: Sequence[Optimizer], progress: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            set_rate(group, group["initial_lr"] * warm_up_and_decay(progress))


class _ErrorLog:
    """PSNR and the error in every band, at some steps of a fit."""

    def __init__(self, target: Target) -> None:
        image = target.image
        self._target, self._bands = target, Bands(image.height, image.width)
        self._values = image.to_unit(image.pixels)
        self._energies = self._bands.energies(self._values)
        self._rows: list[tuple[int, float, float, list[float]]] = []

    def add(self, field: nn.Module, step: int, seconds: float) -> None:
        """Evaluate a field on all pixels, after ``step`` steps and ``seconds`` of training."""
        values = np.full((self._target.count, self._target.image.channels), np.nan)
        psnr = evaluate(field, self._target, None, values).psnr
        error = values.reshape(self._values.shape) - self._values
        shares = (self._bands.energies(error) / np.maximum(self._energies, 1e-20)).tolist()
        self._rows.append((step, round(seconds, 3), psnr, shares))

    def result(self) -> Result:
        """The rows as a trial's result."""
        steps, seconds, psnr, shares = (list(column) for column in zip(*self._rows, strict=True))
        octaves = [octave(low, high) for low, high in itertools.pairwise(self._bands.edges)]
        by_band = {name: [row[n] for row in shares] for n, name in enumerate(octaves)}
        curves = {
            f"error/{name} cycles per pixel": list(zip(steps, by_band[band], strict=True))
            for name, band in zip(self._bands.names, octaves, strict=True)
        }
        curves["psnr"] = list(zip(steps, psnr, strict=True))
        return {"steps": steps, "seconds": seconds, "psnr": psnr, "bands": by_band, "curves": curves}


def octave(low: float, high: float) -> str:
    """The name of an octave in fractions, from its edges in cycles per pixel.

    >>> octave(0.125, 0.25)
    '1/8 to 1/4'
    """
    return f"1/{round(1 / low)} to 1/{round(1 / high)}"


def conclude(settings: GridExtension, results: dict[str, Result]) -> Findings:
    """Compare PSNR before and after refinements, and the variants' errors in every band."""
    refinements = results["staged"]["refinements"]
    largest = max(abs(r["after"] - r["before"]) for r in refinements)
    steps = " and ".join(str(r["step"]) for r in refinements)
    text = f"PSNR before and after each refinement is equal, within {_EQUAL:g} dB"
    claims = [Claim(text, f"at steps {steps}: off by {largest:.1e} dB at most", largest <= _EQUAL)]
    final = {name: {band: e[-1] for band, e in result["bands"].items()} for name, result in results.items()}
    lower = [band for band in final["coarse"] if final["staged"][band] < final["coarse"][band]]
    claims.append(
        Claim(
            "Grid extension helps: refined, the fit ends with less error in every band than the coarse one",
            f"less in {len(lower)} of {len(final['coarse'])} bands",
            None if settings.quick else len(lower) == len(final["coarse"]),
        )
    )
    reached = ", ".join(f"{name} {result['psnr'][-1]:.2f}" for name, result in results.items())
    first, hidden = settings.first_grid, settings.hidden_grid
    notes = [
        f"KAN [2, {settings.width} x 3, c] of order 2 with 8 directions; the coarse grids are {first} cells "
        f"in the first layer and {hidden} in the others, the fine ones {4 * first} and {4 * hidden}. Equal "
        "steps of 2048 pixels, Muon and Adam at the KAN's own rates, one seed: differences of a few tenths "
        "of a decibel mean nothing.",
        "Variants: " + "; ".join(f"{name}: {words}" for name, words in VARIANTS.items()) + ".",
    ]
    pictures = [
        Picture(
            "bands",
            draw_bands(results, "steps"),
            "The error in every band as a share of its energy, against steps; dotted: the refinements.",
        ),
        Picture("bands-time", draw_bands(results, "seconds"), "The same against training time."),
        Picture(
            "psnr",
            draw_psnr(results),
            "PSNR on the pixels against steps and against training time; dotted: the refinements.",
        ),
    ]
    summary = f"PSNR in dB after {settings.steps:,} equal steps: {reached}."
    return Findings(summary, claims, pictures, _tables(results), notes)


def _tables(results: dict[str, Result]) -> list[Table]:
    bands = list(results["fixed"]["bands"])
    cells = [["variant", "parameters", "PSNR, dB", "seconds", *bands]]
    for name, result in results.items():
        errors = [f"{result['bands'][band][-1]:.1e}" for band in bands]
        line = [
            name,
            f"{result['parameters']:,}",
            f"{result['psnr'][-1]:.2f}",
            f"{result['seconds'][-1]:.1f}",
        ]
        cells.append([*line, *errors])
    refinements = [["step", "PSNR before, dB", "PSNR after, dB"]]
    refinements += [
        [str(r["step"]), f"{r['before']:.6f}", f"{r['after']:.6f}"] for r in results["staged"]["refinements"]
    ]
    return [
        Table("At the end: error as a share of the energy, in bands of cycles per pixel", cells),
        Table("Refinements", refinements),
    ]
