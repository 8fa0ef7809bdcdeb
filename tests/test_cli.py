"""The command as a person meets it: what it prints, what it writes, how it says no."""

from __future__ import annotations

import json
import os
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import refused
from PIL import Image
from safetensors.torch import save_file

from kanfield.cli import main
from kanfield.runs import checkpoint
from kanfield.runs.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from kanfield.runs.run import Run, load
from kanfield.training.fit import fit

pytestmark = pytest.mark.usefixtures("no_edge_figures")

SMALL = shlex.split("--widths 8 --grids 8,4 --batch-size 64 --threads 1")
KEYS = {
    *("psnr", "psnr_8bit", "held_out_psnr", "ssim", "lpips", "lpips_reason", "lossless", "wrong_pixels"),
    *("target_reached", "seconds", "steps", "parameters", "parameters_per_pixel", "peak_memory_bytes"),
    *("backend", "device", "seed", "model", "run", "seconds_to_psnr", "steps_to_psnr"),
}


def picture(path: Path, mode: str = "RGB", size: tuple[int, int] = (16, 12), seed: int = 0) -> Path:
    """A smooth picture with a little noise, as a file."""
    rng = np.random.default_rng(seed)
    channels = len(Image.new(mode, (1, 1)).getbands())
    y, x, c = np.mgrid[: size[1], : size[0], :channels]
    values = 128 + 60 * np.sin(x / 3 + c + seed) + 40 * np.cos(y / 4) + rng.normal(0, 3, x.shape)
    pixels = np.clip(values, 0, 255).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if channels == 1 else pixels, mode=mode).save(path)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run and its image, in a folder of their own; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    image = picture(folder / "a.png")
    return fit(
        image,
        out=folder / "runs",
        options={"widths": [8], "grids": [8, 4]},
        batch_size=64,
        steps=30,
        threads=1,
    )


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished run that a test may spoil, at ``tmp_path / "run"``."""
    shutil.copytree(finished.path, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def unfinished(run):
    (run / "metrics.json").unlink()
    return run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working folder, with an image in it."""
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png")
    return tmp_path


# ---- what is refused ---------------------------------------------------------------------------


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _truncated(path: Path) -> None:
    picture(path, size=(40, 40))
    path.write_bytes(path.read_bytes()[:300])


def _text(path: Path) -> None:
    path.write_text("not a picture")


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))


@pytest.mark.parametrize(
    ("spoil", "telling"),
    [
        (lambda path: None, "No such file"),
        (_empty, "is empty"),
        (_truncated, "truncated or damaged"),
        (_text, "is a text file"),
        (_garbage, "damaged"),
        (Path.mkdir, "directory"),
    ],
    ids=["missing", "empty", "truncated", "text", "garbage", "folder"],
)
def test_a_file_that_is_no_image_is_refused(here, capsys, spoil, telling):
    spoil(here / "b.png")
    said = refused(capsys, "fit", "b.png")
    assert telling in said and "b.png" in said
    assert not (here / "runs").exists()


