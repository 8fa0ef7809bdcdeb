"""``kanfield spectrum``: the spectra of several runs, and how their convergence depends on frequency."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from kanfield.comparison.plan import LABEL_FILE
from kanfield.comparison.run_spectrum import RunSpectrum
from kanfield.comparison.spectra_figures import draw_convergence, draw_maps, draw_spectra
from kanfield.errors import InputError
from kanfield.images import coordinates
from kanfield.metrics.spectra import Bias, radial_spectrum
from kanfield.monitors.spectrum_log import read_spectrum, window
from kanfield.names import command_line, printable
from kanfield.reports.findings import Findings, Picture, Table
from kanfield.reports.write import check_out, make_folder, write_findings
from kanfield.runs.rendering import evaluate_field
from kanfield.runs.run import Run
from kanfield.tiles.entry import load
from kanfield.tiles.run import picture_of


def find_finished(paths: Sequence[Path]) -> list[Path]:
    """The folders of finished runs.

    Args:
        paths: run folders, and folders such as a comparison's that stand for all finished runs below them.

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
    picture = picture_of(run)
    rows, columns = window(picture.height, picture.width)
    image = picture.window(rows, columns)
    if image is None or image.missing is not None:
        raise InputError(f"{path}: an image with parts missing has no spectrum; leave this run out")
    original = image.to_unit(image.pixels)
    values = _values(run, rows, columns).reshape(original.shape)
    frequencies, energy = radial_spectrum(original)
    return RunSpectrum(
        image=run.image_file.stem,
        label=_comparison_label(path) or run.settings.title,
        path=path,
        frequencies=frequencies,
        original=energy,
        reconstruction=radial_spectrum(values)[1],
        error=radial_spectrum(values - original)[1],
        curve=read_spectrum(run.folder.spectrum),
    )


def _values(run: Run, rows: slice, columns: slice) -> NDArray[np.float64]:
    height, width = run.blank_image.height, run.blank_image.width
    box = columns.start, rows.start, columns.stop, rows.stop
    coords = coordinates(height, width, window=box, shape=(box[3] - box[1], box[2] - box[0]))
    return evaluate_field(run.field, coords.to(next(run.field.parameters()))).double().numpy()


def _comparison_label(path: Path) -> str | None:
    """What a comparison called the model of a run; None for a run outside comparisons."""
    try:
        return (path / LABEL_FILE).read_text(encoding="utf-8").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _disambiguate(spectra: list[RunSpectrum]) -> list[RunSpectrum]:
    """Add the paths of runs outside comparisons to labels that they share with another run of the same image.

    Runs of a comparison that share a label and an image differ by their seeds.
    """
    counts = Counter((s.image, s.label) for s in spectra)
    return [
        replace(s, label=f"{s.label} {s.path}")
        if counts[s.image, s.label] > 1 and _comparison_label(s.path) is None
        else s
        for s in spectra
    ]


def write_spectra(
    paths: Sequence[Path], out: Path | None, console: Console | None = None
) -> tuple[Findings, dict[str, Any], Path]:
    """Draw runs together, and write figures, ``results.json`` and ``report.html``.

    Args:
        paths: see :func:`find_finished`.
        out: the folder of the report; None for a new numbered one under ``spectra``.
        console: where progress is printed, or None.

    Returns:
        The findings, the content of ``results.json``, and the folder.

    Raises:
        InputError: a run cannot be read, or the folder cannot be made; nothing was written.
    """
    check_out(out, "the report")
    spectra, runs = [], find_finished(paths)
    for number, path in enumerate(runs, 1):
        spectra.append(measure(path))
        if console is not None:
            console.print(Text(printable(f"[{number}/{len(runs)}] {path}")), soft_wrap=True)
    spectra = _disambiguate(spectra)
    spectra.sort(key=lambda s: s.curve is None)  # a model has one colour in all figures
    findings = _findings(spectra)
    folder = make_folder(out, Path("spectra"))
    content = {"runs": [_plain(s) for s in spectra]}
    command = command_line("kanfield", "spectrum", *paths)
    results = write_findings(folder, findings, title="Spectra of runs", command=command, content=content)
    return findings, results, folder


def _findings(spectra: Sequence[RunSpectrum]) -> Findings:
    pictures = [
        Picture(
            "spectra",
            draw_spectra(spectra),
            "Mean energy on rings of frequency: of the image, of reconstructions and of their errors.",
        )
    ]
    logged = [s for s in spectra if s.curve is not None]
    notes = [
        "Spectra are taken under a Hann window; of an image of more than 65,536 pixels, its central part of "
        "as many. The error is that of the float output on all pixels, unseen ones too.",
        "The bias is the slope of the step at which a band is 90 % learned (a tenth of its energy left in "
        "the error) against frequency, both in logarithms: 0 is none, 1 means that twice the frequency takes "
        "twice the steps. It is fitted to the bands that were learned; it depends on the optimiser, on "
        "rates and on the image as much as on the field, and does not tell how small the error becomes.",
    ]
    if len(logged) < len(spectra):
        rest = [str(s.path) for s in spectra if s.curve is None]
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


def _by_label(spectra: Sequence[RunSpectrum]) -> Iterator[tuple[str, list[float | None]]]:
    for label in dict.fromkeys(s.label for s in spectra):
        biases = [s.bias for s in spectra if s.label == label]
        yield label, [None if bias is None else bias.slope for bias in biases]


def _mean(slopes: Sequence[float | None]) -> str:
    """Mean and spread; unknown where a slope is, since means over other images do not compare."""
    known = [slope for slope in slopes if slope is not None]
    if len(known) < len(slopes):
        return "unknown"
    spread = f" ± {statistics.stdev(known):.2f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.2f}{spread}"


def _table(spectra: Sequence[RunSpectrum]) -> Table:
    images = list(dict.fromkeys(s.image for s in spectra))
    cells = [["model", *images, "mean", "bands learned"]]
    for label, slopes in _by_label(spectra):
        biases = [(s.image, s.bias) for s in spectra if s.label == label and s.bias is not None]
        line = [", ".join(_format_bias(b) for name, b in biases if name == image) or "–" for image in images]
        learned = f"{sum(b.learned for _, b in biases)} of {sum(b.bands for _, b in biases)}"
        cells.append([label, *line, _mean(slopes), learned])
    return Table("Bias to low frequencies (± standard error of the fit)", cells)


def _format_bias(bias: Bias) -> str:
    return "–" if bias.slope is None else f"{bias.slope:.2f} ± {bias.error:.2f}"


def _plain(spectrum: RunSpectrum) -> dict[str, object]:
    arrays = ("frequencies", "original", "reconstruction", "error")
    return {
        "image": spectrum.image,
        "label": spectrum.label,
        "run": str(spectrum.path),
        **{name: [float(f"{value:.6g}") for value in getattr(spectrum, name)] for name in arrays},
        "convergence": None if spectrum.curve is None else spectrum.curve.summary(),
    }
