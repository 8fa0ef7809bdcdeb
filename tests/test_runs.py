"""``kanfield runs``, shell completion, and a run in a notebook. All hold for root too."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import refused
from PIL import Image as PILImage

from kanfield.cli import main
from kanfield.cli.commands import command_parser
from kanfield.cli.completion import completion_script
from kanfield.runs.listing import find_runs, remove_run
from kanfield.runs.run import load
from kanfield.training.fit import fit

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = {"options": {"widths": [4], "grids": [8, 8]}, "steps": 10, "threads": 1}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Two finished runs, the second with pixels held out; not to be written to."""
    folder = tmp_path_factory.mktemp("original")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    PILImage.fromarray(pixels).save(folder / "a.png")
    fit(folder / "a.png", out=folder / "runs", **SMALL)
    fit(folder / "a.png", out=folder / "runs", held_out="checkerboard", **SMALL)
    return folder / "runs"


@pytest.fixture
def here(original, tmp_path, monkeypatch):
    """A working folder whose ``runs`` a test may spoil: finished, finished, unfinished."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original, "runs")
    shutil.copytree("runs/a/kan-0001", "runs/a/kan-0003")
    Path("runs/a/kan-0003/metrics.json").unlink()
    for number in (1, 2, 3):
        _age(Path(f"runs/a/kan-000{number}"), hours=4 - number)
    return tmp_path


def _age(run: Path, hours: float) -> None:
    for path in [run, *run.rglob("*")]:
        os.utime(path, (time.time() - hours * 3600 - 60,) * 2)


def states(out: str = "runs") -> dict[str, str]:
    return {run.path.relative_to(out).as_posix(): run.state for run in find_runs(Path(out))}


def runs(capsys, *words: str) -> tuple[str, str]:
    """What ``kanfield runs`` says on standard output and standard error."""
    capsys.readouterr()
    main(["runs", *words])
    return tuple(capsys.readouterr())


@pytest.fixture
def answer(monkeypatch):
    """``answer(text)`` puts a person who types that at the terminal."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    return lambda text: monkeypatch.setattr("sys.stdin", Terminal(text))


# ---- the list ----------------------------------------------------------------------------------


def test_the_list_shows_every_run_the_latest_last(here, capsys):
    said, aside = runs(capsys)
    heading, *lines = said.splitlines()
    assert heading.split() == ["run", "model", "PSNR", "held", "out", "size", "changed", "state"]
    assert [line.split()[0] for line in lines] == [f"runs/a/kan-000{n}" for n in (1, 2, 3)]
    assert "3 h ago finished" in lines[0] and "1 h ago unfinished" in lines[2]
    metrics = json.loads(Path("runs/a/kan-0002/metrics.json").read_text())
    assert f"{metrics['psnr']:.2f}" in lines[1] and f"{metrics['held_out_psnr']:.2f}" in lines[1]
    assert "kan smooth" in lines[2] and " kB" in lines[2]
    assert aside == "" and "\x1b" not in said


def test_a_pipe_gets_whole_paths(here, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    name = "a-photograph-with-a-name-that-is-longer-than-any-terminal-is-wide-" * 2 + "[red]"
    Path("runs/a").rename(Path("runs") / name)
    assert f"runs/{name}/kan-0002 " in runs(capsys)[0]


def test_json_is_a_list_of_plain_values(here, capsys):
    found = json.loads(runs(capsys, "--json")[0])
    assert [entry["state"] for entry in found] == ["finished", "finished", "unfinished"]
    metrics = json.loads(Path("runs/a/kan-0002/metrics.json").read_text())
    changed = found[1].pop("changed")
    files = [path for path in Path("runs/a/kan-0002").rglob("*") if path.is_file()]
    assert found[1] == {
        **{
            "run": "runs/a/kan-0002",
            "state": "finished",
            "model": "kan",
            "preset": "smooth",
            "encoding": "directions",
        },
        **{"psnr": metrics["psnr"], "held_out_psnr": metrics["held_out_psnr"]},
        "bytes": sum(path.stat().st_size for path in files),
    }
    assert changed.endswith("+00:00")


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir], ids=["missing", "empty"])
def test_no_runs_are_told_in_words(tmp_path, monkeypatch, capsys, make):
    monkeypatch.chdir(tmp_path)
    make(Path("runs"))
    said, aside = runs(capsys)
    assert said == "" and "no runs under runs: kanfield fit IMAGE makes one" in aside
    assert json.loads(runs(capsys, "--json")[0]) == []


