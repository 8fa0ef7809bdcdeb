"""What people get wrong, on the command line and in Python, and the very line that tells them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image as PILImage

from kanfield import KAN, KANLayer, fit, load, read_image
from kanfield.cli import main
from kanfield.fields import family_names
from kanfield.images import Image

COMMANDS = [
    (
        "fitt a.png",
        "unknown command 'fitt'; did you mean fit?",
    ),
    (
        "fit",
        "which image? kanfield fit IMAGE, or kanfield fit --resume",
    ),
    (
        "fit nowhere.png",
        "nowhere.png cannot be read (No such file or directory): give an image file",
    ),
    (
        "fit empty.png",
        "empty.png is empty: give a PNG, JPEG, WebP, BMP, GIF, PNM, TIFF, Radiance HDR or OpenEXR image",
    ),
    (
        "fit text.png",
        "text.png is not an image, or its header is damaged: give a PNG, JPEG, WebP, BMP, GIF, PNM, "
        "TIFF, Radiance HDR or OpenEXR image",
    ),
    (
        "fit dot.png",
        "dot.png is a single pixel: give an image of at least two pixels",
    ),
    (
        "fit run",
        "run cannot be read (Is a directory): give an image file",
    ),
    (
        "fit nan.tiff",
        "nan.tiff has a pixel that is NaN or infinite, at row 1, column 2 (counted from 0): replace "
        "them with numbers",
    ),
    (
        "fit int32.tiff",
        "int32.tiff holds 32-bit signed integer pixels of gray colours: kanfield reads TIFF of gray "
        "and RGB colours with 8 or 16 bits or floats; convert it",
    ),
    (
        "fit float.tiff --lossless",
        "--lossless: floating-point pixels are never exactly met; give --target-psnr instead",
    ),
    (
        "fit a.png --max-pixels 100",
        "a.png has 16 x 12 pixels, over 100: raise --max-pixels",
    ),
    (
        "fit a.png --max-pixels 0",
        "--max-pixels 0 is impossible: give a number above zero",
    ),
    (
        "fit a.png --stepz 5",
        "Unrecognized options: --stepz, 5; did you mean --steps? (see kanfield fit --help)",
    ),
    (
        "fit a.png --steps ten",
        "Error parsing --steps: 'ten' is not a whole number (see kanfield fit --help)",
    ),
    (
        "fit a.png --steps 0",
        "--steps 0 is impossible: give a number above zero",
    ),
    (
        "fit a.png --steps 2.5",
        "Error parsing --steps: '2.5' is not a whole number (see kanfield fit --help)",
    ),
    (
        "fit a.png --steps 5 --seconds 5",
        "--steps and --seconds contradict each other: give one",
    ),
    (
        "fit a.png --seconds nan",
        "--seconds nan is impossible: give a number above zero",
    ),
    (
        "fit a.png --lr -1",
        "--lr -1.0 is impossible: give a number above zero",
    ),
    (
        "fit a.png --batch-size 0",
        "--batch-size 0 is impossible: give a number above zero",
    ),
    (
        "fit a.png --threads 0",
        "--threads 0 is impossible: give a number above zero",
    ),
    (
        "fit a.png --model kam",
        "--model kam is unknown; did you mean kan?",
    ),
    (
        "fit a.png --model perceptron",
        f"--model perceptron is unknown; use one of {', '.join(family_names())}",
    ),
    (
        "fit a.png --model siren --grids 8,8",
        "--model siren: grids is no setting of siren; it has widths, omega_0, hidden_omega_0",
    ),
    (
        "fit a.png --model siren --options omega=30",
        "--model siren: omega is no setting of siren; did you mean omega_0?",
    ),
    (
        "fit a.png --model siren --options omega_0=high",
        "options: omega_0: 'high' is not what belongs there (a number)",
    ),
    (
        "fit a.png --model siren --options omega_0=-1",
        "--model siren: omega_0 must be above zero, got -1.0 and 30.0",
    ),
    (
        "fit a.png --model siren --options widths=8",
        "options: widths is a setting of its own; give --widths",
    ),
    (
        "fit a.png --options omega_0=30",
        "--model kan: omega_0 is no setting of kan; it has widths, grids, order, noise, frequency, "
        "directions, precision",
    ),
    (
        "fit a.png --model kan-rbf --grids 8+16,8,8,8",
        "--model kan-rbf: nested levels belong to the splines of --model kan: give one grid size a layer",
    ),
    (
        "fit a.png --model siren --preset smooth",
        "--preset smooth is the KAN's: leave it out with --model siren",
    ),
    (
        "fit a.png --preset fancy",
        "--preset fancy is unknown; use one of smooth, lossless, compact",
    ),
    (
        "fit a.png --optimizer sgd",
        "--optimizer: 'sgd' is not what belongs there (muon or adam)",
    ),
    (
        "fit a.png --device tpu",
        "--device tpu is unknown: use auto, cpu, cuda, cuda:1, xpu or mps",
    ),
    (
        "fit a.png --precision fp8",
        "--precision: 'fp8' is not what belongs there (fp32 or fp64 or tf32x3 or tf32 or bf16)",
    ),
    (
        "fit a.png --precision bf16 --lossless",
        "--precision bf16 and --lossless contradict each other: its rounding leaves pixels wrong; use tf32, "
        "tf32x3 or fp32",
    ),
    (
        "fit a.png --precision tf32 --model siren",
        "--precision tf32 is of the KAN's splines: leave it out with --model siren",
    ),
    (
        "fit a.png --order 4",
        "--order 4 is impossible: splines have order 1, 2 or 3",
    ),
    (
        "fit a.png --held-out stripes",
        "--held-out stripes is not known: give checkerboard, every-second, or a fraction between 0 and "
        "1 such as 0.25",
    ),
    (
        "fit a.png --held-out 1.5",
        "--held-out 1.5 is not known: give checkerboard, every-second, or a fraction between 0 and 1 "
        "such as 0.25",
    ),
    (
        "fit small.png --held-out 0.01",
        "--held-out 0.01 on 5 x 5 pixels leaves none seen or none held out: give another value or a "
        "larger image",
    ),
    (
        "fit a.png --widths 8,8 --grids 8,4",
        "--widths names 2 hidden layers, so --grids needs 3 sizes, not 2",
    ),
    (
        "fit a.png --widths 8,x",
        "Error parsing --widths: '8,x' is not widths such as 64,64 (see kanfield fit --help)",
    ),
    (
        "fit a.png --widths 0 --grids 8,4",
        "--widths [0]: every width must be at least 1",
    ),
    (
        "fit a.png --grids a,b",
        "Error parsing --grids: 'a,b' is not grid sizes such as 64,10,10 or 16+64,10 (see kanfield fit "
        "--help)",
    ),
    (
        "fit a.png --widths 8 --grids 3+8,4",
        "--grids [3, 8]: sizes lie between 1 and 100,000, and nested levels divide the largest",
    ),
    (
        "fit a.png --lossless --held-out checkerboard",
        "--lossless and --held-out contradict each other: pixels never seen cannot be exact",
    ),
    (
        "fit a.png --lossless --target-psnr 40",
        "--lossless and --target-psnr contradict each other: give one goal",
    ),
    (
        "fit a.png --size 1",
        "--size 1 is too small: give 2 pixels or more",
    ),
    (
        "fit a.png --size 1000000",
        "--size 1000000 makes over 178,956,970 pixels: give a smaller size",
    ),
    (
        "fit a.png --seed -1",
        "--seed -1 is impossible: give 0 or more, below 2^63",
    ),
    (
        "fit a.png --target-psnr nan",
        "--target-psnr nan is impossible: give decibels above zero",
    ),
    (
        "fit a.png --mask small.png",
        "--mask small.png has 5 x 5 pixels, the image 16 x 12: give a mask of the same size",
    ),
    (
        "fit a.png --mask black.png",
        "--mask black.png marks none of the pixels: paint white what is missing, black the rest",
    ),
    (
        "fit a.png --mask white.png",
        "--mask white.png marks all of the pixels: paint white what is missing, black the rest",
    ),
    (
        "fit a.png --mask nowhere.png",
        "nowhere.png cannot be read (No such file or directory): give an image file",
    ),
    (
        "fit a.png --out taken",
        "--out taken: no run folder can be made there (Not a directory); give a folder that is writable",
    ),
    (
        "fit a.png --config nowhere.yaml",
        "nowhere.yaml cannot be read (No such file or directory): give a YAML file of settings",
    ),
    (
        "fit a.png --config list.yaml",
        "list.yaml holds no settings: one 'key: value' a line",
    ),
    (
        "fit a.png --config yaml.yaml",
        "yaml.yaml is not YAML at line 2: one 'key: value' a line",
    ),
    (
        "fit a.png --config typo.yaml",
        "typo.yaml: unknown key 'widht'; did you mean 'widths'?",
    ),
    (
        "fit a.png --config type.yaml",
        "type.yaml: steps: 'many' is not what belongs there (a whole number)",
    ),
    (
        "fit a.png --config phase.yaml",
        "phase.yaml: phases: [{'steps': 5}] is not what belongs there (a list of {steps: N, lr: X})",
    ),
    (
        "fit a.png --config grid.yaml",
        "grid.yaml: grids: ['a'] is not what belongs there (a list of grid sizes or lists of them)",
    ),
    (
        "fit a.png b.png",
        "Unrecognized options: b.png (see kanfield fit --help)",
    ),
    (
        "fit --resume nowhere",
        "nowhere is not a run folder, it has no config.yaml: kanfield runs lists them",
    ),
    (
        "fit --resume noconfig",
        "noconfig is not a run folder, it has no config.yaml: kanfield runs lists them",
    ),
    (
        "fit --resume missing_keys",
        "missing_keys/config.yaml is not a run's own, it lacks widths, grids, order, noise, frequency, "
        "batch_size, optimizer, lr, adam_lr, range_steps: start a run of it with kanfield fit IMAGE "
        "--config missing_keys/config.yaml",
    ),
    (
        "fit --resume badconfig",
        "badconfig/config.yaml is not YAML at line 1: one 'key: value' a line",
    ),
    (
        "fit --resume unfinished --steps 5",
        "--resume takes everything from the run's own config.yaml: leave out --steps",
    ),
    (
        "fit a.png --resume unfinished",
        "--resume takes everything from the run's own config.yaml: leave out IMAGE",
    ),
    (
        "fit --resume run unfinished",
        "--resume takes one run folder",
    ),
    (
        "fit --resume --out nothing",
        "--resume: no unfinished run under nothing; name the run folder or --out",
    ),
    (
        "eval nowhere",
        "nowhere is not a run folder, it has no config.yaml: kanfield runs lists them",
    ),
    (
        "eval noweights",
        "noweights/checkpoints/last.safetensors is missing: fit again with kanfield fit --config "
        "noweights/config.yaml",
    ),
    (
        "eval noconfig",
        "noconfig is not a run folder, it has no config.yaml: kanfield runs lists them",
    ),
    (
        "eval missing_keys",
        "missing_keys/config.yaml is not a run's own, it lacks widths, grids, order, noise, frequency, "
        "batch_size, optimizer, lr, adam_lr, range_steps: start a run of it with kanfield fit IMAGE "
        "--config missing_keys/config.yaml",
    ),
    (
        "eval badconfig",
        "badconfig/config.yaml is not YAML at line 1: one 'key: value' a line",
    ),
    (
        "render run",
        "Missing from kanfield render: --out PATH The picture to write: .png, .tiff, .exr, .webp, .jpg "
        "or .bmp. (required) (see kanfield render --help)",
    ),
    (
        "render run --out x.txt",
        "x.txt has no known image suffix: use one of .png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff, .exr",
    ),
    (
        "render run --out no/x.png",
        "no/x.png cannot be written (No such file or directory): give a file in a folder that exists "
        "and is writable",
    ),
    (
        "render run --out x.hdr",
        "x.hdr: Radiance HDR cannot hold the pixels exactly: use .png",
    ),
    (
        "render run --out x.exr",
        "x.exr: EXR holds floats, not 8-bit integers: use .png or .tiff",
    ),
    (
        "render run --out x.png --crop 0,0",
        "Error parsing --crop: '0,0' is not a crop such as 0,0,64,64 (see kanfield render --help)",
    ),
    (
        "render run --out x.png --crop 0,0,99,5",
        "--crop 0,0,99,5 does not lie in the image: x from 0 to 16, y from 0 to 12, left before right, "
        "top before bottom",
    ),
    (
        "render run --out x.png --size 800",
        "Error parsing --size: '800' is not a size such as 800x600 (see kanfield render --help)",
    ),
    (
        "render run --out x.png --scale 0",
        "--scale 0.0 is impossible: give a number above zero",
    ),
    (
        "render run --out x.png --scale 1e6",
        "16000000 x 12000000 is over 178,956,970 pixels: give a smaller --scale or --size, or draw "
        "parts with --crop",
    ),
    (
        "render run --out x.png --scale 2 --size 8x8",
        "--scale and --size contradict each other: give one",
    ),
    (
        "render run --out x.png --gradient --laplacian",
        "--gradient and --laplacian are two pictures: give one at a time",
    ),
    (
        "render noweights --out x.png",
        "noweights/checkpoints/best.safetensors is missing: fit again with kanfield fit --config "
        "noweights/config.yaml",
    ),
    (
        "runs --prune",
        "--prune asks before it removes: run it where a terminal can answer",
    ),
    (
        "runs --json --prune",
        "--json and --prune contradict each other: --prune asks before it removes",
    ),
    (
        "completion tcsh",
        "no completion for 'tcsh': give bash, zsh or fish",
    ),
    (
        "completion",
        "which shell? kanfield completion bash, zsh or fish",
    ),
]
CALLS = [
    (
        "fit(np.zeros((4, 4, 3)))",
        "fit takes a file or an Image, not a ndarray: kanfield.images.Image(pixels, 'RGB') makes one "
        "of an array",
    ),
    (
        "fit(None)",
        "fit takes a file or an Image, not a NoneType: kanfield.images.Image(pixels, 'RGB') makes one "
        "of an array",
    ),
    (
        "fit(Image(np.zeros((4, 4), np.uint8), 'L'))",
        "Pixels of shape (4, 4) are no image: give (height, width, channels) with 1 to 4 channels, for "
        "gray such as pixels[..., None]",
    ),
    (
        "fit(Image(np.zeros((4, 4, 3), np.uint8), 'L'))",
        "Mode 'L' does not fit 3 channels: give 'RGB'",
    ),
    (
        "fit(Image(np.zeros((4, 4, 3)), 'RGB'))",
        "Pixels of type float64 are not supported: give uint8, uint16 or float32",
    ),
    (
        "fit(Image(np.zeros((0, 4, 3), np.uint8), 'RGB'))",
        "Pixels of shape (0, 4, 3) are an empty image: give at least one pixel",
    ),
    (
        "fit(Image(np.full((4, 4, 1), np.nan, np.float32), 'L'))",
        "The image has 16 pixels that are NaN or infinite, the first at row 0, column 0 (counted from "
        "0): replace them with numbers",
    ),
    (
        "fit(Image(np.zeros((1, 1, 1), np.uint8), 'L'))",
        "The image is a single pixel: give one of at least two pixels",
    ),
    (
        "fit('a.png', stepz=5)",
        "fit: unknown key 'stepz'; did you mean 'steps'?",
    ),
    (
        "fit('a.png', steps='many')",
        "fit: steps: 'many' is not what belongs there (a whole number)",
    ),
    (
        "fit('a.png', widths=8)",
        "fit: widths: 8 is not what belongs there (a list of whole numbers)",
    ),
    (
        "fit('a.png', settings={'steps': 5})",
        "settings: give Settings, or each by its name, as in fit(image, steps=200)",
    ),
    (
        "fit('a.png', size='big')",
        "fit: size: 'big' is not what belongs there (a whole number)",
    ),
    (
        "fit('a.png', mask=np.zeros((12, 16)))",
        "fit: mask: array([[0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0., 0.,... is not what belongs "
        "there (text)",
    ),
    (
        "load('nowhere')",
        "nowhere is not a run folder, it has no config.yaml: kanfield runs lists them",
    ),
    (
        "load('unfinished').psnr",
        "unfinished is unfinished: go on with kanfield fit --resume unfinished",
    ),
    (
        "load('badmetrics').metrics",
        "badmetrics/metrics.json is damaged: kanfield eval badmetrics measures anew",
    ),
    (
        "load('run').render(scale=-1)",
        "--scale -1 is impossible: give a number above zero",
    ),
    (
        "load('run').render(crop=(5, 5, 5, 9))",
        "--crop 5,5,5,9 does not lie in the image: x from 0 to 16, y from 0 to 12, left before right, "
        "top before bottom",
    ),
    (
        "load('run').render(size=(0, 5))",
        "--size 0x5 is impossible: give pixels as WIDTHxHEIGHT",
    ),
    (
        "load('run').derivative('slope')",
        "there is no derivative 'slope': give gradient or laplacian",
    ),
    (
        "read_image('a.png', size=1)",
        "--size 1 is too small: give 2 pixels or more",
    ),
    (
        "KAN([2, 8, 1], [8])",
        "3 widths need 2 grid sizes, got 1",
    ),
    (
        "KAN([2], 8)",
        "widths run from inputs to outputs, such as [2, 64, 1], got [2]",
    ),
    (
        "KAN([2, 8, 1], order=4)",
        "spline order 4 is not one of (1, 2, 3)",
    ),
    (
        "KAN([2, 8, 1], base='relu')",
        "base 'relu' is not 'silu' or None",
    ),
    (
        "KANLayer(2, 5, [3, 8])",
        "grid sizes must be at least 1 and divide the largest, got [3, 8]",
    ),
    (
        "KANLayer(0, 5)",
        "a layer needs inputs and outputs, got 0 -> 5",
    ),
    (
        "KANLayer(2, 5).refine(1.5)",
        "factor must be a positive whole number, got 1.5",
    ),
    (
        "KAN([2, 8, 1])(torch.zeros(4, 3))",
        "the layer takes inputs (*, 2), got (4, 3)",
    ),
]
NAMES = {
    **{"KAN": KAN, "KANLayer": KANLayer, "Image": Image, "fit": fit, "load": load, "read_image": read_image},
    **{"np": np, "torch": torch},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Good and bad images, settings and runs; nothing here is changed by what is refused."""
    here = tmp_path_factory.mktemp("mistakes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kanfield.monitors.tensorboard.edge_figure", lambda field: None)
        patch.chdir(here)
        _, x, c = np.mgrid[:12, :16, :3]
        PILImage.fromarray((128 + 100 * np.sin(x / 3 + c)).astype(np.uint8)).save("a.png")
        run = fit("a.png", out=".", widths=[8], grids=[8, 4], steps=10, threads=1).path
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
    tifffile.imwrite(here / "int32.tiff", values.astype(np.int32))
    values[1, 2] = np.nan
    tifffile.imwrite(here / "nan.tiff", values)
    _spoil_settings(here)
    _spoil_runs(here)
    return here


def _spoil_settings(here: Path) -> None:
    for name, text in {
        "list": "- 1",
        "yaml": "steps: [3\nlr: 2",
        "typo": "widht: [3]",
        "type": "steps: many",
        "phase": "phases: [{steps: 5}]",
        "grid": "grids: [a]",
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


@pytest.mark.parametrize(("words", "message"), COMMANDS, ids=[words for words, _ in COMMANDS])
def test_a_wrong_command_is_answered_in_one_line(folder, monkeypatch, capfd, words, message):
    monkeypatch.chdir(folder)
    before = set(folder.rglob("*"))
    with pytest.raises(SystemExit) as end:
        main(words.split())
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", f"kanfield: {message}\n")
    assert end.value.code == 2
    assert set(folder.rglob("*")) == before  # bad usage starts nothing


@pytest.mark.parametrize(("call", "message"), CALLS, ids=[call for call, _ in CALLS])
def test_a_wrong_call_is_answered_in_one_line(folder, monkeypatch, call, message):
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole message is compared)
        eval(call, NAMES)
    assert str(caught.value) == message
