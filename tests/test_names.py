"""Names and places of pictures and runs: any characters, any length, moved folders, pipes."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from conftest import refused
from PIL import Image as PILImage

import kanfield
from kanfield.child import child
from kanfield.cli import main
from kanfield.cli.symbolic import Symbolic
from kanfield.comparison.compare import PlannedFit, _command
from kanfield.comparison.plan import Plan, expand, read_plan, write_plan
from kanfield.comparison.report import command
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.names import LONGEST, command_line, folder_name, printable
from kanfield.runs.folder import RunFolder
from kanfield.runs.listing import find_runs
from kanfield.runs.run import load
from kanfield.training.evaluate_run import evaluate_run
from kanfield.training.fit import fit

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = ["--model", "mlp", "--widths", "8", "--steps", "10", "--batch-size", "64", "--threads", "1"]
ODD = [
    "photo[1]{2}*?.png",
    "~$HOME 'q' \"d\" `x`.png",
    "two\nlines\x1b[31m.png",
    "caf\udce9.png",
    "...png",
    ".hidden.png",
    "-dash.png",
    " space .png",
    "[red]a[bold].png",
    "长" * 80 + ".png",
]
# Also of a settings file: the label of its model.
STEMS = [Path(name).stem for name in ODD]


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(12 * 16 * 3).reshape(12, 16, 3) % 251
    with open(path, "wb") as file:
        PILImage.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return path


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_a_run_lies_under_out_whatever_the_pictures_name(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    picture(Path(name))
    main(["fit", *SMALL, "--quiet", "--json", "--", name])
    metrics = json.loads(capsys.readouterr().out)
    run = Path(metrics["run"])
    assert run.parent.parent == Path("runs") and run.parent.name == folder_name(Path(name).stem)
    assert {path.name for path in tmp_path.iterdir()} == {name, "runs"}
    assert [found.path for found in find_runs(Path("runs"))] == [run]
    assert evaluate_run(run)["psnr"] == pytest.approx(metrics["psnr"])
    main(["runs"])
    assert capsys.readouterr().out.count("\n") == 2  # the heading and one line


@pytest.mark.parametrize("stem", [*STEMS, "..", "."], ids=range(len(STEMS) + 2))
def test_folders_of_a_comparison_lie_inside_it(tmp_path, stem):
    fit = PlannedFit(Path(f"{stem}.png"), stem, 0, Settings())
    assert fit.parent(tmp_path).parent.parent == tmp_path / "runs"
    made = RunFolder.create(fit.parent(tmp_path), fit.image, "kan")
    assert made.path.resolve().is_relative_to(tmp_path / "runs")
    made.config.touch()
    found = fit.find_run(tmp_path)
    assert found is not None and found.path == made.path


def test_names_that_are_mended_stay_different():
    long = ["a" * 300, "a" * 299 + "b", "长" * 100]
    names = [*long, "a\nb", "a\tb", "a_b", "..", "...", "._", "_", "a\udcff", "a\udcfe", "a/b", "a\\b"]
    folders = [folder_name(name) for name in names]
    assert len(set(folders)) == len(names)
    assert all(len(folder.encode()) <= LONGEST and folder.strip(".") for folder in folders)
    assert folder_name("photo [1] ünï 长") == "photo [1] ünï 长"


@pytest.mark.needs("bash")
@pytest.mark.parametrize("name", [*ODD, "-", "--resume", "a;b&c|d>e", "!x"])
def test_commands_can_be_pasted(name):
    pasted = f"printf '%s\\0' {command_line('kanfield', '--resume', Path(name))}"
    assert "\n" not in pasted and "\x1b" not in pasted
    done = subprocess.run(["bash", "-c", pasted], capture_output=True, check=True)
    word = os.fsdecode(done.stdout.split(b"\0")[2])
    assert word == (f"./{name}" if name.startswith("-") else name)


def test_a_path_is_no_option_of_a_child(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("kanfield.child._START", "import sys; sys.exit(sys.argv[1:] != ['--out', './-a'])")
    with child(["--out", Path("-a")]) as process:
        assert process.wait(timeout=60) == 0
    settings = Settings(model="mlp", options={"widths": [4]})
    planned = PlannedFit(picture(Path("-a.png")), "mlp", 0, settings)
    for run in (None, RunFolder(Path("-cmp/run"))):
        paths = [word for word in _command(planned, Path("-cmp"), run) if str(word).startswith("-cmp")]
        assert paths and all(isinstance(path, Path) for path in paths)
    search = Symbolic(data=Path("-a.csv"), target="y", functions=Path("-f.yaml"))
    assert search._command(search.data, "y") == (
        "kanfield symbolic ./-a.csv --target y --functions ./-f.yaml"
    )


def test_the_command_of_a_comparison_names_its_files_wherever_it_is_pasted():
    plan = Plan(["/my pictures/-a.png"], ["/x/wide.yaml", "kan"], steps=5)
    expected = ["kanfield", "compare", "/my pictures/-a.png", "--models", "/x/wide.yaml", "kan"]
    assert shlex.split(command(plan)) == [*expected, "--steps", "5"]


def test_an_error_is_one_line_whatever_the_name(tmp_path, capsys):
    assert "no\\nsuch\\x1b" in refused(capsys, "fit", tmp_path / "no\nsuch\x1b.png")
    assert printable("Foto\u202fä長🙂") == "Foto\u202fä長🙂"


def test_a_rendering_takes_the_longest_name_there_is(tmp_path):
    run = fit(picture(tmp_path / "a.png"), out=tmp_path, model="mlp", steps=10, options={"widths": [8]})
    out = tmp_path / ("b" * 251 + ".png")
    main(["render", str(run.path), "--out", str(out), "--quiet"])
    assert PILImage.open(out).size == (16, 12)


def test_companions_of_other_systems_are_no_pictures(tmp_path):
    picture(tmp_path / "a.png")
    for name in ("._a.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    (tmp_path / "folder.png").mkdir()
    assert expand([tmp_path]) == [str((tmp_path / "a.png").resolve())]
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match="holds no images"):
        expand([tmp_path])


# ---- moved folders ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["a.png", "pictures/a.png", "runs/a/mlp-0001/a.png"])
def test_a_project_that_moved_finds_its_picture(tmp_path, place):
    old, new = tmp_path / "old", tmp_path / "new"
    source = picture(old / "pictures/a.png" if place == "pictures/a.png" else old / "a.png")
    run = fit(source, out=old / "runs", model="mlp", steps=10, options={"widths": [8]})
    psnr, moved = run.psnr, new / run.path.relative_to(old)
    shutil.move(old, new)
    if place.startswith("runs"):
        shutil.move(new / "a.png", moved / "a.png")
    assert evaluate_run(moved)["psnr"] == pytest.approx(psnr)
    assert load(moved).image.source.is_relative_to(new)


def test_a_picture_that_is_gone_is_told_with_where_it_was_looked_for(tmp_path, capsys):
    source = picture(tmp_path / "a.png")
    run = fit(source, out=tmp_path / "runs", model="mlp", steps=10, options={"widths": [8]})
    source.unlink()
    said = refused(capsys, "eval", run.path)
    assert str(source) in said and "in that folder or one above it" in said and "config.yaml" in said


def test_a_comparison_that_moved_finds_its_pictures_and_settings(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    picture(old / "in/a.png")
    (old / "wide.yaml").write_text("model: mlp\n")
    (old / "out").mkdir()
    write_plan(old / "out", Plan([str(old / "in/a.png")], [str(old / "wide.yaml"), "siren"], steps=3))
    shutil.move(old, new)
    plan = read_plan(new / "out")
    assert plan.images == [str((new / "in/a.png").resolve())]
    assert plan.models == [str((new / "wide.yaml").resolve()), "siren"]


# ---- pipes --------------------------------------------------------------------------------------


@pytest.fixture
def pipe(tmp_path):
    """A named pipe that gives a picture once."""
    source, path = picture(tmp_path / "a.png"), tmp_path / "pipe.png"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(source.read_bytes()), daemon=True)
    writer.start()
    return path


@pytest.mark.parametrize("fit", [fit, kanfield.fit], ids=["one field", "maybe tiles"])
def test_a_picture_from_a_pipe_is_kept_in_the_run(tmp_path, pipe, fit):
    run = fit(pipe, out=tmp_path / "runs", model="mlp", steps=10, options={"widths": [8]})
    assert np.array_equal(
        np.asarray(PILImage.open(run.path / "input.png")), np.asarray(PILImage.open(tmp_path / "a.png"))
    )
    pipe.unlink()
    assert evaluate_run(run.path)["psnr"] == pytest.approx(run.psnr)


def test_a_comparison_refuses_a_pipe_at_once(pipe):
    with pytest.raises(InputError, match="can be read once"):
        expand([pipe])