@pytest.mark.parametrize(
    ("flags", "telling"),
    [
        ("--stepz 3", "did you mean --steps"),
        ("--batchsize 3", "did you mean --batch-size"),
        ("--steps ten", "'ten' is not a whole number"),
        ("--steps 2.5", "'2.5' is not a whole number"),
        ("--steps", "--steps"),
        ("--steps 0", "--steps 0 is impossible"),
        ("--steps -3", "--steps -3 is impossible"),
        ("--seconds nan", "--seconds nan is impossible"),
        ("--seconds inf", "--seconds inf is impossible"),
        ("--seconds -1", "--seconds -1.0 is impossible"),
        ("--steps 5 --seconds 5", "--steps and --seconds contradict each other"),
        ("--lr 0", "--lr 0.0 is impossible"),
        ("--lr fast", "'fast' is not a number"),
        ("--batch-size 0", "--batch-size 0 is impossible"),
        ("--threads 0", "--threads 0 is impossible"),
        ("--checkpoint-seconds 0", "--checkpoint-seconds 0.0 is impossible"),
        ("--preset fancy", "--preset fancy is unknown; use one of smooth, lossless, compact"),
        ("--model kam", "--model kam is unknown; did you mean kan?"),
        ("--model perceptron", "--model perceptron is unknown; use one of kan, siren"),
        ("--optimizer sgd", "muon or adam"),
        ("--device tpu", "--device tpu is unknown"),
        ("--precision fp8", "fp32 or fp64 or tf32x3 or tf32 or bf16"),
        ("--order 6", "order 6 is not one of (1, 2, 3, 4, 5)"),
        ("--order cubic", "'cubic' is not a whole number"),
        ("--held-out stripes", "--held-out stripes is not known"),
        ("--held-out 1.5", "--held-out 1.5 is not known"),
        ("--held-out 0.0001", "--held-out 0.0001"),
        ("--widths 8,8 --grids 8,4", "2 widths need 3 grids"),
        ("--widths 8,x", "'8,x' is not widths such as 64,64"),
        ("--widths 0 --grids 8,4", "got 8 -> 0"),
        ("--model siren --options omega_0=[", "'omega_0=[' is not options such as omega_0=60"),
        ("--model siren --options omega_0", "'omega_0' is not options such as omega_0=60"),
        ("--grids a,b", "'a,b' is not grid sizes such as 64,10,10"),
        ("--widths 8 --grids 8,0", "grid sizes must be at least 1"),
        ("--widths 8 --grids 3+8,4", "divide the largest"),
        ("--lossless --held-out checkerboard", "--lossless and --held-out contradict each other"),
        ("--size 1", "--size 1 is too small"),
        ("--size 1000000", "--size 1000000 makes over"),
        ("--seed -1", "--seed -1 is impossible"),
        ("--encoding fancy", "--encoding: 'fancy' is not what belongs there (grid or directions"),
        ("--encoding grid --model siren", "--encoding is of the KAN's presets"),
        ("--encoding grid --options num_directions=4", "encoding: grid contradicts options"),
        ("--parameters 0", "--parameters 0 is impossible"),
        ("--parameters 20 --encoding grid", "--parameters 20: the smallest such field has"),
        ("--parameters 900 --widths 400 --grids 30,30", "leave out other options of the field"),
        ("--target-psnr -5", "--target-psnr -5.0 is impossible"),
        ("--target-psnr nan", "--target-psnr nan is impossible"),
    ],
)
def test_a_bad_flag_is_refused(here, capsys, monkeypatch, flags, telling):
    def train(*_):
        raise AssertionError("training started")

    monkeypatch.setattr("kanfield.training.trainer.Trainer.train", train)
    assert telling in refused(capsys, "fit", "a.png", *flags.split())
    # Bad usage starts nothing, so it must not leave a run folder either.
    assert not (here / "runs").exists()


def test_a_field_too_large_for_memory_is_refused(here, capsys):
    said = refused(capsys, "fit", "a.png", "--widths", "1000000000000000", "--grids", "8,4", codes=(1, 2))
    assert "memory" in said


def test_a_large_seed_is_as_good_as_a_small_one(here):
    main(["fit", "a.png", "--seed", "20240131", "--steps", "2", "--quiet", *SMALL])
    assert (here / "runs/a/kan-0001/metrics.json").exists()