def test_a_file_in_place_of_the_folder_is_refused(here, capsys):
    Path("a.txt").touch()
    assert "--out a.txt is a file" in refused(capsys, "runs", "--out", "a.txt")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]", b"image: [", b"[" * 2000])
@pytest.mark.parametrize("file", ["config.yaml", "metrics.json"])
def test_a_run_with_a_damaged_file_is_shown_as_damaged(here, capsys, file, content):
    Path("runs/a/kan-0001", file).write_bytes(content)
    assert [entry["state"] for entry in json.loads(runs(capsys, "--json")[0])].count("damaged") == 1
    assert "damaged" in runs(capsys)[0]


@pytest.mark.parametrize("psnr", ["NaN", "null", '"high"'])
def test_a_psnr_that_is_no_number_is_damage(here, psnr):
    Path("runs/a/kan-0001/metrics.json").write_text(f'{{"psnr": {psnr}, "held_out_psnr": null}}')
    assert states()["a/kan-0001"] == "damaged"


def test_what_is_no_run_is_not_listed(here):
    before = states()
    for path in ("runs/kan-0009/checkpoints", "runs/a/notes/checkpoints", "runs/a/kan-0009/pictures"):
        Path(path).mkdir(parents=True)
    Path("runs/b").symlink_to("a")
    Path("runs/a/kan-0010").symlink_to("kan-0001")
    assert states() == before


def test_a_run_that_a_fit_is_at_is_in_use(here):
    with load("runs/a/kan-0003").folder.lock():
        assert states()["a/kan-0003"] == "in use"
    assert states()["a/kan-0003"] == "unfinished"


def test_the_list_does_not_wait_for_torch(here):
    code = "import sys; from kanfield.cli import main; main(['runs']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "unfinished" in done.stdout


# ---- --prune -----------------------------------------------------------------------------------


def test_prune_lists_asks_and_removes_what_never_finished(here, capsys, answer):
    answer("y\n")
    said, aside = runs(capsys, "--prune")
    assert [line.split()[0] for line in said.splitlines()[1:]] == ["runs/a/kan-0003"]
    assert "remove 1 run, " in aside and "[y/N]" in aside
    assert states() == {"a/kan-0001": "finished", "a/kan-0002": "finished"}


@pytest.mark.parametrize("text", ["", "\n", "n\n", "no\n", "yep\n"])
def test_anything_but_yes_removes_nothing(here, capsys, answer, text):
    before = sorted(Path("runs").rglob("*"))
    answer(text)
    assert "nothing was removed" in runs(capsys, "--prune")[1]
    assert sorted(Path("runs").rglob("*")) == before


def test_without_a_terminal_nothing_is_removed(here, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert "--prune asks before it removes" in refused(capsys, "runs", "--prune")
    assert "a/kan-0003" in states()


def test_prune_and_json_contradict_each_other(here, capsys, answer):
    answer("y\n")
    assert "--json and --prune contradict each other" in refused(capsys, "runs", "--prune", "--json")
    assert "a/kan-0003" in states()


def test_prune_leaves_a_run_with_a_file_that_is_not_kanfields(here, capsys, answer):
    Path("runs/a/kan-0003/notes.txt").write_text("to keep")
    answer("y\n")
    assert "nothing to remove" in runs(capsys, "--prune")[1]
    assert Path("runs/a/kan-0003/notes.txt").read_text() == "to keep"


def test_nothing_to_prune_is_told_in_words(here, capsys, answer):
    shutil.rmtree("runs/a/kan-0003")
    answer("y\n")
    said, aside = runs(capsys, "--prune")
    assert said == "" and "nothing to remove under runs" in aside


def test_prune_leaves_a_run_that_a_fit_is_at(here, capsys, answer):
    with load("runs/a/kan-0003").folder.lock():
        answer("y\n")
        assert "nothing to remove" in runs(capsys, "--prune")[1]
    assert states()["a/kan-0003"] == "unfinished"


def test_a_fit_that_went_on_after_the_question_keeps_its_run(here):
    (run,) = [run for run in find_runs(Path("runs")) if run.leftover]
    with load(run.path).folder.lock():
        assert not remove_run(run)
    shutil.copy("runs/a/kan-0001/metrics.json", run.path)
    assert not remove_run(run)
    assert states()["a/kan-0003"] == "finished"


def test_a_fit_that_begins_in_this_moment_is_no_leftover(here, capsys, answer):
    Path("runs/c/kan-0001/checkpoints").mkdir(parents=True)
    answer("yes\n")
    runs(capsys, "--prune")
    assert Path("runs/c/kan-0001/checkpoints").is_dir()


@pytest.fixture
def later(monkeypatch):
    """Some time after the folders were made."""
    monkeypatch.setattr("kanfield.runs.listing._STARTING", -1)


def test_a_damaged_run_goes_with_its_image_folder(here, capsys, answer, later):
    Path("runs/b").mkdir()
    shutil.move("runs/a/kan-0003", "runs/b/kan-0001")
    Path("runs/b/kan-0001/config.yaml").write_text("{")
    Path("runs/c/kan-0001/checkpoints").mkdir(parents=True)
    answer("yes\n")
    assert "removed 2 runs, " in runs(capsys, "--prune")[1]
    assert [path.name for path in Path("runs").iterdir()] == ["a"]


@pytest.mark.parametrize("file", ["config.yaml", "metrics.json"])
def test_a_damaged_run_that_had_finished_stays(here, capsys, answer, file):
    Path("runs/a/kan-0001", file).write_text("{")
    answer("y\n")
    assert "runs/a/kan-0001 is damaged" in runs(capsys, "--prune")[1]
    assert states() == {"a/kan-0001": "damaged", "a/kan-0002": "finished"}


def test_folders_of_other_programs_stay(here, capsys, answer):
    Path("runs/exp/net-0001/checkpoints").mkdir(parents=True)
    Path("runs/exp/net-0001/config.yaml").write_text("lr: 3")
    Path("runs/exp/net-0001/checkpoints/step-100.ckpt").touch()
    answer("y\n")
    assert "runs/exp/net-0001 is damaged" in runs(capsys, "--prune")[1]
    assert states()["exp/net-0001"] == "damaged"


def test_prune_follows_no_link_out_of_the_folder(here, capsys, answer, later):
    Path("runs/a/kan-0003").rename("kept-0001")
    Path("runs/a/kan-0003").symlink_to(Path("kept-0001").resolve())
    Path("runs/b/kan-0001/checkpoints").mkdir(parents=True)
    Path("runs/b/kan-0001/timelapse").symlink_to(Path("kept-0001").resolve())
    before = sorted(Path("kept-0001").rglob("*"))
    answer("y\n")
    assert "removed 1 run, " in runs(capsys, "--prune")[1]
    assert not Path("runs/b").exists()
    assert Path("runs/a/kan-0003").is_symlink() and sorted(Path("kept-0001").rglob("*")) == before


# ---- completion --------------------------------------------------------------------------------


def completed(tmp_path: Path, *words: str) -> set[str]:
    """What bash offers for the last of the words."""
    (tmp_path / "script").write_text(completion_script(command_parser(), "bash"))
    code = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
$(complete -p kanfield | sed -E 's/.*-F ([^ ]+).*/\\1/')
printf '%s\\n' "${COMPREPLY[@]}"
"""
    words = ["bash", "--norc", "-c", code.strip(), "bash", str(tmp_path / "script"), "kanfield", *words]
    return set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")) - {""}


@pytest.mark.needs("bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["e"], {"eval"}),
        (["fit", "--pre"], {"--preset", "--precision"}),
        (["fit", "--preset", "l"], {"lossless"}),
        (["fit", "my"], {"my photo.png"}),
        (["fit", "--lossless", "my"], {"my photo.png"}),
        (["fit", "a.png", "--config", "c"], {"c.yaml"}),
        (["fit", "a.png", "--out", "ru"], {"runs"}),
        (["fit", "--resume", "runs/a/"], {"runs/a/kan-0001"}),
        (["eval", "runs/a/"], {"runs/a/kan-0001"}),
        (["render", "runs/a/kan-0001", "--out", "my"], {"my photo.png"}),
        (["runs", "--"], {"--help", "--out", "--prune", "--json"}),
        (["study", "wa"], {"waves"}),
        (["study", "waves", "--mo"], {"--models"}),
        (["study", "waves", "--models", "si"], {"siren"}),
        (["compare", "my photo.png", "--models", "si"], {"siren"}),
        (["fit", "--optimizer", ""], {"muon", "adam"}),
        (["solve", "--optimizer", ""], {"lm", "lbfgs", "adam"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
    ],
    ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value),
)
def test_bash_completes(tmp_path, monkeypatch, words, offered):
    monkeypatch.chdir(tmp_path)
    for name in ("my photo.png", "c.yaml"):
        Path(name).touch()
    Path("runs/a/kan-0001").mkdir(parents=True)
    assert completed(tmp_path, *words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_reads(capsys, shell):
    main(["completion", shell])
    script = capsys.readouterr().out
    assert "--target-psnr" in script and "runs" in script and "(default: None)" not in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_an_unknown_shell_names_the_known_ones(capsys):
    assert "no completion for 'ksh': give bash, zsh or fish" in refused(capsys, "completion", "ksh")
    assert "bash, zsh or fish" in refused(capsys, "completion")


def test_help_does_not_speak_of_completion_flags(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--tyro" not in capsys.readouterr().out


# ---- a notebook --------------------------------------------------------------------------------


def test_a_notebook_shows_the_reconstruction(here):
    run = load("runs/a/kan-0001")
    assert run._repr_png_() == Path("runs/a/kan-0001/reconstruction.png").read_bytes()


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_a_large_reconstruction_is_shown_smaller(here, mode):
    PILImage.new(mode, (3000, 30)).save("runs/a/kan-0001/reconstruction.png")
    with PILImage.open(io.BytesIO(load("runs/a/kan-0001")._repr_png_())) as shown:
        assert shown.size == (1024, 10) and shown.format == "PNG" and shown.mode == mode


def test_an_unfinished_run_shows_its_repr(here):
    Path("runs/a/kan-0003/reconstruction.png").unlink()
    run = load("runs/a/kan-0003")
    assert run._repr_png_() is None and "unfinished" in repr(run)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[]", b'{"psnr": null}', b"\xff"])
def test_a_damaged_run_shows_its_repr(here, content):
    Path("runs/a/kan-0001/metrics.json").write_bytes(content)
    Path("runs/a/kan-0001/reconstruction.png").write_bytes(content)
    run = load("runs/a/kan-0001")
    assert run._repr_png_() is None and repr(run) == "Run('runs/a/kan-0001', damaged)"
