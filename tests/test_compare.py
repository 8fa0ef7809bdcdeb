"""``kanfield compare``: the plan, fits in processes of their own, resumption, tables and the report."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import absent, chromium, refused
from PIL import Image as PILImage

from kanfield.cli import main
from kanfield.cli.printing import print_tables
from kanfield.comparison.charts import Curve, psnr_chart
from kanfield.comparison.compare import begin, resume
from kanfield.comparison.equal_parameters import count_parameters, match_parameters
from kanfield.comparison.pictures import crop, worst_error_crop
from kanfield.comparison.plan import Plan, expand, lock_plan, read_plan, write_plan
from kanfield.comparison.report import _spread, command
from kanfield.comparison.results import Comparison, terminal_tables
from kanfield.comparison.spectra import measure
from kanfield.comparison.spectra_figures import draw_spectra
from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.reports.figures import to_svg
from kanfield.training.fit import fit


def write_pictures(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:20, :24]
    gray = 128 + 60 * np.sin(rows / 3) * np.cos(columns / 4)
    colour = np.stack([gray, gray.T[:20, :20].repeat(2, 1)[:, :24], rng.integers(0, 255, gray.shape)], 2)
    paths = [folder / "gray.png", folder / "colour.png"]
    for path, pixels in zip(paths, (gray, colour), strict=True):
        PILImage.fromarray(pixels.astype(np.uint8)).save(path)
    return paths


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of two pictures, a family, a settings file and a family that is not there."""
    folder = tmp_path_factory.mktemp("compared")
    write_pictures(folder)
    (folder / "wide.yaml").write_text("model: mlp\noptions: {widths: [40], activation: gelu}\nlr: 2e-3\n")
    words = ["--models", "siren", "wide.yaml", "tcnn-mlp", "--steps", "12", "--held-out", "checkerboard"]
    command = [
        sys.executable,
        "-m",
        "kanfield",
        "compare",
        "gray.png",
        "colour.png",
        *words,
        "--threads",
        "1",
    ]
    done = subprocess.run(
        [*command, "--out", "out", "--json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "out", json.loads(done.stdout), done.stderr


@pytest.mark.slow
def test_there_is_a_row_for_every_fit_with_all_its_metrics(compared):
    folder, content, _ = compared
    assert content == json.loads((folder / "compare.json").read_text())
    rows = content["rows"]
    assert [(r["image"], r["label"], r["model"]) for r in rows] == [
        (image, label, model)
        for image in ("gray", "colour")
        for label, model in (("siren", "siren"), ("wide", "mlp"), ("tcnn-mlp", "tcnn-mlp"))
    ]
    for row in rows:
        if row["model"] == "tcnn-mlp":
            assert "not available here" in row["error"] and "psnr" not in row
            continue
        metrics = json.loads((folder.parent / row["run"] / "metrics.json").read_text())
        assert {key: row[key] for key in metrics} == metrics
        assert row["steps"] == 12 and row["held_out_psnr"] is not None and row["threads"] == 1
        assert row["peak_memory_bytes"] > 1e7


@pytest.mark.slow
def test_settings_and_machine_stand_beside_the_rows(compared):
    _, content, _ = compared
    told = content["settings"]
    assert told["steps"] == 12 and told["held_out"] == "checkerboard"
    assert told["fits"]["wide"]["colour"]["options"] == {"widths": [40], "activation": "gelu"}
    assert told["fits"]["siren"]["gray"]["optimizer"] in ("adam", "muon")
    assert content["machine"]["torch"] and content["machine"]["threads"] >= 1


@pytest.mark.slow
def test_the_csv_holds_the_same_rows(compared):
    folder, content, _ = compared
    with open(folder / "compare.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, expected in zip(rows, content["rows"], strict=True):
        assert row["label"] == expected["label"]
        assert row["psnr"] == str(expected.get("psnr", ""))


@pytest.mark.slow
def test_progress_tells_of_every_fit_and_of_failures(compared):
    _, _, said = compared
    assert re.search(r"\[1/6\] gray, siren, seed 0: \d+\.\d\d dB, unseen \d+\.\d\d dB, 12 steps in", said)
    assert "[3/6] gray, tcnn-mlp, seed 0: failed: --model tcnn-mlp is not available here" in said


@pytest.mark.slow
def test_a_finished_comparison_is_not_run_again(compared, capsys):
    folder, _, _ = compared
    runs = {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")}
    assert len(runs) == 4
    main(["compare", "--resume", str(folder)])
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")} == runs
    shown = capsys.readouterr().out
    assert re.search(r"^siren +\d+\.\d\d +\d+\.\d\d ", shown, re.M) and "PSNR (unseen)" in shown


@pytest.mark.slow
def test_the_report_is_one_file_and_shows_everything(compared):
    folder, _, _ = compared
    page = (folder / "report.html").read_text()
    assert "siren, wide, tcnn-mlp on gray, colour" in page
    assert "tcnn-mlp failed in 2 of 2 fits" in page
    sources = re.findall(r'(?:src|href)="([^"]{1,40})', page)
    assert sources and all(source.startswith(("data:image/png;base64,", "#")) for source in sources)
    assert page.count("<svg") == 4 and "currentColor" in page and "var(--series-0)" in page
    assert "activation: gelu" in page
    assert re.search(r"kanfield compare \S*/gray.png \S*/colour.png --models siren \S*/wide.yaml", page)


@pytest.mark.slow
@pytest.mark.needs("Chromium")
@pytest.mark.parametrize(("scheme", "dark"), [(1, False), (0, True)])
def test_a_browser_shows_the_report_in_light_and_dark_and_on_a_phone(compared, tmp_path, scheme, dark):
    folder, _, _ = compared
    for width in (1200, 500):
        shot = tmp_path / f"{width}.png"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        flags += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        flags += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1600"]
        flags += [f"--blink-settings=preferredColorScheme={scheme}", f"--screenshot={shot}"]
        page = (folder / "report.html").as_uri()
        subprocess.run([chromium(), *flags, page], check=True, capture_output=True, timeout=120)
        pixels = np.asarray(PILImage.open(shot).convert("L"))
        assert (pixels[-1, 2] < 60) == dark
        # Text, curves and pictures: a page that failed to draw would be nearly of one colour.
        assert (np.abs(pixels.astype(int) - pixels[-1, 2]) > 60).mean() > 0.03


# Python reads this file when a fit starts: in its tenth step a SIREN interrupts the comparison that started
# it, as Ctrl-C does, and goes on once the comparison has passed the signal on.
INTERRUPTING = """
import os, signal, sys, time

if "--resume" not in sys.orig_argv and "siren" in " ".join(sys.orig_argv):
    from kanfield.training.trainer import Trainer

    step = Trainer._step

    def interrupting(self):
        if self.progress.step == 10:
            catching = signal.getsignal(signal.SIGINT)
            os.kill(os.getppid(), signal.SIGINT)
            while signal.getsignal(signal.SIGINT) == catching:  # the first signal puts back what was before
                time.sleep(0.01)
        return step(self)

    Trainer._step = interrupting
"""


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    write_pictures(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(INTERRUPTING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    words = ["gray.png", "--models", "mlp", "siren", "--steps", "30", "--threads", "1", "--out", "out"]
    with pytest.raises(SystemExit) as end:
        main(["compare", *words])
    said = capsys.readouterr().err
    assert end.value.code == 130
    assert said.startswith("[1/2] gray, mlp") and "kanfield compare --resume out" in said
    first = next(tmp_path.glob("out/runs/mlp/seed-0/gray/mlp-*/metrics.json"))
    second = next(tmp_path.glob("out/runs/siren/seed-0/gray/siren-*"))
    assert not (second / "metrics.json").exists()
    written = first.stat().st_mtime_ns
    main(["compare", "--resume", "out", "--json"])
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["steps"] for row in rows] == [30, 30]
    assert first.stat().st_mtime_ns == written
    assert list(second.parent.iterdir()) == [second]  # the run that was begun went on


@pytest.mark.slow
def test_a_second_ctrl_c_stops_the_fit_too(tmp_path):
    """The fit takes its time after the first one; the second one must not leave it behind."""
    fit = "import os, signal, time; from pathlib import Path; "
    fit += "signal.signal(signal.SIGINT, lambda *_: Path('first').touch()); "
    fit += "Path('new').write_text(str(os.getpid())); os.rename('new', 'pid')\nwhile True: time.sleep(1)"
    compare = "import signal; from pathlib import Path; from kanfield import child\n"
    # Background jobs of a script, as tests may be, ignore SIGINT.
    compare += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    compare += "from kanfield.comparison.compare import _run\n"
    compare += "from kanfield.training.signals import Signals\n"
    compare += f"child._START = {fit!r}\nwith Signals() as signals: _run([], signals, Path())"
    process = subprocess.Popen([sys.executable, "-c", compare], cwd=tmp_path, stderr=subprocess.DEVNULL)
    try:
        for sign in ("pid", "first"):
            while not (tmp_path / sign).exists():
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
        process.wait(timeout=120)
    finally:
        process.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_killed_fit_is_a_row_with_its_error(tmp_path, monkeypatch):
    from kanfield.comparison import compare as module
    from kanfield.training.signals import Signals

    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr("kanfield.child._START", kill)
    assert module._run([], Signals(), tmp_path) == "killed by SIGKILL"
    loud = "import sys; print('kanfield: no room', file=sys.stderr); sys.exit(1)"
    monkeypatch.setattr("kanfield.child._START", loud)
    assert module._run([], Signals(), tmp_path) == "no room"
    assert os.listdir(tmp_path) == []


def test_a_second_process_on_a_comparison_is_refused(tmp_path, monkeypatch):
    pytest.importorskip("fcntl")  # which only Unix has
    from kanfield.comparison import compare as module

    plan = Plan([str(write_pictures(tmp_path)[0])], ["siren"], steps=3)
    write_plan(tmp_path, plan)
    monkeypatch.setattr("kanfield.child._START", "")
    with lock_plan(tmp_path), pytest.raises(InputError, match="in use by another kanfield compare: wait"):
        module.compare(plan, tmp_path)
    assert not (tmp_path / "report.html").exists() and not (tmp_path / "settings").exists()
    module.compare(plan, tmp_path)
    assert (tmp_path / "report.html").exists()


def test_a_fit_that_leaves_no_run_is_a_row_with_its_error(tmp_path, monkeypatch):
    from kanfield.comparison import compare as module

    (image, _) = write_pictures(tmp_path)
    monkeypatch.setattr("kanfield.child._START", "")
    result, folder = module.compare(Plan([str(image)], ["siren"], steps=3), tmp_path / "out")
    assert "the fit left no run in" in result.rows[0]["error"]
    assert "siren failed in 1 of 1 fits" in (folder / "report.html").read_text()


@pytest.mark.parametrize("name", ["a[1]", "50 %", "100%d", "größe", "a*?", "$x$_1", "_a"])
@pytest.mark.slow
def test_any_name_of_an_image_or_of_settings_is_found_again(tmp_path, name, capsys):
    """The runs are made by hand: a fit in a process of its own for every name would take minutes."""
    from kanfield.comparison import compare as module

    image = write_pictures(tmp_path)[0].rename(tmp_path / f"{name}.png")
    settings = tmp_path / f"{name}.yaml"
    settings.write_text("model: siren\n")
    plan = Plan([str(image)], [str(settings)], steps=3, threads=1)
    (planned,) = module._fits(plan)
    run = fit(image, planned.settings, out=planned.parent(tmp_path / "out"))
    assert planned.find_run(tmp_path / "out").path == run.path
    result, _ = module.compare(plan, tmp_path / "out")
    assert result.rows[0]["psnr"] == run.psnr
    print_tables(terminal_tables(result))
    assert name in capsys.readouterr().out
    spectrum = measure(run.path)
    assert (spectrum.image, spectrum.label) == (name, name)
    assert "reconstruction" in to_svg(draw_spectra([spectrum]))


@pytest.mark.slow
def test_an_image_with_brackets_in_its_name_is_compared(tmp_path):
    """Fits import nothing from the working folder, and what they leave is found whatever the name."""
    write_pictures(tmp_path)[0].rename(tmp_path / "a[1].png")
    (tmp_path / "tyro.py").write_text("raise SystemExit('imported from the working folder')")
    words = shlex.split("a[1].png --models siren --steps 3 --threads 1 --out out --json --quiet")
    start = "import sys; del sys.path[0]; from kanfield.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "compare", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == ""
    (row,) = json.loads(done.stdout)["rows"]
    assert row["error"] is None and row["psnr"] > 0
    assert (Path(tmp_path, row["run"]) / "label.txt").read_text() == "siren\n"


def test_names_are_not_markup(capsys):
    plan = Plan(["[bold]a.png", "b.png"], ["[red].yaml", "siren"])
    rows = rows_of({("[red]", "[bold]a", 0): 30.0, ("[red]", "b", 0): 31.0, ("siren", "b", 0): 31.0})
    print_tables(terminal_tables(Comparison(plan, rows)))
    shown = capsys.readouterr().out
    assert "[red]" in shown and "[bold]a" in shown


def test_the_report_says_what_the_spread_is():
    fixed = Plan(["a.png"], ["kan"], seeds=2, held_out="checkerboard")
    random = Plan(["a.png"], ["kan"], seeds=2, held_out="0.5")
    assert "also which pixels are held out" not in _spread(fixed)
    assert "also which pixels are held out" in _spread(random)
    assert _spread(Plan(["a.png"], ["kan"])) == ""


# ---- the plan -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        ("", ["kanfield compare IMAGE"]),
        ("gray.png --models sirene", ["--model sirene", "did you mean siren?"]),
        ("gray.png --models siren siren", ["--models siren", "told apart"]),
        ("gray.png gray.png", ["two images", "gray", "told apart"]),
        ("gray.png --seeds 0", ["--seeds 0", "1 or more"]),
        ("gray.png --steps 5 --seconds 5", ["--steps and --seconds", "give one"]),
        ("gray.png --steps 0", ["--steps 0", "above zero"]),
        ("nowhere.png", ["nowhere.png", "No such file"]),
        ("empty", ["empty", "no images"]),
        ("gray.png --models none.yaml", ["none.yaml", "No such file"]),
        ("--resume empty", ["empty", "no comparison", "compare.yaml"]),
        ("--resume begun --seeds 2 --steps 5", ["leave out --steps, --seeds"]),
        ("gray.png --out begun", ["--out begun", "kanfield compare --resume begun"]),
        ("gray.png --out colour.png", ["--out colour.png", "file", "folder"]),
        ("gray.png --models siren --held-out 2", ["--held-out 2", "between 0 and 1"]),
    ],
)
def test_a_comparison_that_cannot_work_is_refused_before_it_starts(
    tmp_path, monkeypatch, capsys, words, phrases
):
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    write_plan(tmp_path / "begun", Plan([str(tmp_path / "gray.png")], ["kan"], steps=5))
    said = refused(capsys, "compare", *words.split())
    assert not absent(said, phrases), said
    assert not (tmp_path / "comparisons").exists() or not list((tmp_path / "comparisons").rglob("runs"))


def test_a_plan_is_kept_and_read_back(tmp_path):
    plan = Plan(["/a/b.png"], ["kan", "siren"], seeds=3, seconds=1.5, equal_parameters=True)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    write_plan(tmp_path, Plan([], ["kan"]))
    with pytest.raises(InputError, match="which images"):
        resume(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("images: 3", "images: 3 is not what belongs there (a list of texts)"),
        ("models: [[kan]]", "models: ['kan'] is not what belongs there (text)"),
        ("seeds: three", "seeds: 'three' is not what belongs there (a whole number)"),
        ("seconds: soon", "seconds: 'soon' is not what belongs there (a number)"),
        ("steps: 2.5", "steps: 2.5 is not what belongs there (a whole number)"),
        ("equal_parameters: 1", "equal_parameters: 1 is not what belongs there (true or false)"),
        ("size: big", "size: 'big' is not what belongs there"),
        ("held_out: [1]", "held_out: [1] is not what belongs there"),
        ("batch_size: {}", "batch_size: {} is not what belongs there"),
        ("threads: true", "threads: True is not what belongs there"),
        ("device: [cpu]", "device: ['cpu'] is not what belongs there"),
        ("precision: {}", "precision: {} is not what belongs there"),
        ("max_pixels: x", "max_pixels: 'x' is not what belongs there"),
        ("spectrum: maybe", "spectrum: 'maybe' is not what belongs there"),
        ("sedes: 3", "unknown key 'sedes'; did you mean seeds?"),
        ("- 3", "compare.yaml is damaged"),
        ("", "the key 'models' is missing"),
    ],
)
def test_a_damaged_plan_is_one_line(tmp_path, capsys, content, message):
    base = "" if not content or content.startswith("-") else "images: [a.png]\nmodels: [kan]\n"
    keys = {line.split(":")[0]: line for line in (base + content).splitlines()}
    (tmp_path / "compare.yaml").write_text("\n".join(keys.values()) if content else "images: [a.png]\n")
    with pytest.raises(SystemExit) as end:
        main(["compare", "--resume", str(tmp_path)])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1


def test_a_new_comparison_gets_a_budget():
    assert begin(Plan(["x/photo.png"], ["kan"]), None).seconds == 20
    assert begin(Plan(["x/photo.png"], ["kan"], steps=7), None).seconds is None


def test_a_folder_stands_for_its_images(tmp_path):
    paths = write_pictures(tmp_path)
    (tmp_path / "notes.txt").write_text("no picture")
    assert expand([tmp_path]) == sorted(str(path) for path in paths)


def test_a_folder_stands_for_images_of_every_format_that_is_read(tmp_path):
    names = ["a.AVIF", "b.jxl", "c.jp2", "d.j2k", "e.npy", "f.dcm", "g.pfm", "h.tga", "i.qoi", "j.psd"]
    for name in (*names, "o.txt", "p.pdf", "q.pam", "r.mp4"):
        (tmp_path / name).touch()
    assert [Path(file).name for file in expand([tmp_path])] == names


# ---- equal parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["kan", "siren", "mlp", "rff", "hashgrid", "wire", "kan-rbf", "kan-fourier"]
)
@pytest.mark.parametrize("wanted", [12_000, 106_624])
def test_equal_parameters_are_equal_within_five_percent(model, wanted):
    settings = resolve(Settings(model=model), ImageStats(256, 256, 65536, 3))
    matched = match_parameters(settings, 3, wanted)
    assert count_parameters(matched, 3) == pytest.approx(wanted, rel=0.05)
    assert matched.lr == settings.lr and len(matched.options["widths"]) == len(settings.options["widths"])


@pytest.mark.parametrize("wanted", [12_000, 60_000])
def test_a_field_on_grids_gives_or_gets_entries_for_equal_parameters(wanted):
    settings = resolve(Settings(encoding="grid"), ImageStats(256, 256, 65536, 3))
    matched = match_parameters(settings, 3, wanted)
    assert count_parameters(matched, 3) == pytest.approx(wanted, rel=0.05)
    assert matched.options == {**settings.options, "entries": matched.options["entries"]}


def test_an_impossible_number_of_parameters_is_told():
    settings = resolve(Settings(model="hashgrid"), ImageStats(256, 256, 65536, 3))
    with pytest.raises(InputError, match="--equal-parameters: hashgrid has"):
        match_parameters(settings, 3, 100)


# ---- figures ------------------------------------------------------------------------------------


def rows_of(values: dict[tuple[str, str, int], float]) -> list[dict[str, object]]:
    keys = ("held_out_psnr", "ssim", "lpips", "parameters_per_pixel", "steps", "seconds", "peak_memory_bytes")
    return [
        {
            "image": i,
            "label": label,
            "model": label,
            "seed": s,
            "error": None,
            "psnr": v,
            **dict.fromkeys(keys),
        }
        for (label, i, s), v in values.items()
    ]


def test_means_are_over_images_and_spreads_over_seeds():
    values = {("kan", "a", 0): 30.0, ("kan", "a", 1): 32.0, ("kan", "b", 0): 40.0, ("kan", "b", 1): 40.0}
    plan = Plan(["a.png", "b.png"], ["kan", "siren"], seeds=2)
    result = Comparison(plan, rows_of(values))
    mean = result.mean("kan", "psnr")
    assert (mean.value, mean.spread) == (pytest.approx(35.5), pytest.approx(2**0.5 / 2))
    assert result.mean("kan", "psnr", "b").format(".2f") == "40.00 ± 0.00"
    assert result.mean("siren", "psnr") is None
    assert result.table() == [["model", "PSNR"], ["kan", "35.50 ± 0.71"], ["siren", "–"]]


def test_one_failed_seed_leaves_no_mean():
    rows = rows_of(
        {("kan", "a", 0): 30.0, ("kan", "a", 1): 32.0, ("siren", "a", 0): 31.0, ("siren", "a", 1): 30.0}
    )
    rows[0]["error"] = "diverged"
    result = Comparison(Plan(["a.png"], ["kan", "siren"], seeds=2), rows)
    assert result.mean("kan", "psnr") is None and result.mean("siren", "psnr") is not None
    assert result.errors() == ["kan failed in 1 of 2 fits: diverged"]


def test_the_crop_is_where_all_models_are_furthest_off():
    maps = [np.zeros((80, 120), np.uint8), np.zeros((80, 120), np.uint8)]
    maps[0][10, 10] = 255  # one model alone
    for each in maps:
        each[60:64, 100:104] = 120
    left, top, right, bottom = worst_error_crop([PILImage.fromarray(each) for each in maps])
    assert left <= 100 and right >= 104 and top <= 60 and bottom >= 64
    assert worst_error_crop([PILImage.new("L", (3, 90))]) == (0, 0, 3, 3)


def test_the_crop_of_maps_of_two_sizes_is_the_same_part_of_each():
    large, small = np.zeros((80, 120), np.uint8), np.zeros((40, 60), np.uint8)
    large[60:64, 100:104] = small[30:32, 50:52] = 255
    maps = [PILImage.fromarray(each) for each in (large, small)]
    for order in (maps, maps[::-1]):
        box = worst_error_crop(order)
        parts = [np.asarray(crop(each, box, order[0].size)) for each in maps]
        assert parts[0].sum() == large.sum() and parts[1].sum() == small.sum()
        assert abs(parts[0].shape[0] - 2 * parts[1].shape[0]) <= 2  # whole pixels


@pytest.fixture
def by_hand():
    """Compare by fits in this process: one in a process of its own takes seconds."""
    from kanfield.comparison import compare as module

    def made(plan: Plan, folder: Path) -> Comparison:
        for planned in module._fits(plan):
            fit(planned.image, planned.settings, out=planned.parent(folder))
        return module.compare(plan, folder)[0]

    return made


def test_a_report_of_models_that_see_the_image_in_two_sizes(tmp_path, by_hand):
    (tmp_path / "small.yaml").write_text("model: mlp\nsize: 12\noptions: {widths: [4]}\n")
    (tmp_path / "whole.yaml").write_text("model: mlp\noptions: {widths: [4]}\n")
    models = [str(tmp_path / name) for name in ("small.yaml", "whole.yaml")]
    by_hand(Plan([str(write_pictures(tmp_path)[0])], models, steps=3, threads=1), tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text()
    assert page.count('class="near"') == 3 and "12 x 10 pixels" in page


@pytest.mark.parametrize("nodata", [math.nan, -math.inf])
def test_a_no_data_value_that_json_has_no_number_for_is_text(tmp_path, by_hand, nodata):
    (tmp_path / "a.yaml").write_text("model: mlp\noptions: {widths: [4]}\n")
    plan = Plan(
        [str(write_pictures(tmp_path)[0])], [str(tmp_path / "a.yaml")], steps=3, threads=1, nodata=nodata
    )
    by_hand(plan, tmp_path / "out")
    told = json.loads((tmp_path / "out/compare.json").read_text())["settings"]
    assert told["nodata"] == told["fits"]["a"]["gray"]["nodata"] == str(nodata)
    assert read_plan(tmp_path / "out").nodata == pytest.approx(nodata, nan_ok=True)


def test_a_chart_keeps_the_colours_of_models_that_failed():
    steps = np.array([10.0, 20.0, 30.0])
    curve = Curve(steps / 10, steps, steps, np.full(3, np.nan))
    chart = psnr_chart({"kan": [], "siren": [curve, curve]}, "seconds")
    assert "var(--series-1)" in chart and "var(--series-0)" not in chart
    assert "training time, s" in chart and "siren" in chart


def test_a_fit_that_was_never_evaluated_has_no_curve():
    empty, steps = Curve(*(np.array([]) for _ in range(4))), np.array([10.0, 20.0])
    curve = Curve(steps, steps, steps, np.full(2, np.nan))
    assert "siren" in psnr_chart({"kan": [empty], "siren": [empty, curve]}, "steps")


def test_the_command_that_repeats_a_comparison_parses(tmp_path):
    plan = Plan(["/x/a b.png"], ["kan"], seeds=2, seconds=2.5, held_out="checkerboard", threads=1)
    assert command(plan) == (
        "kanfield compare '/x/a b.png' --models kan --seeds 2 --seconds 2.5 --held-out checkerboard "
        "--threads 1"
    )