def test_ctrl_c_in_the_first_moment_is_one_line(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setitem(main.__globals__, "_share_cores", interrupted)
    monkeypatch.setattr("sys.argv", ["kanfield", "fit", "a.png"])
    with pytest.raises(SystemExit) as end:
        main()
    assert (end.value.code, capsys.readouterr().err) == (130, "kanfield: interrupted\n")


def test_an_unknown_command_names_the_known_ones(capsys):
    assert "did you mean fit?" in refused(capsys, "fitt", "a.png")
    said = refused(capsys, "xyz")
    assert all(name in said for name in ("fit", "eval", "render", "models", "doctor"))


def test_fit_without_an_image_says_what_to_give(here, capsys):
    assert "kanfield fit IMAGE" in refused(capsys, "fit")


def test_a_file_in_the_way_of_the_run_folder_is_named(here, capsys):
    (here / "taken").write_text("a file")
    said = refused(capsys, "fit", "a.png", "--out", "taken", *SMALL)
    assert "--out taken" in said and "writable" in said


# ---- --resume ----------------------------------------------------------------------------------


def test_resume_of_a_folder_that_is_no_run(here, capsys):
    (here / "empty").mkdir()
    said = refused(capsys, "fit", "--resume", "empty")
    assert "empty is not a run folder" in said


def test_resume_of_a_folder_that_is_not_there(here, capsys):
    assert "nowhere" in refused(capsys, "fit", "--resume", "nowhere")


def test_resume_without_an_unfinished_run(here, run, capsys):
    (here / "runs/a").mkdir(parents=True)
    run.rename(here / "runs/a/kan-0001")
    said = refused(capsys, "fit", "--resume")
    assert "no unfinished run under runs" in said


def test_resume_takes_no_other_settings(here, unfinished, capsys):
    said = refused(capsys, "fit", "--resume", "run", "--steps", "9", "--batch-size", "7", "--lossless")
    assert "leave out" in said
    assert all(flag in said for flag in ("--steps", "--batch-size", "--lossless"))


def test_resume_takes_no_image(here, unfinished, capsys):
    assert "leave out IMAGE" in refused(capsys, "fit", "a.png", "--resume", "run")


def test_resume_takes_one_folder(here, unfinished, capsys):
    assert "one run folder" in refused(capsys, "fit", "--resume", "run", "run")


def _image_of(run: Path, path: Path) -> None:
    content = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**content, "image": str(path)}))


def test_resume_with_another_picture_is_refused(here, unfinished, capsys):
    _image_of(unfinished, picture(here / "b.png", seed=5))
    said = refused(capsys, "fit", "--resume", "run", "--quiet")
    assert "config.yaml names an image that is not the one of this run" in said


def test_resume_with_a_picture_of_another_size_is_refused(here, unfinished, capsys):
    _image_of(unfinished, picture(here / "b.png", size=(9, 9)))
    said = refused(capsys, "fit", "--resume", "run", "--quiet")
    assert "config.yaml names an image that is not the one of this run" in said


def test_resume_without_the_picture_says_where_it_was(here, unfinished, capsys):
    _image_of(unfinished, here / "gone.png")
    said = refused(capsys, "fit", "--resume", "run", "--quiet")
    assert "gone.png" in said and "config.yaml" in said


def test_resume_with_a_damaged_checkpoint_is_refused(here, unfinished, capsys):
    (unfinished / "checkpoints/last.safetensors").write_bytes(b"garbage")
    assert "last.safetensors is damaged" in refused(capsys, "fit", "--resume", "run", "--quiet")


# ---- eval and render ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["eval", "nothing"], ["render", "nothing", "--out", "x.png"]])
def test_a_folder_that_is_no_run_is_named(here, capsys, words):
    assert "nothing is not a run folder" in refused(capsys, *words)


def _foreign(path: Path) -> None:
    save_file({"weight": torch.ones(2)}, path)


def _newer(path: Path) -> None:
    old = read_checkpoint(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 99)
        write_checkpoint(path, Checkpoint(old.tensors, {k: v for k, v in old.info.items() if k != "format"}))


