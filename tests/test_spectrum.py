"""``--spectrum`` while fitting, and ``kanfield spectrum``: what is logged, drawn and refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kanfield import fit, load
from kanfield.cli import main
from kanfield.images import Image
from kanfield.metrics.spectra import Bands
from kanfield.monitors.spectrum_figure import spectrum_figure
from kanfield.monitors.spectrum_log import SpectrumCurve, SpectrumLog, logged_steps, read_spectrum, window
from kanfield.monitors.tensorboard import TensorBoardLog

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = {
    "options": {"widths": [8, 8], "grids": [16, 4, 4]},
    "batch_size": 256,
    "threads": 1,
    "steps": 60,
}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two pictures with something in every octave."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for name, size in (("a", (32, 40)), ("b", (40, 32))):
        rows, columns = np.mgrid[: size[0], : size[1]]
        values = 128 + 60 * np.sin(rows / 5) * np.cos(columns / 6) + 20 * rng.standard_normal(size)
        PILImage.fromarray(values.clip(0, 255).astype(np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def runs(pictures, tmp_path_factory, no_edge_figures):
    """A run on each picture with the spectrum, and one without."""
    out = tmp_path_factory.mktemp("runs")
    with_spectrum = [fit(pictures / f"{n}.png", out=out, spectrum=True, **SMALL) for n in "ab"]
    return [*with_spectrum, fit(pictures / "a.png", out=out, **SMALL)]


@pytest.mark.slow
def test_training_is_the_same_to_the_bit(runs):
    watched, plain = runs[0], runs[2]
    for name, weight in watched.field.state_dict().items():
        assert (weight == plain.field.state_dict()[name]).all()
    assert plain.metrics["spectrum"] is None and not (plain.path / "spectrum.csv").exists()


def test_what_a_run_logs(runs):
    run = runs[0]
    curve, bands = read_spectrum(run.path / "spectrum.csv"), Bands(32, 40)
    assert curve.edges == bands.edges
    assert curve.steps[0] == 1 and curve.steps[-1] == 60 and curve.steps == sorted(set(curve.steps))
    assert (curve.errors[-1, :2] < curve.errors[0, :2]).all()  # noise takes longer
    found = run.metrics["spectrum"]
    assert found["bands"] == [list(pair) for pair in zip(bands.edges[:-1], bands.edges[1:], strict=True)]
    assert found["error"] == curve.errors[-1].tolist() and len(found["learned_at"]) == len(found["bands"])
    board = EventAccumulator(str(run.path), size_guidance={"scalars": 0}).Reload()
    scalars = [e.value for e in board.Scalars("spectrum/1/4-1/2 cycles per pixel")]
    assert scalars == pytest.approx(curve.errors[:, -1])
    assert board.Images("spectrum")
    with PILImage.open(run.path / "spectrum.png") as picture:
        assert picture.width > 600


def test_the_last_look_is_the_error_of_the_last_weights(runs):
    run, curve = runs[0], read_spectrum(runs[0].path / "spectrum.csv")
    if run.metrics["best_step"] != curve.steps[-1]:
        pytest.skip("the best weights are others")
    values = run.image.pixels.astype(float) / 255
    drawn = run.render().pixels.astype(float) / 255  # rounded to 8 bits, which is noise far below the error
    bands = Bands(32, 40)
    assert bands.energies(drawn - values) / bands.energies(values) == pytest.approx(
        curve.errors[-1], rel=0.05
    )


def test_large_images_are_looked_at_in_their_middle(tmp_path):
    rng = np.random.default_rng(0)
    PILImage.fromarray(rng.integers(0, 255, (300, 320), np.uint8)).save(tmp_path / "large.png")
    run = fit(tmp_path / "large.png", out=tmp_path, spectrum=True, **{**SMALL, "steps": 20})
    curve = read_spectrum(run.path / "spectrum.csv")
    rows, columns = window(300, 320)
    assert curve.edges == Bands(rows.stop - rows.start, columns.stop - columns.start).edges
    assert curve.steps[0] == 1 and curve.steps[-1] == 20
    assert (rows.stop - rows.start) * (columns.stop - columns.start) <= 65536


def test_looks_cost_little():
    for steps, cost, last in ((2400, 10.7, 210), (6000, 10.7, 6000), (20_000, 10.7, 210)):
        looks = logged_steps(steps, cost, last)
        assert len(looks) * cost <= 0.05 * steps and max(looks) == last and min(looks) == 1


@pytest.mark.slow
def test_runs_together(runs, tmp_path, capsys):
    paths = [str(run.path) for run in runs]
    main(["spectrum", *paths, "--out", str(tmp_path / "s")])
    said = capsys.readouterr().out
    results = json.loads((tmp_path / "s" / "results.json").read_text())
    assert [entry["image"] for entry in results["runs"]] == ["a", "b", "a"]
    first = results["runs"][0]
    assert first["convergence"]["bias"] == pytest.approx(runs[0].metrics["spectrum"]["bias"])
    assert sum(first["error"]) < sum(first["original"])
    assert results["runs"][2]["convergence"] is None
    assert any("--spectrum" in note and paths[2] in note for note in results["notes"])
    report = (tmp_path / "s" / "report.html").read_text()
    assert report.count("<svg") == 3 and "kan-0001" in said
    names = {path.name for path in (tmp_path / "s" / "figures").iterdir()}
    assert names == {f"{n}.{s}" for n in ("spectra", "convergence", "heat-maps") for s in ("png", "pdf")}


@pytest.mark.slow
def test_runs_without_the_log_give_spectra_alone(runs, tmp_path, capsys):
    main(["spectrum", str(runs[2].path), "--out", str(tmp_path / "s")])
    assert "No run was fitted with --spectrum" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "s" / "figures").glob("*.png")] == ["spectra.png"]


@pytest.mark.slow
def test_a_folder_stands_for_the_runs_below_it(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(["spectrum", str(runs[0].path.parent.parent)])
    main(["spectrum", str(runs[0].path)])
    assert len(json.loads(Path("spectra/0001/results.json").read_text())["runs"]) == 3
    assert Path("spectra/0002/report.html").is_file()


@pytest.mark.slow
def test_a_comparison_passes_it_on_and_tells_the_bias(pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "--models",
        "siren",
        "mlp",
        "--steps",
        "30",
        "--batch-size",
        "256",
        "--threads",
        "1",
        "--spectrum",
    ]
    main(["compare", str(pictures / "a.png"), *words, "--out", "c"])
    rows = json.loads(Path("c/compare.json").read_text())["rows"]
    assert all(row["spectrum"]["bands"] for row in rows)
    assert "--spectrum" in Path("c/report.html").read_text()
    main(["spectrum", "c", "--out", "s"])
    assert [one["label"] for one in json.loads(Path("s/results.json").read_text())["runs"]] == [
        "mlp",
        "siren",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["spectrum"], "which runs?"),
        (["spectrum", "nowhere"], "nowhere is no run and holds no finished one"),
        (["spectrum", "RUN", "--out", "there"], "--out there holds files already"),
        (["spectrum", "RUN", "--out", "there/report.html"], "is a file"),
        (["spectrum", "begun"], "begun is unfinished: go on with"),
        (["spectrum", "RUN", "--quiet", "--out", "there/report.html/deeper"], "no folder can be made there"),
        (["spectrum", "torn"], "spectrum.csv is damaged"),
        (["fit", "A", "--spectrum", "--mask", "A"], "--spectrum and --mask contradict"),
        (["fit", "tiny.png", "--spectrum"], "--spectrum: a spectrum needs a side of 8 pixels, got 5 x 6"),
    ],
)
def test_mistakes_are_one_line(words, message, runs, pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("there/report.html").touch()
    shutil.copytree(runs[0].path, "begun")
    Path("begun/metrics.json").unlink()
    shutil.copytree(runs[0].path, "torn")
    Path("torn/spectrum.csv").write_text("step,seconds,1/4-1/2\n1,0.5,no number\n")
    PILImage.fromarray(np.arange(30, dtype=np.uint8).reshape(5, 6)).save("tiny.png")
    names = {"RUN": str(runs[0].path), "A": str(pictures / "a.png")}
    with pytest.raises(SystemExit) as end:
        main([names.get(word, word) for word in words])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1
    assert not Path("runs").exists() and not Path("spectra").exists()


def test_eval_keeps_the_spectrum(runs, capsys):
    main(["eval", str(runs[0].path), "--json"])
    assert json.loads(capsys.readouterr().out)["spectrum"] == load(runs[0].path).metrics["spectrum"]


def test_the_spectrum_of_a_long_thin_image_is_read_back(tmp_path):
    rng = np.random.default_rng(0)
    image = Image(rng.integers(0, 255, (1, 40_000, 1), np.uint8), "L")
    path, bands = tmp_path / "spectrum.csv", Bands(1, 40_000)
    (tmp_path / "events").mkdir()
    log = SpectrumLog(image, path, TensorBoardLog(tmp_path / "events", {}, None), None, 60, 256, None)
    log.log(1, 0.5, np.zeros(40_000))
    log.close()
    curve = read_spectrum(path)
    assert curve.edges == bands.edges and curve.errors.shape == (1, len(bands.names))


@pytest.mark.filterwarnings("error")
def test_a_figure_of_a_single_step(tmp_path):
    spectrum_figure(SpectrumCurve(Bands(16, 16).edges, [1], [0.1], np.array([[0.5, 1.0]]))).savefig(
        tmp_path / "a.png"
    )
