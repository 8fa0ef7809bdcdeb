"""``kanfield spectrum``: several runs' spectra, and how their convergence depends on frequency, together."""

from __future__ import annotations

import itertools
import shlex
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kanfield.comparison.run_spectrum import RunSpectrum
from kanfield.comparison.spectra_figures import draw_convergence, draw_maps, draw_spectra
from kanfield.errors import InputError
from kanfield.metrics.spectra import Bias, radial_spectrum
from kanfield.monitors.spectrum_log import pixels_of, read_spectrum, window
from kanfield.reports.findings import Findings, Picture, Table
from kanfield.reports.write import make_folder, write_findings
from kanfield.runs.rendering import evaluate_field
from kanfield.runs.run import Run, load
from kanfield.training.target import Target


def find_finished(paths: Sequence[Path]) -> list[Path]:
    """Run folders: those named, and all finished ones below a folder that is none, such as a comparison.

    Raises:
        InputError: a folder holds none, or a run is unfinished.
    """
    found: list[Path] = []
    for path in paths:
        if (path / "config.yaml").is_file():
            load(path).folder.read_metrics()
            found.append(path)
            continue
        below = sorted(
            file.parent for file in path.rglob("metrics.json") if (file.parent / "config.yaml").is_file()
        )
        if not below:
            raise InputError(f"{path} is no run and holds no finished one: kanfield runs lists them")
        found += below
    return list(dict.fromkeys(found))


def measure(path: Path) -> RunSpectrum:
    """Spectra of a run's best weights and of its image."""
    run = load(path)
    if run.settings.mask is not None:
        raise InputError(f"{path} was fitted with --mask: an image with parts missing has no spectrum")
    rows, columns = window(run.image.height, run.image.width)
    original = run.image.to_unit(run.image.pixels[rows, columns])
    values = _values(run, rows, columns).reshape(original.shape)
    frequencies, energy = radial_spectrum(original)
    name = run.image.source.stem if run.image.source else "image"
    return RunSpectrum(
        image=name,
        label=_label(run),
        path=path,
        frequencies=frequencies,
        original=energy,
        reconstruction=radial_spectrum(values)[1],
        error=radial_spectrum(values - original)[1],
        curve=read_spectrum(run.folder.spectrum),
    )


def _values(run: Run, rows: slice, columns: slice) -> NDArray[np.float64]:
    target = Target(run.image, next(run.field.parameters()))
    coords = target.coordinates(pixels_of(run.image.width, rows, columns))
    return evaluate_field(run.field, coords).double().numpy()


def _label(run: Run) -> str:
    """What a comparison calls the model of a run; elsewhere the family, with the KAN's preset."""
    parents = run.path.resolve().parents
    if len(parents) > 2 and parents[1].name.startswith("seed-"):
        return parents[2].name
    return " ".join([run.settings.model, *([run.settings.preset] if run.settings.preset else [])])


def _disambiguate(spectra: list[RunSpectrum]) -> list[RunSpectrum]:
    """Runs outside comparisons that share image and label get their paths beside it."""
    plain = [one for one in spectra if not one.path.resolve().parents[1].name.startswith("seed-")]
    counts = Counter((one.image, one.label) for one in plain)
    twice = {one.path for one in plain if counts[one.image, one.label] > 1}
    return [replace(one, label=f"{one.label} {one.path}") if one.path in twice else one for one in spectra]


def choose_folder(out: Path | None) -> Path:
    """Where the report goes: ``out``, or a new numbered folder.

    Raises:
        InputError: ``out`` is a file, or holds a report.
    """
    if out is None:
        return next(path for n in itertools.count(1) if not (path := Path("spectra") / f"{n:04d}").exists())
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: give a folder for the report")
    if (out / "report.html").exists():
        raise InputError(f"--out {out} holds a report: give another folder")
    return out