@pytest.mark.parametrize(
    ("spoil", "telling"),
    [
        (_garbage, "is damaged or not a safetensors file"),
        (_empty, "is damaged or not a safetensors file"),
        (_foreign, "was not written by kanfield"),
        (_newer, "format 99"),
        (Path.unlink, "is missing"),
    ],
    ids=["garbage", "empty", "foreign", "newer", "missing"],
)
@pytest.mark.parametrize(
    "words", [["eval", "run"], ["render", "run", "--out", "x.png"]], ids=["eval", "render"]
)
def test_weights_that_cannot_be_read_are_named(here, run, capsys, words, spoil, telling):
    spoil(run / "checkpoints/best.safetensors")
    said = refused(capsys, *words)
    assert telling in said and "best.safetensors" in said
    assert not (here / "x.png").exists()


@pytest.mark.parametrize(
    ("flags", "telling"),
    [
        ("--crop 0,0", "'0,0' is not a crop such as 0,0,64,64"),
        ("--crop 0,0,99,5", "--crop 0,0,99,5 does not lie in the image"),
        ("--crop 5,5,5,9", "--crop 5,5,5,9 does not lie in the image"),
        ("--crop nan,0,5,5", "--crop nan,0,5,5 does not lie in the image"),
        ("--size 800", "'800' is not a size such as 800x600"),
        ("--size 0x5", "--size 0x5 is impossible"),
        ("--scale 0", "--scale 0.0 is impossible"),
        ("--scale -2", "--scale -2.0 is impossible"),
        ("--scale nan", "--scale nan is impossible"),
        ("--scale big", "'big' is not a number"),
        ("--scale 2 --size 8x8", "--scale and --size contradict each other"),
        ("--sclae 2", "did you mean --scale"),
    ],
)
def test_a_bad_rendering_is_refused(here, run, capsys, flags, telling):
    assert telling in refused(capsys, "render", "run", "--out", "x.png", *flags.split())
    assert not (here / "x.png").exists()


@pytest.mark.parametrize("scale", ["1e6", "1e9"])
def test_a_rendering_too_large_for_memory_is_refused(here, run, capsys, scale):
    said = refused(capsys, "render", "run", "--out", "x.png", "--scale", scale, codes=(1, 2))
    assert "--scale" in said or "memory" in said


@pytest.mark.parametrize("name", ["x.gif", "x", "x.txt"])
def test_rendering_to_an_unknown_suffix_names_the_known_ones(here, run, capsys, name):
    said = refused(capsys, "render", "run", "--out", name)
    assert name in said and ".png" in said


def test_rendering_into_a_missing_folder_is_refused(here, run, capsys):
    assert "no/x.png" in refused(capsys, "render", "run", "--out", "no/x.png")


@pytest.mark.parametrize(
    ("out", "telling"),
    [
        ("x.txt", "x.txt has no known image suffix"),
        ("x.exr", "x.exr: EXR holds floats"),
        ("no/x.png", "no/x.png cannot be written"),
        ("a.png/x.png", "a.png/x.png cannot be written"),
        ("folder.png", "--out folder.png is a folder"),
        ("copy.png", "--out copy.png is the picture that run is a fit of"),
        ("/dev/full/x.png", "/dev/full/x.png cannot be written"),
    ],
)
def test_a_rendering_that_must_not_be_written_is_refused_before_it_is_drawn(
    here, run, capsys, monkeypatch, out, telling
):
    (here / "folder.png").mkdir()
    (here / "copy.png").symlink_to(load(run).image_file)
    monkeypatch.setattr(Run, "render", None)
    before = {path.name for path in here.iterdir()}
    assert telling in refused(capsys, "render", "run", "--out", out)
    assert {path.name for path in here.iterdir()} == before


# ---- configuration files -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "telling"),
    [
        (None, "cannot be read"),
        ("steps: [3\nlr: 2", "is not YAML at line 2"),
        ("just words", "holds no settings"),
        ("", "holds no settings"),
        ("stepz: 3", "unknown key 'stepz'; did you mean steps?"),
        ("steps: many", "steps: 'many' is not what belongs there (a whole number)"),
        ("steps: 5\nseconds: 5", "--steps and --seconds contradict each other"),
    ],
    ids=["missing", "no YAML", "words", "empty", "unknown key", "wrong type", "contradiction"],
)
def test_a_bad_configuration_file_is_refused(here, capsys, text, telling):
    if text is not None:
        (here / "c.yaml").write_text(text)
    assert telling in refused(capsys, "fit", "a.png", "--config", "c.yaml")
    assert not (here / "runs").exists()


