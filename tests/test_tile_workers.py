"""Workers of a tiled run: who gets which tile, and what is left when one of them dies."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tifffile
from conftest import refused
from rich.console import Console
from test_tiles import SMALL, pixels

from kanfield import child as children
from kanfield.child import child
from kanfield.cli import main
from kanfield.errors import InputError, Interrupted, RunFailed
from kanfield.images import read_image
from kanfield.runs.listing import find_runs, remove_run
from kanfield.tiles import entry, ledger, progress, supervise
from kanfield.tiles import work as working
from kanfield.tiles.folder import TiledFolder
from kanfield.tiles.ledger import Ledger
from kanfield.tiles.run import TiledRun
from kanfield.tiles.work import work
from kanfield.tiles.workers import Workers
from kanfield.training.trainer import Trainer


def cpus(count: int) -> Callable[..., Workers]:
    """So many workers on the CPU."""
    return partial(Workers, devices=["cpu"] * count)


def main_code(*words: str) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as end:
        main(words)
    return end.value.code


NAMES = ["0000-0000", "0000-0001", "0000-0002"]


@pytest.fixture
def folder(tmp_path) -> TiledFolder:
    folder = TiledFolder(tmp_path)
    for path in (folder.tiles, folder.claims, folder.deaths):
        path.mkdir()
    return folder


@pytest.fixture
def begun(tmp_path, monkeypatch) -> TiledRun:
    """A run of which nothing is fitted yet."""
    return begin(tmp_path, monkeypatch)


def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **settings: object) -> TiledRun:
    def stop(run: TiledRun, devices: object, console: object) -> None:
        raise RunFailed("not now")

    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb")
    with monkeypatch.context() as patch:
        patch.setattr(entry, "supervise", stop)
        with pytest.raises(RunFailed, match="not now"):
            entry.fit(tmp_path / "a.tif", out=tmp_path / "runs", **{**SMALL, **settings})
    run = entry.load(tmp_path / "runs/a/kan-0001")
    assert isinstance(run, TiledRun)
    return run


def weights(run: Path) -> dict[str, bytes]:
    return {
        path.parent.parent.name: path.read_bytes()
        for path in sorted(run.glob("tiles/*/checkpoints/best.safetensors"))
    }


# ---- the ledger --------------------------------------------------------------------------------


def test_a_tile_is_given_to_one_worker_and_given_out_again(folder):
    one, two = Ledger(folder, NAMES[:1]), Ledger(folder, NAMES[:1])
    with one.take() as claim:
        assert claim.name == NAMES[0] and two.take() is None and two.running() == 1
    with two.take() as claim:
        assert claim.name == NAMES[0]
        (folder.tiles / NAMES[0]).mkdir()
    assert one.take() is None and one.settled()


def test_a_silent_worker_loses_its_tile_by_the_clock_of_who_waits(folder, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(ledger.time, "monotonic", lambda: now[0])
    one, two = Ledger(folder, NAMES[:1], lease=60), Ledger(folder, NAMES[:1], lease=60)
    with one.take() as claim:
        os.utime(folder.claims / NAMES[0], (0, 0))  # the clock of the other's host is far behind
        for _ in range(5):  # as long as its counter moves, it may be as slow as it likes
            assert two.take() is None
            now[0] += 50
            claim.beat()
            os.utime(folder.claims / NAMES[0], (9e9, 9e9))
        assert two.take() is None
        now[0] += 59
        assert two.take() is None and not claim.lost
        now[0] += 2
        taken = two.take()
        assert taken.name == NAMES[0] and claim.lost and not taken.lost
        claim.beat()  # harmless: it writes into a file that is gone
        assert not taken.lost
    assert (folder.claims / NAMES[0]).exists(), "a worker that lost a tile gave it out again"
    with taken:
        pass
    assert [path.read_text() for path in folder.deaths.iterdir()] == ["its worker was not heard of for 60 s"]


def test_a_fresh_claim_that_was_moved_by_mistake_is_put_back(folder, monkeypatch):
    """Two see a claim lapse; one takes the tile; the other's rename then hits the new claim."""
    now = [0.0]
    monkeypatch.setattr(ledger.time, "monotonic", lambda: now[0])
    first, slow = Ledger(folder, NAMES[:1], lease=1), Ledger(folder, NAMES[:1], lease=1)
    old = first.take()
    assert slow.take() is None
    now[0] = 2.0
    rename, fresh = Path.rename, []

    def late(path: Path, target: Path) -> Path:
        if not fresh and path.parent == folder.claims:
            path.unlink()
            fresh.append(Ledger(folder, NAMES[:1], lease=1).take())
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", late)
    assert slow.take() is None
    assert old.lost and not fresh[0].lost and not list(folder.deaths.iterdir())
    with fresh[0]:
        pass


