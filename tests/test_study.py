"""The frame of studies: folders, resumption, what is written, and every study's quick form."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
import signal
from pathlib import Path

import pytest
import torch
import yaml

from kanfield.cli import main
from kanfield.errors import InputError, Interrupted
from kanfield.reports.figures import add_legend, apply_theme, new_figure
from kanfield.studies import runner
from kanfield.studies.catalogue import STUDIES
from kanfield.studies.conditioning.settings import Conditioning
from kanfield.studies.ntk.settings import Ntk
from kanfield.studies.report import command
from kanfield.studies.runner import begin, run_study
from kanfield.studies.settings import from_plain, resolve_settings, to_plain
from kanfield.studies.waves import study as waves_study
from kanfield.studies.waves.settings import Waves

TINY = Waves(models=("kan", "mlp"), amplitudes=("equal",), steps=20, repeats=1, mlp_width=8, mlp_depth=2)


def tiny(**changes):
    return dataclasses.replace(TINY, **changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "waves"
    return run_study(begin(tiny(out=folder)))[2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", STUDIES.values(), ids=STUDIES.keys())
def test_quick_runs_on_the_real_code_path(kind, tmp_path, capsys):
    main(["study", kind.NAME, "--quick", "--out", str(tmp_path / "out")])
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["study"] == kind.NAME and results["settings"]["quick"] is True
    assert results["claims"] and results["trials"] and results["summary"]
    report = (tmp_path / "out" / "report.html").read_text()
    figures = list((tmp_path / "out" / "figures").glob("*.png"))
    assert figures and report.count("<svg") == len(figures)
    assert {p.with_suffix(".pdf") for p in figures} == set((tmp_path / "out" / "figures").glob("*.pdf"))
    assert all(path.stat().st_size > 5000 for path in figures)
    assert list((tmp_path / "out" / "tensorboard" / "figures").glob("events*"))
    assert results["summary"] in capsys.readouterr().out


def test_quick_is_smaller_and_flags_beat_it():
    for kind in STUDIES.values():
        assert set(kind.QUICK) <= set(to_plain(kind())), kind.NAME
        assert resolve_settings(kind(quick=True)) != kind(quick=True), kind.NAME
    assert resolve_settings(Waves(quick=True, repeats=3)).repeats == 3


def test_settings_survive_the_file():
    assert from_plain(Waves, yaml.safe_load(yaml.safe_dump(to_plain(tiny(lr=0.5))))) == tiny(lr=0.5)
    ntk = Ntk(runs=(Path("/a"), Path("/b")))
    assert from_plain(Ntk, yaml.safe_load(yaml.safe_dump(to_plain(ntk)))) == ntk
    with pytest.raises(InputError, match="unknown key 'colour'"):
        from_plain(Waves, {"colour": 3})


def test_the_command_of_a_report_repeats_it():
    settled = resolve_settings(Waves(quick=True, as_published=True))
    assert command(settled) == "kanfield study waves --quick --as-published"
    assert "--mlp-width 8" in command(tiny())


def test_legends_are_not_wider_than_their_figure():
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure, axes = new_figure(4, 3)
    for number in range(6):
        axes.plot([0, 1], [0, number], label=f"a field of number {number}")
    add_legend(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box = figure.legends[0].get_window_extent(canvas.get_renderer())
    assert box.x0 >= 0 and box.x1 <= canvas.get_width_height()[0]


def test_logarithmic_axes_show_two_powers_and_label_nothing_else():
    figure, (narrow, wide, own) = new_figure(6, 3, 1, 3)
    for axes, values in ((narrow, [5.9e-6, 6.6e-6]), (wide, [1e-4, 1e-1]), (own, [3, 5])):
        axes.plot(values, [1, 2])
        axes.set_xscale("log", base=2 if axes is own else 10)
    before = wide.get_xlim(), own.get_xlim()
    apply_theme(figure)
    assert narrow.get_xlim() == pytest.approx((1e-6, 1e-5)) and (wide.get_xlim(), own.get_xlim()) == before
    figure.draw_without_rendering()
    assert not any(label.get_text() for axes in (narrow, wide) for label in axes.get_xticklabels(minor=True))


def test_a_study_leaves_everything(done):
    results = json.loads((done / "results.json").read_text())
    assert set(results["trials"]) == {"kan-equal-00", "mlp-equal-00"}
    assert results["machine"]["torch"]
    events = list((done / "tensorboard" / "kan-equal-00").glob("events*"))
    assert len(events) == 1
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(events[0])).Reload()
    scalars = [event.value for event in board.Scalars("amplitude/05 Hz")]
    saved = [row[0] for row in results["trials"]["kan-equal-00"]["recovered"]]
    assert scalars == pytest.approx(saved)


@pytest.mark.slow
def test_resuming_computes_only_what_is_missing(done, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(done, folder)
    kept, lost = folder / "trials" / "kan-equal-00.json", folder / "trials" / "mlp-equal-00.json"
    before, content = kept.stat().st_mtime_ns, json.loads(lost.read_text())
    lost.write_text("{ half a fi")
    (folder / "results.json").unlink()
    run_study(begin(Waves(resume=folder)))
    assert kept.stat().st_mtime_ns == before
    assert json.loads(lost.read_text())["result"] == content["result"]
    assert json.loads((folder / "results.json").read_text())["trials"]["mlp-equal-00"] == content["result"]


@pytest.mark.slow
def test_folders_are_numbered_and_never_used_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = begin(tiny(models=("kan",), amplitudes=("equal",), steps=1))
    assert not Path("studies").exists()
    assert run_study(settings)[2] == Path("studies/waves-0001")
    assert run_study(settings)[2] == Path("studies/waves-0002")
    quick = dataclasses.replace(settings, quick=True)
    assert run_study(quick)[2] == Path("studies/waves-quick-0001")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["waves", "--out", "DONE"], "holds a study: go on with kanfield study waves --resume"),
        (["waves", "--out", "DONE/study.yaml"], "is a file: give a folder"),
        (["conditioning", "--quick", "--out", "DONE/study.yaml/deeper"], "no folder can be made there"),
        (["waves", "--resume", "nowhere"], "is no study, it has no study.yaml"),
        (["conditioning", "--resume", "DONE"], "holds the study waves: kanfield study waves --resume"),
        (["waves", "--resume", "DONE", "--steps", "5"], "leave out the other options"),
        (["waves", "--steps", "-5"], "--steps -5 is impossible"),
        (["waves", "--models", "sirn"], "did you mean siren"),
        (["waves", "--amplitudes", "rising"], "--amplitudes rising is unknown"),
        (["waves", "--repeats", "0"], "--repeats 0 is impossible"),
        (["waves", "--models", "kan", "kan"], "--models kan kan: one is named twice"),
        (["ntk", "--image", "no.png"], "no.png"),
        (["grid-extension", "--image", "no.png", "--size", "32"], "no.png"),
        (["wavs"], "unknown study 'wavs'; did you mean waves?"),
        (["fourier"], "unknown study 'fourier'; known: waves, random-field"),
        ([], "which study? its name follows 'kanfield study': waves"),
        (["waves", "--threads", "0"], "--threads 0 is impossible"),
        (["waves", "--resume", "DONE", "--out", "x"], "leave out the other options"),
        (["waves", "--steps", "ten"], "Error parsing --steps: 'ten' is not a whole number"),
    ],
)
def test_mistakes_are_one_line(words, message, done, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("no.png").write_text("no picture")
    with pytest.raises(SystemExit) as end:
        main(["study", *(word.replace("DONE", str(done)) for word in words)])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1
    assert not (tmp_path / "studies").exists(), "a mistake must leave nothing behind"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- no\n", "is damaged"),
        ("- [no\n", "is damaged"),
        ("study: nonsense\n", "is damaged (it names no study)"),
        ("study: waves\nsteps: many\n", "steps: 'many' is not what belongs there (a whole number)"),
        ("study: waves\nmodels: kan\n", "models: 'kan' is not what belongs there (a list of texts)"),
        ("study: waves\nstepz: 3\n", "unknown key 'stepz'; did you mean steps?"),
        ("study: waves\nsteps: -4\n", "--steps -4 is impossible"),
    ],
)
def test_a_damaged_file_is_told(content, message, tmp_path, capsys):
    (tmp_path / "study.yaml").write_text(content)
    with pytest.raises(SystemExit) as end:
        main(["study", "waves", "--resume", str(tmp_path)])
    error = capsys.readouterr().err
    assert end.value.code == 2 and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "content", ['{"seconds": 1, "result": 3}', '{"seconds": "x", "result": {}}', "[]", "{ half a fi"]
)
@pytest.mark.slow
def test_a_damaged_trial_is_computed_again(done, tmp_path, content):
    shutil.copytree(done, tmp_path / "copy")
    trial = tmp_path / "copy/trials/kan-equal-00.json"
    before = json.loads(trial.read_text())["result"]
    trial.write_text(content)
    run_study(begin(Waves(resume=tmp_path / "copy")))
    assert json.loads(trial.read_text())["result"] == before


@pytest.mark.slow
def test_json_quiet_and_threads(tmp_path, capsys):
    words = shlex.split("--models kan --amplitudes equal --steps 5 --repeats 1")
    main(["study", "waves", *words, "--out", str(tmp_path / "a"), "--threads", "1", "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads((tmp_path / "a/results.json").read_text())
    assert "[1/1] kan-equal-00" in printed.err
    assert json.loads(printed.out)["machine"]["threads"] == 1
    main(["study", "waves", "--resume", str(tmp_path / "a"), "--quiet"])
    assert capsys.readouterr() == ("", "")
    main(["study", "waves", "--resume", str(tmp_path / "a"), "--quiet", "--json"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["study"] == "waves" and printed.err == ""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.slow
def test_interrupted_and_resumed(number, code, tmp_path, monkeypatch, capsys):
    original, written = runner.write_json, []

    def write_and_interrupt(path, content):
        original(path, content)
        written.append(path)
        if len(written) == 2:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(runner, "write_json", write_and_interrupt)
    words = ["waves", "--models", "kan", "--amplitudes", "equal", "--steps", "5", "--repeats", "4"]
    with pytest.raises(SystemExit) as end:
        main(["study", *words, "--out", str(tmp_path / "s")])
    said = capsys.readouterr().err
    assert end.value.code == code
    assert "Traceback" not in said and f"--resume {tmp_path / 's'}" in said.strip().splitlines()[-1]
    assert set((tmp_path / "s/trials").glob("*.json")) == set(written)
    main(["study", "waves", "--resume", str(tmp_path / "s")])
    assert len([path for path in written if path.parent.name == "trials"]) == 4  # none was computed twice


def test_a_hangup_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with runner._interruptible("again"):
            os.kill(os.getpid(), signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        with pytest.raises(Interrupted, match="again"), runner._interruptible("again"):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_trials_leave_the_caller_s_generator_and_draw_from_a_seed(done):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    kan, _ = waves_study.trials(resolve_settings(TINY))
    stored = json.loads((done / "trials/kan-equal-00.json").read_text())["result"]
    assert kan.compute()["recovered"] == stored["recovered"]
    assert torch.equal(torch.get_rng_state(), before)


def test_the_default_of_a_study_without_options_is_complete():
    assert resolve_settings(Conditioning()) == Conditioning()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["random-field", "--sigmas"], "--sigmas names none"),
        (["random-field", "--grids"], "--grids names none"),
        (["random-field", "--sigmas", "0.01"], "--sigmas 0.01 is too fine"),
        (["random-field", "--dimensions", "4"], "too many modes"),
        (["scaling", "--grids"], "--grids names none"),
        (["poisson-1d", "--frequencies"], "--frequencies names none"),
        (["poisson-1d", "--frequencies", "3"], "give even numbers"),
        (["poisson-1d", "--points", "1"], "--points 1 is too few"),
        (["conditioning", "--grids", "5"], "--grids: give two or more"),
    ],
)
def test_impossible_numbers_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["study", *words])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())