def write_spectra(paths: Sequence[Path], folder: Path) -> Findings:
    """Draw runs together, and write figures, ``results.json`` and ``report.html``.

    Args:
        paths: see :func:`find_finished`. folder: from :func:`choose_folder`.

    Raises:
        InputError: a run cannot be read, or no folder can be made there; nothing was written.
    """
    spectra = _disambiguate([measure(path) for path in find_finished(paths)])
    spectra.sort(key=lambda one: one.curve is None)  # a model has one colour in all figures
    findings = _findings(spectra)
    make_folder(folder)
    content = {"runs": [_plain(one) for one in spectra]}
    command = shlex.join(["kanfield", "spectrum", *map(str, paths)])
    write_findings(folder, findings, title="Spectra of runs", command=command, content=content)
    return findings


def _findings(spectra: Sequence[RunSpectrum]) -> Findings:
    pictures = [
        Picture(
            "spectra",
            draw_spectra(spectra),
            "Mean energy on rings of frequency: of the image, of reconstructions and of their errors.",
        )
    ]
    logged = [one for one in spectra if one.curve is not None]
    notes = [
        "Spectra are taken under a Hann window; of an image of more than 65,536 pixels its central window of "
        "as many is looked at. The error is that of the float output on all pixels, unseen ones too.",
        "The bias is the slope of the step at which a band is 90 % learned (a tenth of its energy left in "
        "the error) against frequency, both in logarithms: 0 is none, 1 means that twice the frequency takes "
        "twice the steps. It is fitted to the bands that were learned; it depends on the optimiser, on "
        "rates and on the image as much as on the field, and says nothing of the error in the end.",
    ]
    if len(logged) < len(spectra):
        rest = [str(one.path) for one in spectra if one.curve is None]
        notes.append(f"Without kanfield fit --spectrum, so only in the first figure: {', '.join(rest)}.")
    if not logged:
        return Findings(
            "No run was fitted with --spectrum: there are spectra, and no convergence.",
            [],
            pictures,
            [],
            notes,
        )
    pictures += [
        Picture(
            "convergence",
            draw_convergence(logged),
            "The step at which a band is 90 % learned against its frequency, with the fitted slope.",
        ),
        Picture(
            "heat-maps",
            draw_maps(logged),
            "The error as a share of the band's energy, band by band and step by step.",
        ),
    ]
    means = ", ".join(f"{label} {_mean(slopes)}" for label, slopes in _by_label(logged))
    summary = f"Bias to low frequencies, mean over images and seeds (± standard deviation): {means}."
    return Findings(summary, [], pictures, [_table(logged)], notes)


def _by_label(spectra: Sequence[RunSpectrum]) -> Iterator[tuple[str, list[float]]]:
    for label in dict.fromkeys(one.label for one in spectra):
        found = [one.bias for one in spectra if one.label == label]
        yield label, [each.slope for each in found if each is not None and each.slope is not None]


def _mean(slopes: Sequence[float]) -> str:
    if not slopes:
        return "unknown"
    spread = f" ± {statistics.stdev(slopes):.2f}" if len(slopes) > 1 else ""
    return f"{statistics.mean(slopes):.2f}{spread}"


def _table(spectra: Sequence[RunSpectrum]) -> Table:
    images = list(dict.fromkeys(one.image for one in spectra))
    cells = [["model", *images, "mean", "bands learned"]]
    for label, slopes in _by_label(spectra):
        mine = [one for one in spectra if one.label == label]
        found = [(one.image, one.bias) for one in mine if one.bias is not None]
        line = [", ".join(_format_bias(b) for name, b in found if name == image) or "–" for image in images]
        learned = f"{sum(b.learned for _, b in found)} of {sum(b.bands for _, b in found)}"
        cells.append([label, *line, _mean(slopes), learned])
    return Table("Bias to low frequencies (± standard error of the fit)", cells)


def _format_bias(found: Bias) -> str:
    return "–" if found.slope is None else f"{found.slope:.2f} ± {found.error:.2f}"


def _plain(one: RunSpectrum) -> dict[str, object]:
    arrays = ("frequencies", "original", "reconstruction", "error")
    return {
        "image": one.image,
        "label": one.label,
        "run": str(one.path),
        **{name: [float(f"{v:.6g}") for v in getattr(one, name)] for name in arrays},
        "convergence": None if one.curve is None else one.curve.summary(),
    }
