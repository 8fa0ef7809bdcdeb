"""The neural tangent kernel of fields on an image: which patterns each would learn first.

A field that is trained by small steps of gradient descent learns the eigenvectors of its tangent kernel at
rates proportional to their eigenvalues (Jacot et al., 2018, arXiv:1806.07572). If those of large eigenvalues
are smooth, the field is biased to low frequencies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.fields.field import Field, count_parameters
from kanfield.images import Image, coordinates, read_image, resize_image
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.runs.checkpoint import load_field, read_checkpoint
from kanfield.runs.run import Run, make_field
from kanfield.studies.common.generated import generated_image
from kanfield.studies.ntk.figures import draw_kernels
from kanfield.studies.ntk.settings import Ntk
from kanfield.studies.ntk.tangent_kernel import KernelSpectrum, analyse, tangent_kernel
from kanfield.studies.study import Result, Trial
from kanfield.tiles.entry import load
from kanfield.tiles.run import TiledRun

_FIRST = 0.1  # of the eigenvectors: the table shows how much of the image is in these
_CLEAR = 0.2  # a rank correlation above this is not by chance on some hundreds of pixels
_GENERATED_SIDE = 256


def trials(settings: Ntk) -> list[Trial]:
    """A kernel for the initial weights of every model, or for the initial, last and best of every run."""
    if not settings.runs:
        image = read_image(settings.image) if settings.image else generated_image(_GENERATED_SIDE)
        return [
            Trial(model, _Kernel(settings, image, _Fresh(model, image), True)) for model in settings.models
        ]
    listed = []
    for number, path in enumerate(settings.runs, 1):
        run = load(path)
        if isinstance(run, TiledRun):
            raise InputError(f"--runs {path} has many fields, and a kernel is one field's: leave it out")
        for state in ("initial", "last", "best"):
            build = _Restored(run, state)
            listed.append(
                Trial(
                    f"{number}-{run.settings.model}-{state}",
                    _Kernel(settings, run.image, build, state == "initial"),
                )
            )
    return listed


@dataclass(frozen=True)
class _Fresh:
    """Builds the field that a fit of an image starts from."""

    model: str
    image: Image

    def __call__(self) -> Field:
        height, width, channels = self.image.height, self.image.width, self.image.channels
        scale = ImageStats(width, height, height * width, channels)
        return make_field(resolve(Settings(model=self.model, precision="fp64"), scale), channels)


@dataclass(frozen=True)
class _Restored:
    """Builds the field of a run, with its initial weights or those of a checkpoint."""

    run: Run
    state: str

    def __call__(self) -> Field:
        field = make_field(self.run.settings, self.run.blank_image.channels)
        if self.state != "initial":
            path = self.run.folder.last if self.state == "last" else self.run.folder.best
            load_field(field, read_checkpoint(path), path)
        return field.double()


@dataclass(frozen=True)
class _Kernel:
    settings: Ntk
    image: Image
    build: Callable[[], Field]
    fresh: bool

    def __call__(self) -> Result:
        small = resize_image(self.image, min(self.settings.side, max(self.image.height, self.image.width)))
        field = self.build()
        x = coordinates(small.height, small.width).double()
        if self.fresh:
            field.fit_ranges(x)  # as a fit does before its first step
        low, high = small.value_range
        spectrum = analyse(tangent_kernel(field, x), (small.pixels.astype(np.float64) - low) / (high - low))
        lists = {name: _rounded(getattr(spectrum, name)) for name in ("values", "energy", "cycles")}
        sizes = {"parameters": count_parameters(field), "pixels": small.height * small.width}
        return {**lists, **sizes, "curves": {name: list(enumerate(v, 1)) for name, v in lists.items()}}


def _rounded(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]


def conclude(settings: Ntk, results: dict[str, Result]) -> Findings:
    """Compare spectra, effective ranks, and the share of the image in the first eigenvectors."""
    kernels = {
        key: KernelSpectrum(*(np.array(result[name]) for name in ("values", "energy", "cycles")))
        for key, result in results.items()
    }
    ranks = {key: kernel.effective_rank for key, kernel in kernels.items()}
    listed = ", ".join(f"{key} {rank:.1f}" for key, rank in ranks.items())
    pixels = next(iter(results.values()))["pixels"]
    pictures = [
        Picture(
            "kernels",
            draw_kernels(kernels),
            "Eigenvalues of the tangent kernel, the share of the image in the first eigenvectors, and the "
            "eigenvectors' mean frequency (smoothed).",
        )
    ]
    notes = [
        f"On a regular grid of {pixels} pixels of the image (scaled down by Lanczos), in double precision; "
        "fields as at the start of a fit of the image, one seed. The effective rank is the exponential of "
        "the eigenvalues' entropy (Roy and Vetterli, 2007).",
        "The kernel is that of gradient descent: Adam and Muon, which train these fields, move along other "
        "directions, and the kernel itself changes during training: see --runs.",
        "Where a field's kernel is narrower than the grid's spacing (as for RFF, SIREN and hash grid with "
        "their tuned settings), pixels are nearly independent and eigenvectors have all frequencies: a "
        "larger --side shows more.",
    ]
    cells = [
        [
            "kernel",
            "parameters",
            "effective rank",
            "image in the first tenth",
            "cycles, first tenth",
            "cycles, all",
        ]
    ]
    for key, kernel in kernels.items():
        first = max(1, round(_FIRST * len(kernel.values)))
        cells.append(
            [
                key,
                f"{results[key]['parameters']:,}",
                f"{ranks[key]:.1f}",
                f"{100 * kernel.energy[:first].sum():.1f} %",
                f"{kernel.cycles[:first].mean():.1f}",
                f"{kernel.cycles.mean():.1f}",
            ]
        )
    claims = _claims(kernels, ranks, settings.quick)
    return Findings(
        f"Effective ranks of the tangent kernels on {pixels} pixels: {listed}.",
        claims,
        pictures,
        [Table("Kernels", cells)],
        notes,
    )


def _claims(kernels: dict[str, KernelSpectrum], ranks: dict[str, float], quick: bool) -> list[Claim]:
    claims = []
    if {"kan", "mlp"} <= set(kernels):
        text = "The ReLU MLP's kernel is more concentrated than the KAN's (lower effective rank)"
        measured = f"{ranks['mlp']:.1f} against {ranks['kan']:.1f}"
        claims.append(Claim(text, measured, None if quick else ranks["mlp"] < ranks["kan"]))
    for key, kernel in kernels.items():
        order = np.argsort(np.argsort(kernel.cycles))
        correlation = float(np.corrcoef(np.arange(len(order)), order)[0, 1])
        text = (
            f"{key}: eigenvectors of large eigenvalues are the smoother ones (correlation above {_CLEAR:g})"
        )
        measured = f"rank correlation of number and frequency {correlation:+.2f}"
        claims.append(Claim(text, measured, None if quick else correlation > _CLEAR))
    return claims