def test_a_tile_is_given_up_after_three_deaths_and_tried_again_when_forgiven(folder):
    one = Ledger(folder, NAMES)
    for number in range(5):
        one.note_death(NAMES[0], f"death {number}")
    one.note_death(NAMES[1], "once")
    assert one.given_up() == {NAMES[0]: "death 2"}
    with one.take() as claim:
        assert claim.name == NAMES[1]
    one.forgive()
    with one.take() as claim:
        assert claim.name == NAMES[0]


def test_the_tiles_of_a_dead_process_of_this_host_are_given_out_at_once(folder):
    one = Ledger(folder, NAMES)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    content = {"worker": "x", "host": ledger.socket.gethostname(), "pid": gone.pid, "beat": "1"}
    (folder.claims / NAMES[0]).write_text(json.dumps(content))
    (folder.claims / NAMES[1]).write_text(json.dumps({**content, "host": "elsewhere"}))
    with one.take() as claim:
        one.clear_dead()
        assert claim.name == NAMES[2] and not claim.lost
        assert sorted(path.name for path in folder.claims.iterdir()) == NAMES[1:]
    assert one.bury(gone.pid, "killed") is False


def test_what_was_begun_is_taken_over_and_its_first_owner_can_write_no_more(folder):
    first = folder.work_folder(NAMES[0], "aaaa")
    (first.path / "checkpoints/last.safetensors").write_text("half done")
    second = folder.work_folder(NAMES[0], "bbbb")
    assert second.last.read_text() == "half done" and not first.path.exists()
    folder.publish(second, NAMES[0])
    third = folder.work_folder(NAMES[0], "cccc")  # of a worker that did not see it
    folder.publish(third, NAMES[0])
    assert folder.done() == {NAMES[0]} and not third.path.exists()
    assert (folder.tiles / NAMES[0] / "checkpoints/last.safetensors").read_text() == "half done"


# ---- one worker --------------------------------------------------------------------------------


def test_a_tile_that_fails_is_given_up_and_the_others_are_fitted(begun, monkeypatch):
    step = Trainer._step

    def fail(trainer: Trainer):
        if trainer.folder.path.name.startswith("0001-0001") and trainer.progress.step == 5:
            raise RuntimeError("no such number\nand more")
        return step(trainer)

    monkeypatch.setattr(Trainer, "_step", fail)
    with pytest.raises(RunFailed, match=r"^1 of 9 tiles failed: 0001-0001 \(no such number and more\);"):
        work(begun.path)
    assert len(begun.folder.done()) == 8 and begun.left == 1
    assert main_code("work", str(begun.path)) == 1
    assert entry.load(begun.path).render(crop=(40, 35, 50, 45)).pixels.std() == 0  # gray, and it can be seen


