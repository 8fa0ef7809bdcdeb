"""The command line: parse, call, print. Everything that needs torch is imported when a command runs."""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import Positional, arg, subcommand

import kanfield
from kanfield.errors import InputError, Interrupted, KanfieldError

if TYPE_CHECKING:
    from rich.console import Console

    from kanfield.training.config import Settings


def _spec(name: str, metavar: str, parse: Any) -> Any:
    """How tyro reads one word as a value, with an error for people."""

    def from_words(words: list[str]) -> Any:
        if words == ["None"]:
            return None
        try:
            return parse(words[0])
        except ValueError:
            raise ValueError(f"'{words[0]}' is not {name}") from None

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=from_words,
        is_instance=lambda value: True,
        str_from_instance=lambda value: ["None" if value is None else str(value)],
    )


def _ints(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _grids(text: str) -> list[int | list[int]]:
    levels = [[int(size) for size in word.split("+")] for word in text.split(",")]
    return [sizes[0] if len(sizes) == 1 else sizes for sizes in levels]


def _pair(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def _box(text: str) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(word) for word in text.split(","))
    return x0, y0, x1, y1


Whole = Annotated[int | None, _spec("a whole number", "N", int)]
Number = Annotated[float | None, _spec("a number", "X", float)]
Widths = Annotated[list[int] | None, _spec("widths such as 64,64", "W,W", _ints)]
Grids = Annotated[
    list[int | list[int]] | None, _spec("grid sizes such as 64,10,10 or 16+64,10", "G,G,G", _grids)
]
Size = Annotated[tuple[int, int] | None, _spec("a size such as 800x600", "WxH", _pair)]
Box = Annotated[
    tuple[float, float, float, float] | None, _spec("a crop such as 0,0,64,64", "X0,Y0,X1,Y1", _box)
]
Text = Annotated[str | None, _spec("text", "NAME", str)]
File = Annotated[Path | None, _spec("a path", "PATH", Path)]


@dataclass
class Fit:
    """Fit a field to an image and keep it in a run folder."""

    image: Annotated[Positional[File], arg(metavar="[IMAGE]")] = None
    """The image file: 8-bit PNG, JPEG, WebP or BMP."""
    resume: Annotated[tuple[Path, ...] | None, arg(metavar="[RUN]")] = None
    """Go on with a run that was interrupted; without a folder, the latest unfinished one under --out."""
    out: Path = Path("runs")
    """Where the numbered run folder is made."""
    model: Text = None
    """Family of fields (kanfield models lists them). Default: kan."""
    preset: Text = None
    """smooth (default: true between the pixels), lossless (every 8-bit pixel exact) or compact."""
    config: File = None
    """YAML file of settings, such as a run's own config.yaml; flags beat it."""
    size: Whole = None
    """Resize the longer side to this many pixels first (Lanczos)."""
    steps: Whole = None
    """Training steps. Default: the preset's."""
    seconds: Number = None
    """Training time instead of steps, from the first step."""
    target_psnr: Number = None
    """Stop at this PSNR in dB."""
    lossless: bool = False
    """Stop when every 8-bit pixel is exact; takes the preset lossless unless another is given."""
    held_out: Text = None
    """Pixels the fit must not see: checkerboard, every-second (keeps a quarter) or a fraction."""
    widths: Widths = None
    """Hidden units, e.g. 64,64."""
    grids: Grids = None
    """Grid cells of every layer, e.g. 64,10,10; nested levels with +, e.g. 16+64,10,10."""
    order: Whole = None
    """Degree of the splines: 1, 2 or 3."""
    batch_size: Whole = None
    """Pixels in a step."""
    optimizer: Text = None
    """muon (hidden coefficients, Adam for the rest) or adam."""
    lr: Number = None
    """Learning rate; with muon, Adam's moves in proportion."""
    seed: Whole = None
    """Seed of weights and batches. Default: 0."""
    threads: Whole = None
    """CPU threads."""
    device: Text = None
    """auto, cpu, cuda, cuda:1 or mps. Default: auto."""
    precision: Text = None
    """fp32 or fp64. Default: fp32."""
    checkpoint_seconds: Number = None
    """Seconds between checkpoints. Default: 10."""
    timelapse: bool = False
    """Also write an animation of the reconstruction as it improves."""
    json: bool = False
    """Print metrics.json on standard output, and everything else on standard error."""
    quiet: bool = False
    """No progress."""

    def run(self) -> None:
        from kanfield.training.fit import fit, resume
        from kanfield.training.folder import RunFolder

        console = None if self.quiet else _console()
        flags = self._settings()
        if self.resume is not None:
            self._check_resume(flags)
            folder = self.resume[0] if self.resume else RunFolder.latest_unfinished(self.out).path
            run = resume(folder, console=console)
        else:
            settings, image = self._merged(flags)
            run = fit(image, settings, out=self.out, console=console)
        _report(run.metrics, self.json, self.quiet)

    def _settings(self) -> dict[str, Any]:
        others = {"image", "resume", "out", "config", "json", "quiet"}
        return {k: v for k, v in vars(self).items() if k not in others and v is not None and v is not False}

    def _check_resume(self, flags: dict[str, Any]) -> None:
        assert self.resume is not None
        if len(self.resume) > 1:
            raise InputError("--resume takes one run folder")
        given = [f"--{name.replace('_', '-')}" for name in flags]
        given += ["--config"] if self.config else []
        given += ["IMAGE"] if self.image else []
        if given:
            names = ", ".join(given)
            raise InputError(f"--resume takes everything from the run's own config.yaml: leave out {names}")

    def _merged(self, flags: dict[str, Any]) -> tuple[Settings, Path]:
        from kanfield.training.config import Settings, overlay, read_settings, settings_from

        base, named = read_settings(self.config) if self.config else (Settings(), None)
        image = self.image or (Path(named) if named else None)
        if image is None:
            raise InputError("which image? kanfield fit IMAGE, or kanfield fit --resume")
        checked = settings_from(flags, "flags")
        return overlay(base, {key: getattr(checked, key) for key in flags}), image


@dataclass
class Eval:
    """Measure a run's best weights anew against its image."""

    path: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder."""
    json: bool = False
    """Print the metrics as JSON on standard output."""

    def run(self) -> None:
        from kanfield.training.evaluate_run import evaluate_run

        _report(evaluate_run(self.path), self.json, quiet=False)


@dataclass
class Render:
    """Draw a run's field at any scale, size or crop."""

    path: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder."""
    out: Path
    """The picture to write: .png, .webp, .jpg or .bmp."""
    scale: Number = None
    """Pixels of the picture for one of the image. Default: 1."""
    size: Size = None
    """Size of the picture instead, as WIDTHxHEIGHT."""
    crop: Box = None
    """Part of the image to draw, in its pixels: left, top, right, bottom."""

    def run(self) -> None:
        from kanfield.images import write_image
        from kanfield.training.run import load

        if self.scale is not None and self.size is not None:
            raise InputError("--scale and --size contradict each other: give one")
        scale = 1.0 if self.scale is None else self.scale
        picture = load(self.path).render(scale=scale, size=self.size, crop=self.crop)
        write_image(self.out, picture)
        print(f"{self.out}: {picture.width} x {picture.height}", file=sys.stderr)


@dataclass
class Models:
    """List the families of fields."""

    def run(self) -> None:
        from kanfield.fields import MODELS

        for name, summary in MODELS.items():
            print(f"{name:12} {summary}")


@dataclass
class Doctor:
    """Versions, devices, the backend in use and why, and a self-test of the spline operator."""

    json: bool = False
    """Print the findings as JSON on standard output."""

    def run(self) -> None:
        from kanfield.doctor import examine, print_report

        findings = examine()
        if self.json:
            print(json.dumps(findings, indent=2))
        else:
            print_report(findings)
        if not findings["healthy"]:
            raise SystemExit(1)


COMMANDS = ("fit", "eval", "render", "models", "doctor")
Command = (
    Annotated[Fit, subcommand("fit")]
    | Annotated[Eval, subcommand("eval")]
    | Annotated[Render, subcommand("render")]
    | Annotated[Models, subcommand("models")]
    | Annotated[Doctor, subcommand("doctor")]
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with the code that ``--help`` and the README state."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        print(f"kanfield {kanfield.__version__}")
        return
    try:
        _parse(words).run()
    except KanfieldError as error:
        _fail(str(error), error.exit_code)
    except Interrupted as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except MemoryError:
        _fail("out of memory: give a smaller image, --size or --crop", 1)
    except BrokenPipeError:
        raise SystemExit(0) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", 1)


def _parse(words: list[str]) -> Any:
    """The command that the words ask for; what tyro says of a mistake becomes one line."""
    if not words:
        words = ["--help"]
    if not words[0].startswith("-") and words[0] not in COMMANDS:
        near = difflib.get_close_matches(words[0], COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"commands: {', '.join(COMMANDS)}"
        raise InputError(f"unknown command '{words[0]}'; {hint}")
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return tyro.cli(
                Command,  # type: ignore[arg-type]
                args=words,
                prog="kanfield",
                description=kanfield.__doc__.splitlines()[0],  # type: ignore[union-attr]
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
    except SystemExit as end:
        if end.code in (0, None):
            raise
        command = words[0] if not words[0].startswith("-") else ""
        raise InputError(_one_line(said.getvalue(), command)) from None


def _one_line(box: str, command: str) -> str:
    """tyro's boxed error as one line, with the help that mends it."""
    lines = [line.strip("│╭╮╰╯─ ").strip() for line in box.splitlines()]
    text = " ".join(line for line in lines[1:] if line)
    text = re.split(r"─{5,}|Argument helptext|For full helptext", text)[0].strip(" .─")
    near = re.search(r"(--[\w-]+)", box[box.find("Perhaps you meant") :]) if "Perhaps" in box else None
    text = re.sub(r"\s*Perhaps you meant.*", "", text)
    if near:
        text += f"; did you mean {near[1]}?"
    usage = f"kanfield {command} --help" if command in {"fit", "eval", "render"} else "kanfield --help"
    return f"{text or 'bad usage'} (see {usage})"


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _report(metrics: dict[str, Any], as_json: bool, quiet: bool) -> None:
    if as_json:
        print(json.dumps(metrics, indent=2, allow_nan=False))
        return
    if quiet:
        return
    lines = [f"PSNR {metrics['psnr']:.2f} dB on the pixels trained on"]
    if metrics["held_out_psnr"] is not None:
        lines.append(f"PSNR {metrics['held_out_psnr']:.2f} dB on the pixels held out")
    if metrics["lossless"]:
        lines.append("every 8-bit pixel is exact")
    elif metrics["target_reached"] is False:
        lines.append(f"the goal was not reached; {metrics['wrong_pixels']:,} pixels are not exact")
    similar = "" if metrics["ssim"] is None else f", SSIM {metrics['ssim']:.4f}"
    lines.append(f"{metrics['steps']} steps in {metrics['seconds']:.1f} s{similar}")
    lines.append(f"reconstruction, error map, metrics and weights: {metrics['run']}")
    print("\n".join(lines))


def _fail(message: str, code: int) -> None:
    print(f"kanfield: {message}", file=sys.stderr)
    raise SystemExit(code)
