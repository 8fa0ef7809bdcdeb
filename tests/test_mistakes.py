"""What people get wrong, on the command line and in Python, and the one line that tells them.

Each case is what is typed and the phrases its answer must have: the option, file or value that is wrong, and
the fact that says why. The rest of the sentence may be reworded without a change here.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from conftest import absent, refused
from PIL import Image as PILImage

from kanfield import KAN, KANLayer, fit, load, read_image
from kanfield.fields import family_names
from kanfield.images import Image

# One of each kind word for word, so that a garbled sentence does not pass.
SENTENCES = [
    ("fitt a.png", "unknown command 'fitt'; did you mean fit?"),
    ("fit nowhere.png", "nowhere.png cannot be read (No such file or directory): give an image file"),
    ("fit dot.png", "dot.png is a single pixel: give an image of at least two pixels"),
    ("fit a.png --lr -1", "--lr -1.0 is impossible: give a number above zero"),
    ("fit a.png --steps 5 --seconds 5", "--steps and --seconds contradict each other: give one"),
    ("fit a.png --preset fancy", "--preset fancy is unknown; use one of smooth, lossless, compact"),
    ("fit a.png --size 1", "--size 1 is too small: give 2 pixels or more"),
    ("fit --resume nowhere", "nowhere is not a run folder, it has no config.yaml: kanfield runs lists them"),
    ("render run --out x.exr", "x.exr: EXR holds floats, not 8-bit integers: use .png or .tiff"),
    ("completion tcsh", "no completion for 'tcsh': give bash, zsh or fish"),
]
COMMANDS = [
    # The image.
    ("fit", "kanfield fit IMAGE", "--resume"),
    ("fit empty.png", "empty.png is empty", "PNG", "TIFF", "OpenEXR"),
    ("fit text.png", "text.png", "text file", "give an image file"),
    ("fit run", "run", "directory"),
    ("fit nan.tiff", "nan.tiff", "no known pixel"),
    ("fit float.tiff --lossless", "--lossless", "floating-point", "--target-psnr"),
    ("fit a.png --max-pixels 100", "a.png", "16 x 12", "over 100", "--max-pixels"),
    ("fit a.png --size 1000000", "--size 1000000", "178,956,970", "smaller"),
    ("fit a.png --mask small.png", "--mask small.png", "5 x 5", "16 x 12"),
    ("fit a.png --mask black.png", "--mask black.png", "none", "white"),
    ("fit a.png --mask white.png", "--mask white.png", "all", "white"),
    ("fit a.png --mask nowhere.png", "nowhere.png", "No such file"),
    # Flags that tyro refuses, in its words.
    ("fit a.png --stepz 5", "--stepz", "--steps"),
    ("fit a.png --steps ten", "--steps", "'ten'"),
    ("fit a.png --steps 2.5", "--steps", "'2.5'"),
    ("fit a.png --widths 8,x", "--widths", "'8,x'", "64,64"),
    ("fit a.png --grids a,b", "--grids", "'a,b'", "16+64,10"),
    ("fit a.png b.png", "b.png"),
    ("render run", "--out"),
    ("render run --out x.png --crop 0,0", "--crop", "'0,0'", "0,0,64,64"),
    ("render run --out x.png --size 800", "--size", "'800'", "800x600"),
    # Flags out of range or unknown.
    ("fit a.png --max-pixels 0", "--max-pixels 0", "above zero"),
    ("fit a.png --steps 0", "--steps 0", "above zero"),
    ("fit a.png --seconds nan", "--seconds nan", "above zero"),
    ("fit a.png --batch-size 0", "--batch-size 0", "above zero"),
    ("fit a.png --threads 0", "--threads 0", "above zero"),
    ("fit a.png --seed -1", "--seed -1", "2^63"),
    ("fit a.png --target-psnr nan", "--target-psnr nan", "above zero"),
    ("fit a.png --model kam", "--model kam", "unknown", "did you mean kan?"),
    ("fit a.png --model perceptron", "--model perceptron", "unknown", ", ".join(family_names())),
    ("fit a.png --optimizer sgd", "--optimizer", "'sgd'", "muon", "adam"),
    ("fit a.png --device tpu", "--device tpu", "cpu", "cuda"),
    ("fit a.png --precision fp8", "--precision", "'fp8'", "fp32", "bf16"),
    ("fit a.png --order 6", "order 6", "(1, 2, 3, 4, 5)"),
    ("fit a.png --held-out stripes", "--held-out stripes", "checkerboard", "every-second", "0.25"),
    ("fit a.png --held-out 1.5", "--held-out 1.5", "between 0 and 1"),
    ("fit small.png --held-out 0.01", "--held-out 0.01", "5 x 5", "larger image"),
    # The families' own options.
    ("fit a.png --model siren --grids 8,8", "siren", "grids", "widths, omega_0, hidden_omega_0"),
    ("fit a.png --model siren --options omega=30", "siren", "omega ", "did you mean omega_0?"),
    ("fit a.png --model siren --options omega_0=high", "omega_0", "'high'", "a number"),
    ("fit a.png --model siren --options omega_0=-1", "siren", "omega_0", "above zero", "-1.0"),
    ("fit a.png --model siren --options widths=8", "options: widths", "a list of whole numbers"),
    ("fit a.png --options omega_0=30", "kan", "omega_0", "widths", "grids", "order", "precision"),
    ("fit a.png --model kan-rbf --grids 8+16,8,8,8", "grids", "[8, 16]", "a whole number"),
    ("fit a.png --widths 8,8 --grids 8,4", "--model kan", "2 widths", "3 grids", "got 2"),
    ("fit a.png --widths 0 --grids 8,4", "--model kan", "8 -> 0"),
    ("fit a.png --widths 8 --grids 3+8,4", "grid sizes", "[3, 8]", "divide the largest"),
    # Flags that exclude each other.
    ("fit a.png --model siren --preset smooth", "--preset smooth", "--model siren"),
    ("fit a.png --precision bf16 --lossless", "--precision bf16", "--lossless", "rounding", "fp32"),
    ("fit a.png --precision tf32 --model siren", "tf32", "siren"),
    ("fit a.png --lossless --held-out checkerboard", "--lossless and --held-out", "never seen"),
    ("fit a.png --lossless --target-psnr 40", "--lossless and --target-psnr", "one goal"),
    # Files of settings.
    ("fit a.png --out taken", "--out taken", "Not a directory", "writable"),
    ("fit a.png --config nowhere.yaml", "nowhere.yaml", "No such file", "YAML"),
    ("fit a.png --config list.yaml", "list.yaml", "no settings"),
    ("fit a.png --config yaml.yaml", "yaml.yaml", "not YAML", "line 2"),
    ("fit a.png --config typo.yaml", "typo.yaml", "'stepz'", "did you mean steps?"),
    ("fit a.png --config type.yaml", "type.yaml", "steps", "'many'", "a whole number"),
    ("fit a.png --config phase.yaml", "phase.yaml", "phases", "[{'steps': 5}]", "{steps: N, lr: X}"),
    ("fit a.png --config grid.yaml", "options: grids", "'a'"),
    # Runs.
    ("fit --resume noconfig", "noconfig", "not a run folder", "config.yaml", "kanfield runs"),
    ("fit --resume missing_keys", "missing_keys/config.yaml", "batch_size, optimizer", "kanfield fit IMAGE"),
    ("fit --resume badconfig", "badconfig/config.yaml", "not YAML", "line 1"),
    ("fit --resume unfinished --steps 5", "--resume", "config.yaml", "leave out --steps"),
    ("fit a.png --resume unfinished", "--resume", "config.yaml", "leave out IMAGE"),
    ("fit --resume run unfinished", "--resume", "one run folder"),
    ("fit --resume --out nothing", "--resume", "no unfinished run under nothing", "--out"),
    ("eval nowhere", "nowhere", "not a run folder", "kanfield runs"),
    ("eval noweights", "noweights/checkpoints/last.safetensors", "missing", "--config noweights/config.yaml"),
    ("eval noconfig", "noconfig", "not a run folder", "kanfield runs"),
    ("eval missing_keys", "missing_keys/config.yaml", "batch_size, optimizer", "kanfield fit IMAGE"),
    ("eval badconfig", "badconfig/config.yaml", "not YAML", "line 1"),
    ("runs --prune", "--prune", "terminal"),
    ("runs --json --prune", "--json and --prune", "contradict"),
    ("completion", "kanfield completion", "bash", "zsh", "fish"),
    # Rendering.
    ("render run --out x.txt", "x.txt", "suffix", ".png", ".tiff", ".exr"),
    ("render run --out no/x.png", "no/x.png", "No such file", "folder that exists"),
    ("render run --out x.hdr", "x.hdr", "Radiance HDR", ".png"),
    ("render run --out x.png --crop 0,0,99,5", "--crop 0,0,99,5", "x from 0 to 16", "y from 0 to 12"),
    ("render run --out x.png --scale 0", "--scale 0", "above zero"),
    ("render run --out x.png --scale 1e6", "16000000 x 12000000", "178,956,970", "--scale", "--crop"),
    ("render run --out x.png --scale 2 --size 8x8", "--scale and --size", "give one"),
    ("render run --out x.png --gradient --laplacian", "--gradient and --laplacian", "one at a time"),
    ("render noweights --out x.png", "noweights/checkpoints/best.safetensors", "missing", "kanfield fit"),
]
CALLS = [
    ("fit(np.zeros((4, 4, 3)))", "ndarray", "kanfield.images.Image(pixels, 'RGB')"),
    ("fit(None)", "NoneType", "kanfield.images.Image(pixels, 'RGB')"),
    ("fit(Image(np.zeros((4, 4), np.uint8), 'L'))", "(4, 4)", "(height, width, channels)"),
    ("fit(Image(np.zeros((4, 4, 3), np.uint8), 'L'))", "'L'", "3 channels", "'RGB'"),
    ("fit(Image(np.zeros((4, 4, 3)), 'RGB'))", "float64", "uint8, uint16 or float32"),
    ("fit(Image(np.zeros((0, 4, 3), np.uint8), 'RGB'))", "(0, 4, 3)", "empty"),
    (
        "fit(Image(np.full((4, 4, 1), np.nan, np.float32), 'L'))",
        "The image has no known pixel",
        "give another",
    ),
    ("fit(Image(np.zeros((1, 1, 1), np.uint8), 'L'))", "single pixel", "two pixels"),
    ("fit('a.png', stepz=5)", "'stepz'", "did you mean steps?"),
    ("fit('a.png', steps='many')", "steps", "'many'", "a whole number"),
    ("fit('a.png', settings={'steps': 5})", "settings", "steps=200"),
    ("fit('a.png', size='big')", "size", "'big'", "a whole number"),
    ("fit('a.png', mask=np.zeros((12, 16)))", "mask", "array(", "text"),
    ("load('nowhere')", "nowhere", "not a run folder", "kanfield runs"),
    ("load('unfinished').psnr", "unfinished", "kanfield fit --resume unfinished"),
    ("load('badmetrics').metrics", "badmetrics/metrics.json", "damaged", "kanfield eval badmetrics"),
    ("load('run').render(scale=-1)", "scale -1", "above zero"),
    ("load('run').render(crop=(5, 5, 5, 9))", "crop 5,5,5,9", "x from 0 to 16", "left before right"),
    ("load('run').render(size=(0, 5))", "size 0x5", "WIDTHxHEIGHT"),
    ("load('run').derivative('slope')", "'slope'", "gradient or laplacian"),
    ("read_image('a.png', size=1)", "size 1", "2 pixels"),
    ("fit('a.png', options={'widths': 8})", "widths", "8", "a list of whole numbers"),
    ("fit('a.png', widths=[8])", "unknown key 'widths'", "options: {widths"),
    ("KAN(2, 1, [8], [8])", "1 widths", "2 grids", "got 1"),
    ("KAN(2, 1, [8], order=6)", "order 6", "(1, 2, 3, 4, 5)"),
    ("KAN(2, 1, [8], base='relu')", "base", "'relu'", "'silu'"),
    ("KANLayer(2, 5, [3, 8])", "grid sizes", "divide the largest", "[3, 8]"),
    ("KANLayer(0, 5)", "0 -> 5"),
    ("KANLayer(2, 5).refine(1.5)", "factor", "positive whole number", "1.5"),
    ("KAN(2, 1, [8])(torch.zeros(4, 3))", "(*, 2)", "(4, 3)"),
]
NAMES = {
    **{"KAN": KAN, "KANLayer": KANLayer, "Image": Image, "fit": fit, "load": load, "read_image": read_image},
    **{"np": np, "torch": torch},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, no_edge_figures):
    """Good and bad images, settings and runs; nothing here is changed by what is refused."""
    here = tmp_path_factory.mktemp("mistakes")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        _, x, c = np.mgrid[:12, :16, :3]
        PILImage.fromarray((128 + 100 * np.sin(x / 3 + c)).astype(np.uint8)).save("a.png")
        run = fit("a.png", out=".", options={"widths": [8], "grids": [8, 4]}, steps=10, threads=1).path
        shutil.move(run, "run")
    PILImage.new("L", (1, 1)).save(here / "dot.png")
    PILImage.new("L", (5, 5)).save(here / "small.png")
    PILImage.new("L", (16, 12)).save(here / "black.png")
    PILImage.new("L", (16, 12), 255).save(here / "white.png")
    (here / "empty.png").write_bytes(b"")
    (here / "text.png").write_text("not a picture")
    (here / "taken").write_text("a file")
    values = np.zeros((4, 5), np.float32)
    tifffile.imwrite(here / "float.tiff", values + np.arange(5, dtype=np.float32))
    values[:] = np.nan
    tifffile.imwrite(here / "nan.tiff", values)
    _spoil_settings(here)
    _spoil_runs(here)
    return here


def _spoil_settings(here: Path) -> None:
    for name, text in {
        "list": "- 1",
        "yaml": "steps: [3\nlr: 2",
        "typo": "stepz: 3",
        "type": "steps: many",
        "phase": "phases: [{steps: 5}]",
        "grid": "options: {grids: [a]}",
    }.items():
        (here / f"{name}.yaml").write_text(text)


def _spoil_runs(here: Path) -> None:
    """Half-deleted and damaged copies of the run."""
    for name in ("unfinished", "noweights", "noconfig", "badconfig", "badmetrics", "missing_keys"):
        shutil.copytree(here / "run", here / name)
    (here / "unfinished/metrics.json").unlink()
    shutil.rmtree(here / "noweights/checkpoints")
    (here / "noconfig/config.yaml").unlink()
    (here / "badconfig/config.yaml").write_text("a: [1")
    (here / "badmetrics/metrics.json").write_text("{")
    (here / "missing_keys/config.yaml").write_text("image: a.png\nsteps: 5\n")


@pytest.fixture
def files(folder, monkeypatch):
    """The working folder with all of that in it; a refusal starts nothing and leaves it as it is."""
    monkeypatch.chdir(folder)
    before = set(folder.rglob("*"))
    yield
    assert set(folder.rglob("*")) == before


@pytest.mark.parametrize(("command", "sentence"), SENTENCES, ids=[command for command, _ in SENTENCES])
def test_a_wrong_command_is_answered_with_this_sentence(files, capfd, command, sentence):
    assert refused(capfd, *command.split()) == f"kanfield: {sentence}\n"


@pytest.mark.parametrize(
    ("command", "phrases"), [(c, p) for c, *p in COMMANDS], ids=[c for c, *_ in COMMANDS]
)
def test_a_wrong_command_is_answered_in_one_line(files, capfd, command, phrases):
    said = refused(capfd, *command.split())
    assert not absent(said, phrases), said


@pytest.mark.parametrize(("call", "phrases"), [(c, p) for c, *p in CALLS], ids=[c for c, *_ in CALLS])
def test_a_wrong_call_is_answered_in_one_line(files, call, phrases):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the phrases are compared)
        eval(call, NAMES)
    said = str(caught.value)
    assert "\n" not in said
    assert not absent(said, phrases), said