# ---- help --------------------------------------------------------------------------------------


def test_no_arguments_print_the_help(capsys):
    with pytest.raises(SystemExit) as end:
        main([])
    said = capsys.readouterr()
    assert end.value.code in (0, None)
    assert "fit" in said.out and "render" in said.out and said.err == ""


def test_help_and_version_do_not_wait_for_torch():
    code = """
import sys
from kanfield.cli import main
for words in (["--version"], [], ["--help"], ["fit", "--help"]):
    try:
        main(words)
    except SystemExit as end:
        assert end.code in (0, None)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("kanfield 0.")
    assert "--target-psnr" in done.stdout


def test_models_lists_the_kan(capsys):
    main(["models"])
    assert capsys.readouterr().out.startswith("kan ")


# ---- fit ---------------------------------------------------------------------------------------


def test_json_is_all_of_standard_output_and_metrics_json(here, capsys):
    main(["fit", "a.png", "--steps", "20", "--json", *SMALL])
    said = capsys.readouterr()

    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    printed = json.loads(said.out, parse_constant=no_constant)
    written = json.loads((here / "runs/a/kan-0001/metrics.json").read_text(), parse_constant=no_constant)
    assert printed == written
    assert set(written) >= KEYS
    assert "run folder" in said.err and "step 20" in said.err


def test_metrics_say_what_was_done(here):
    main(["fit", "a.png", "--steps", "20", "--seed", "5", "--quiet", *SMALL])
    metrics = json.loads((here / "runs/a/kan-0001/metrics.json").read_text())
    weights = read_checkpoint(here / "runs/a/kan-0001/checkpoints/best.safetensors").tensors
    count = sum(t.numel() for name, t in weights.items() if name.endswith(("coef", "weight")))
    assert metrics["steps"] == 20 and metrics["seed"] == 5 and metrics["model"] == "kan"
    assert metrics["parameters"] == count
    assert metrics["parameters_per_pixel"] == pytest.approx(count / (16 * 12))
    assert Path(metrics["run"]).samefile(here / "runs/a/kan-0001")
    assert metrics["held_out_psnr"] is None and metrics["target_reached"] is None


def test_quiet_says_nothing(here, capsys):
    main(["fit", "a.png", "--steps", "10", "--quiet", *SMALL])
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_off_a_terminal_progress_is_plain_lines(here):
    words = [sys.executable, "-m", "kanfield", "fit", "a.png", "--steps", "20", *SMALL]
    environment = {**os.environ, "NO_COLOR": "1"}
    environment.pop("FORCE_COLOR", None)
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "\r" not in done.stderr
    assert "PSNR" in done.stdout
    assert "a.png: 16 x 12 RGB, 192 pixels" in done.stderr


def test_the_run_folder_holds_what_the_contract_names(here):
    main(["fit", "a.png", "--steps", "10", "--quiet", *SMALL])
    names = {str(p.relative_to(here / "runs/a/kan-0001")) for p in (here / "runs/a/kan-0001").rglob("*")}
    (events,) = (name for name in names if name.startswith("events.out.tfevents"))
    assert names - {events} == {
        *("config.yaml", "metrics.json", "metrics.csv", "reconstruction.png", "error.png"),
        *("checkpoints", "checkpoints/last.safetensors", "checkpoints/best.safetensors"),
    }


def test_a_second_fit_gets_the_next_number_and_touches_nothing(here):
    words = ["fit", "a.png", "--steps", "10", "--quiet", *SMALL]
    main(words)
    before = {p: p.read_bytes() for p in (here / "runs/a/kan-0001").rglob("*") if p.is_file()}
    main([*words, "--seed", "1"])
    assert {p.name for p in (here / "runs/a").iterdir()} == {"kan-0001", "kan-0002"}
    assert {p: p.read_bytes() for p in (here / "runs/a/kan-0001").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_the_reconstruction_has_size_and_mode_of_the_image(here, mode):
    picture(here / "b.png", mode, size=(15, 9))
    main(["fit", "b.png", "--steps", "10", "--quiet", *SMALL])
    with Image.open(here / "runs/b/kan-0001/reconstruction.png") as got:
        assert (got.size, got.mode) == ((15, 9), mode)
    with Image.open(here / "runs/b/kan-0001/error.png") as got:
        assert (got.size, got.mode) == ((15, 9), "L")


def test_size_resizes_the_longer_side(here):
    main(["fit", "a.png", "--size", "8", "--steps", "5", "--quiet", *SMALL])
    with Image.open(here / "runs/a/kan-0001/reconstruction.png") as got:
        assert got.size == (8, 6)


def test_a_target_in_reach_stops_the_fit(here, capsys):
    main(["fit", "a.png", "--steps", "2000", "--target-psnr", "15", "--json", "--quiet", *SMALL])
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["target_reached"] is True
    assert metrics["psnr"] >= 15
    assert metrics["steps"] < 2000


def test_a_missed_target_is_no_failure(here, capsys):
    main(["fit", "a.png", "--steps", "10", "--target-psnr", "90", *SMALL])
    assert "goal was not reached" in capsys.readouterr().out
    metrics = json.loads((here / "runs/a/kan-0001/metrics.json").read_text())
    assert metrics["target_reached"] is False
    assert metrics["steps"] == 10


def test_held_out_pixels_have_a_psnr_of_their_own(here, capsys):
    main(["fit", "a.png", "--steps", "20", "--held-out", "checkerboard", "--json", "--quiet", *SMALL])
    metrics = json.loads(capsys.readouterr().out)
    assert 0 < metrics["held_out_psnr"] != metrics["psnr"]


def test_lossless_stops_at_the_first_exact_reconstruction(here, capsys):
    image = picture(here / "b.png", size=(8, 8))
    words = shlex.split("--lossless --widths 16 --grids 32,16 --threads 1 --steps 3000 --json --quiet")
    main(["fit", "b.png", *words])
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["lossless"] is metrics["target_reached"] is True
    assert metrics["wrong_pixels"] == 0 and metrics["psnr_8bit"] is None
    assert metrics["steps"] == metrics["best_step"] < 3000
    with Image.open(here / "runs/b/kan-0001/reconstruction.png") as got, Image.open(image) as wanted:
        assert np.array_equal(np.asarray(got), np.asarray(wanted))


def test_lossless_out_of_budget_counts_the_wrong_pixels(here, capsys):
    main(["fit", "a.png", "--lossless", "--steps", "10", *SMALL])
    said = capsys.readouterr().out
    metrics = json.loads((here / "runs/a/kan-0001/metrics.json").read_text())
    assert metrics["preset"] == "lossless"
    assert metrics["target_reached"] is False and metrics["wrong_pixels"] > 0
    assert f"{metrics['wrong_pixels']} pixels" in said


def test_a_preset_alone_never_stops_early(here):
    picture(here / "b.png", size=(4, 4))
    words = shlex.split("--preset lossless --widths 16 --grids 32,16 --threads 1 --steps 300 --quiet")
    main(["fit", "b.png", *words])
    metrics = json.loads((here / "runs/b/kan-0001/metrics.json").read_text())
    assert metrics["lossless"] is True and metrics["steps"] == 300


def test_timelapse_is_an_animation_of_the_image(here):
    main(["fit", "a.png", "--steps", "60", "--timelapse", "--quiet", *SMALL])
    with Image.open(here / "runs/a/kan-0001/timelapse.webp") as film:
        assert film.size == (16, 12)
        assert film.is_animated and film.n_frames > 2
        film.seek(film.n_frames - 1)
        last = np.asarray(film.convert("RGB")).astype(float)
    with Image.open(here / "runs/a/kan-0001/reconstruction.png") as picture_:
        # Frames are compressed with loss, so alike is enough.
        assert np.abs(last - np.asarray(picture_)).mean() < 30


def test_a_full_disk_is_one_line_and_exit_code_1(here, capsys):
    words = ["fit", "a.png", "--steps", "10", "--quiet", "--widths", "32", "--grids", "64,32"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What a full disk does, without filling one: no file may grow past this.
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        refused(capsys, *words, codes=(1,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# ---- eval and render of a good run -------------------------------------------------------------


def test_eval_measures_what_fit_measured(finished, capsys):
    main(["eval", str(finished.path), "--json"])
    metrics = json.loads(capsys.readouterr().out)
    same = KEYS - {"peak_memory_bytes", "threads", "ssim", "psnr"}
    assert {key: metrics[key] for key in same} == {key: finished.metrics[key] for key in same}
    # The last bit may depend on the number of threads.
    assert metrics["psnr"] == pytest.approx(finished.metrics["psnr"], abs=1e-6)
    assert metrics["ssim"] == pytest.approx(finished.metrics["ssim"], abs=1e-6)


def test_eval_writes_nothing(finished, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.path.rglob("*")}
    main(["eval", str(finished.path)])
    assert {p: p.stat().st_mtime_ns for p in finished.path.rglob("*")} == before
    assert f"PSNR {finished.psnr:.2f} dB" in capsys.readouterr().out


def test_metrics_of_an_earlier_version_are_printed(run, capsys):
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["value_range"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    main(["fit", "--resume", str(run)])
    said = capsys.readouterr().out
    assert f"PSNR {metrics['psnr']:.2f} dB" in said and "decibels are relative" not in said


@pytest.mark.parametrize(
    ("flags", "size"),
    [
        ("", (16, 12)),
        ("--scale 2", (32, 24)),
        ("--scale 0.5", (8, 6)),
        ("--size 40x10", (40, 10)),
        ("--crop 2,3,10,6", (8, 3)),
        ("--crop 2,3,10,6 --scale 3", (24, 9)),
        ("--crop 2,3,10,6 --size 7x5", (7, 5)),
    ],
)
def test_a_rendering_has_the_size_asked_for(finished, tmp_path, flags, size):
    main(["render", str(finished.path), "--out", str(tmp_path / "x.png"), *flags.split()])
    with Image.open(tmp_path / "x.png") as got:
        assert (got.size, got.mode) == (size, "RGB")


def test_a_rendering_at_scale_1_is_the_reconstruction(finished, tmp_path):
    main(["render", str(finished.path), "--out", str(tmp_path / "x.png")])
    with Image.open(tmp_path / "x.png") as a, Image.open(finished.path / "reconstruction.png") as b:
        assert np.array_equal(np.asarray(a), np.asarray(b))


def test_a_crop_is_that_part_of_the_whole_rendering(finished, tmp_path):
    whole, part = tmp_path / "whole.png", tmp_path / "part.png"
    main(["render", str(finished.path), "--out", str(whole), "--scale", "4"])
    main(["render", str(finished.path), "--out", str(part), "--scale", "4", "--crop", "3,2,9,11"])
    with Image.open(whole) as a, Image.open(part) as b:
        assert np.array_equal(np.asarray(a)[8:44, 12:36], np.asarray(b))


def test_a_rendering_says_where_it_is_on_standard_error(finished, tmp_path, capsys):
    main(["render", str(finished.path), "--out", str(tmp_path / "x.png")])
    said = capsys.readouterr()
    assert said.out == "" and "16 x 12" in said.err