def test_a_full_disk_is_no_tiles_fault(begun, monkeypatch):
    def full(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("kanfield.runs.checkpoint.save_file", full)
        with pytest.raises(RunFailed, match=r"\(No space left on device\); .* make room, then kanfi"):
            work(begun.path)
    assert not list(begun.folder.deaths.iterdir()) and not list(begun.folder.claims.iterdir())
    assert work(begun.path) == 9


def test_a_run_that_a_worker_is_at_is_in_use_and_not_removed(begun, monkeypatch):
    pytest.importorskip("fcntl")  # which only Unix has
    step, out, seen = Trainer._step, begun.path.parent.parent, []
    (before,) = find_runs(out)

    def looking(trainer: Trainer):
        if not seen:
            seen.extend([find_runs(out)[0].state, remove_run(before)])
        return step(trainer)

    monkeypatch.setattr(Trainer, "_step", looking)
    assert work(begun.path, most=1) == 1
    assert before.leftover and seen == ["in use", False]
    (after,) = find_runs(out)
    assert after.state == "unfinished" and remove_run(after)


def test_a_signal_saves_the_tile_and_gives_it_back(begun, monkeypatch):
    step = Trainer._step

    def signalled(trainer: Trainer):
        if trainer.progress.step == 12:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", signalled)
        with pytest.raises(Interrupted, match="Interrupted and saved") as end:
            work(begun.path)
    assert end.value.exit_code == 143
    assert not list(begun.folder.claims.iterdir()) and not list(begun.folder.deaths.iterdir())
    (left,) = begun.folder.tiles.iterdir()
    assert (left / "checkpoints/last.safetensors").is_file()
    resumed = []
    restore = Trainer.restore
    monkeypatch.setattr(Trainer, "restore", lambda self: resumed.append(restore(self)) or [])
    assert work(begun.path) == 9 and len(resumed) == 1


def test_a_worker_that_slept_too_long_leaves_the_tile_to_another(begun, monkeypatch):
    """As after SIGSTOP: its claim and its folder are another's when it wakes."""
    monkeypatch.setattr(working, "_POLL", 0.0)
    step, stolen = Trainer._step, []

    def asleep(trainer: Trainer):
        if not stolen and trainer.progress.step == 10:
            name = trainer.folder.path.name.partition(".")[0]
            claim = begun.folder.claims / name
            claim.unlink()
            stolen.append(Ledger(begun.folder, [name]).take())
            begun.folder.work_folder(name, "other")
        return step(trainer)

    monkeypatch.setattr(Trainer, "_step", asleep)
    monkeypatch.setattr(Ledger, "settled", lambda self: len(begun.folder.done()) == 8)
    assert work(begun.path) == 8
    assert not stolen[0].lost and stolen[0].name not in begun.folder.done()
    assert (begun.folder.tiles / f"{stolen[0].name}.other").is_dir()
    with stolen[0]:
        pass


# ---- a supervisor ------------------------------------------------------------------------------

# Stands for a worker without its imports: claims a tile and dies of the second, ends all others.
FAKE = """
import json, os, pathlib, signal, socket, sys
run = pathlib.Path(sys.argv[2])
for name in json.loads((run / "tiles.json").read_text())["order"]:
    deaths = len(list((run / "deaths").glob(name + ".*")))
    if (run / "tiles" / name).exists() or deaths >= 3:
        continue
    sign = {"worker": "w", "host": socket.gethostname(), "pid": os.getpid(), "beat": "1"}
    (run / "claims" / name).write_text(json.dumps(sign))
    if name == "0000-0001":
        os.kill(os.getpid(), signal.SIGKILL)
    aside = run / "tiles" / f"{name}.w"
    aside.mkdir()
    content = {"psnr": 20.0, "squared_error": 1.0, "values": 100, "parameters": 0}
    (aside / "metrics.json").write_text(json.dumps(content))
    aside.rename(run / "tiles" / name)
    (run / "claims" / name).unlink()
"""


def test_a_tile_that_kills_its_worker_three_times_is_given_up(begun, monkeypatch):
    monkeypatch.setattr(children, "_START", FAKE)
    with pytest.raises(RunFailed) as end, begun.folder.lock():
        supervise.supervise(begun, cpus(1), None)
    said = str(end.value)
    assert said.startswith(
        "1 of 9 tiles failed: 0000-0001 (its worker was killed by SIGKILL); the others are"
    )
    assert end.value.exit_code == 1 and len(begun.folder.done()) == 8
    assert not list(begun.folder.claims.iterdir())


def test_workers_that_end_before_they_begin_end_the_run(begun, monkeypatch):
    monkeypatch.setattr(children, "_START", "raise SystemExit('no such library')")
    with pytest.raises(
        RunFailed, match=r"workers end before they take a tile \(ended with code 1: no such libr"
    ):
        supervise.supervise(begun, cpus(2), None)


SAYS = "import sys; print('kanfield: no room', file=sys.stderr); sys.exit(1)"


CHATTY = (
    FAKE.replace('if name == "0000-0001":', "if False:")
    + """
for _ in range(40_000):
    print("a library warns of this and that", file=sys.stderr)
"""
)


def test_a_worker_that_says_much_is_not_held_up(begun, monkeypatch):
    monkeypatch.setattr(children, "_START", CHATTY)
    supervise.supervise(begun, cpus(1), None)
    assert len(begun.folder.done()) == 9


def test_the_last_line_of_much_is_found(begun, monkeypatch):
    monkeypatch.setattr(children, "_START", "import sys; print('x' * 300_000, file=sys.stderr)\n" + SAYS)
    with pytest.raises(RunFailed, match=r"^no room$"):
        supervise.supervise(begun, cpus(1), None)


def test_what_a_worker_says_ends_the_run_with_its_words_and_code(begun, monkeypatch):
    monkeypatch.setattr(children, "_START", SAYS)
    with pytest.raises(RunFailed, match=r"^no room$"):
        supervise.supervise(begun, cpus(1), None)


# ---- processes ---------------------------------------------------------------------------------


def _wait(condition: object, seconds: float = 400.0) -> None:
    until = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until
        time.sleep(0.05)


def _lease(run: TiledRun, seconds: float) -> None:
    content = json.loads(run.folder.split.read_text())
    run.folder.split.write_text(json.dumps({**content, "lease_seconds": seconds}))


@pytest.mark.slow
def test_one_killed_and_one_asleep_and_the_result_is_that_of_one_worker(tmp_path, monkeypatch):
    run = begin(tmp_path, monkeypatch, steps=600, checkpoint_seconds=0.2)
    alone = tmp_path / "alone"
    shutil.copytree(run.path, alone)
    _lease(run, 4.0)
    words = ["work", str(run.path), "--quiet"]

    def tile_of(process: subprocess.Popen[str]) -> str | None:
        """The tile that a worker is at, once it has been saved."""
        for claim in run.folder.claims.iterdir():
            text = claim.read_text() if claim.exists() else ""
            if f'"pid": {process.pid},' in text and list(
                run.folder.tiles.glob(f"{claim.name}.*/checkpoints/last.safetensors")
            ):
                return claim.name
        return None

    with child(words) as killed, child(words) as stopped, child(words) as third:
        _wait(lambda: tile_of(killed))
        killed.kill()
        _wait(lambda: tile_of(stopped))
        stopped.send_signal(signal.SIGSTOP)
        asleep = tile_of(stopped)
        _wait(lambda: asleep is None or asleep in run.folder.done())
        stopped.send_signal(signal.SIGCONT)
        assert third.wait(400) == 0 and stopped.wait(400) == 0
    assert len(run.folder.done()) == 9 and not list(run.folder.claims.iterdir())
    assert work(alone) == 9
    assert weights(run.path) == weights(alone)


@pytest.mark.slow
def test_sigterm_to_the_supervisor_and_resume_with_another_number_of_workers(tmp_path, monkeypatch, capsys):
    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb")
    words = [*f"fit {tmp_path}/a.tif --tiles 32 --steps 400 --batch-size 64 --threads 1".split()]
    words += [*f"--widths 8 --grids 8,4 --checkpoint-seconds 0.2 --out {tmp_path}/runs --workers 1".split()]
    path = tmp_path / "runs/a/kan-0001"
    with child(words) as process:
        _wait(lambda: list(path.glob("tiles/*/metrics.json")) and list(path.glob("claims/*")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(100) == 143
        assert "Interrupted and saved. Go on with: kanfield fit --resume" in process.stderr.read()
    assert not list(path.glob("claims/*")) and not list(path.glob("deaths/*"))
    assert 0 < len(TiledFolder(path).done()) < 9
    run = entry.resume(path, workers=2)
    assert run.metrics["tiles"] == 9 and len(weights(path)) == 9
    (tmp_path / "again").mkdir()
    again = begin(tmp_path / "again", monkeypatch, steps=400)
    work(again.path)
    assert weights(again.path) == weights(path)
    assert np.array_equal(again.render().pixels, read_image(path / "reconstruction.png").pixels)


# ---- bad input ---------------------------------------------------------------------------------


MISTAKES = [
    ("fit a.tif --tiles 8", "--tiles 8 is impossible: give a side of 16 pixels or more, or 1 for one field"),
    ("fit a.tif --tiles big", "'big' is not auto or a side in pixels such as 512"),
    ("fit a.tif --tiles 32 --workers 0", "--workers 0 is impossible: give a number of processes above zero"),
    ("fit a.tif --engine ray", "--engine ray: one field takes one process; leave it out, or give --tiles"),
    ("fit a.tif --tiles 32 --engine dask", "--engine dask is unknown: give ray, or leave it out for"),
    ("fit a.tif --workers 2", "--workers 2: one field takes one process; leave it out, or give --tiles"),
    ("fit a.tif --tiles 32 --spectrum", "--spectrum is of one field, and 96 x 80 pixels are split into many"),
    ("fit a.tif --tiles 32 --held-out x", "--held-out x is not known: give checkerboard, every-second"),
    ("fit a.tif --tiles 32 --mask a.tif --max-pixels 9", "a.tif has 96 x 80 pixels, over 9: raise"),
    ("work .", "is not a run folder, it has no config.yaml"),
    ("eval runs/a/kan-0001", "unfinished, 9 tiles are left: go on with kanfield fit --resume runs/a"),
    ("fit --resume runs/a/kan-0001 --threads 2", "has workers with threads of their own: give --workers"),
    ("work runs/a/kan-0001 --threads 0", "--threads 0 is impossible"),
    ("render runs/a/kan-0001 --out b.png", "runs/a/kan-0001 has nothing to draw yet, no tile is done: go on"),
    ("render runs/a/kan-0001 --out b.png --gradient", "has nothing to draw yet, no tile is done: go on with"),
    ("view runs/a/kan-0001", "has nothing to draw yet, no tile is done: go on with kanfield fit --resume"),
    (
        "study ntk --runs runs/a/kan-0001",
        "runs/a/kan-0001 has many fields, and a kernel is one field's",
    ),
    ("fit a.tif --tiles 32 --parameters 2000", "--parameters 2000: the smallest fields of 9 tiles have "),
    ("fit a.tif --tiles 32 --held-out 0.00001", "--held-out 0.00001 on 80 x 96 pixels leaves none seen or"),
    ("compare a.tif --models tiled.yaml", "tiled.yaml asks for tiles of 32 pixels, and compare fits single"),
]


def test_mistakes_are_one_line_and_nothing_is_lost(begun, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiled.yaml").write_text("model: kan\ntiles: 32\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for words, phrase in MISTAKES:
        assert phrase in refused(capsys, *words.split())
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


ANOTHER = r"config\.yaml names an image that is not the one of this run: put that one back"


def test_another_picture_in_the_place_of_a_runs_is_refused(begun, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels(seed=1), photometric="rgb")
    with pytest.raises(Exception, match=ANOTHER):
        work(begun.path)
    assert not list(begun.folder.deaths.iterdir())
    tifffile.imwrite(tmp_path / "a.tif", pixels(90, 96), photometric="rgb")
    with pytest.raises(Exception, match=ANOTHER):
        work(begun.path)


def test_a_tiff_with_a_broken_tile_is_refused_before_a_folder_is_made(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a.tif", pixels(), photometric="rgb", tile=(16, 16), compression="deflate")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset = file.pages[0].dataoffsets[13]
    with open(tmp_path / "a.tif", "r+b") as file:
        file.seek(offset)
        file.write(bytes(20))
    said = refused(capsys, "fit", tmp_path / "a.tif", "--tiles", "32", "--out", tmp_path / "runs")
    assert "a.tif is truncated or damaged at rows 27 to 53" in said and "save it again" in said
    assert not (tmp_path / "runs").exists()


def test_a_damaged_split_is_one_line(begun):
    begun.folder.split.write_text("{}")
    with pytest.raises(InputError, match=r"tiles\.json is damaged or missing: fit the picture again"):
        entry.load(begun.path)


# ---- progress ----------------------------------------------------------------------------------


def test_progress_is_one_line_that_is_printed_when_it_has_changed(begun, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), width=200)
    line = progress.Progress(begun, set(), console)
    content = {"psnr": 20.0, "squared_error": 1.0, "values": 100, "parameters": 0, "steps": 20}
    for number, name in enumerate(begun.split.order[:3]):
        now[0] += 3
        line.show(2, 0)
        line.show(2, 0)
        line.add(name, {**content, "squared_error": number + 1.0})
    line.show(1, 1)
    line.close()
    said = console.file.getvalue().splitlines()
    assert len(said) == 3 and said[0].startswith("tiles 0/9 done, 2 running, 0 failed  -- dB so far")
    assert said[-1].startswith("tiles 3/9 done, 1 running, 1 failed  16.99 dB so far")
    assert said[-1].endswith("0:00:15 left") and " px/s" in said[-1]
    assert len(begun.folder.table.read_text().splitlines()) == 4
