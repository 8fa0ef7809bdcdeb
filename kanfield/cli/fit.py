"""``kanfield fit``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from kanfield.cli.printing import print_metrics, progress_console
from kanfield.cli.values import File, Flag, Grids, Names, Number, Options, Range, Text, Tiles, Whole, Widths
from kanfield.errors import InputError

if TYPE_CHECKING:
    from kanfield.config.settings import Settings


_CONFIG = (
    "YAML file of settings, such as a run's own config.yaml; flags beat it. configs/example.yaml explains "
    "all its keys, also those without a flag: alpha, adam_lr, range_steps, smoothness, phases."
)
_OPTIONS = ("widths", "grids", "order")  # options of the field that have a flag of their own
_OF_THE_MACHINE = {"device", "threads"}  # what a run may go on with otherwise than it began


@dataclass
class Fit:
    """Fit a field to an image and keep it in a run folder."""

    image: Annotated[Positional[File], arg(metavar="[IMAGE]", help_behavior_hint="")] = None
    """The image file: PNG, JPEG, TIFF, WebP, EXR, HDR and others, of 8 bits, 16 bits or floats."""
    resume: Annotated[tuple[Path, ...] | None, arg(metavar="[RUN]", help_behavior_hint="")] = None
    """Go on with a run that was interrupted; without a folder, the latest unfinished one under --out. Of the
    settings, --device and --threads may be given anew, which changes the last bits of the result."""
    out: Path = Path("runs")
    """Where the numbered run folder is made."""
    model: Text = None
    """Family of fields (kanfield models lists them). Default: kan."""
    preset: Text = None
    """smooth (default: true between the pixels), lossless (every 8-bit pixel exact) or compact."""
    encoding: Text = None
    """What the KAN sees: grid (features on local grids), directions, both, or none (coordinates)."""
    parameters: Whole = None
    """Parameters of the KAN, at most. Default: the preset's share of the pixels."""
    config: Annotated[File, arg(help=_CONFIG)] = None
    size: Whole = None
    """Resize the longer side to this many pixels first (Lanczos)."""
    max_pixels: Whole = None
    """Decode no file with more pixels than this. Default: 178,956,970."""
    page: Whole = None
    """Which picture of a file that holds several (TIFF, GIF, WebP and others), from 1. Default: the first."""
    tiles: Tiles = None
    """Split the picture into tiles of at most N pixels a side, a field each; 1: one field. Default: auto, 512
    above 1,048,576 pixels, or 4,194,304 with few parameters or other fields than a KAN on grids."""
    workers: Whole = None
    """Processes that fit tiles. Default: one per GPU, or per two cores; kanfield work adds others."""
    engine: Text = None
    """ray: have tiles fitted by the tasks of a Ray cluster, which RAY_ADDRESS names."""
    steps: Whole = None
    """Training steps. Default: the preset's."""
    seconds: Number = None
    """Training time instead of steps, from the first step."""
    target_psnr: Number = None
    """Stop at this PSNR in dB."""
    lossless: Flag = False
    """Stop when every 8-bit pixel is exact; takes the preset lossless unless another is given."""
    held_out: Text = None
    """Pixels the fit must not see: checkerboard, every-second (keeps a quarter) or a fraction."""
    mask: File = None
    """Picture of the image's size, white where the image is missing: there the field predicts it."""
    bands: Names = None
    """Channels to fit, by number from 1 or by name, such as 4,3,2: three are shown as red, green and blue."""
    nodata: Number = None
    """Value that stands for a missing pixel, where the file does not say so."""
    value_range: Range = None
    """Values that stand for black and white, such as 0,4095; decibels count against their difference."""
    tonemap: Text = None
    """log: fit, and count decibels, on a logarithm of the values; pictures are mapped back."""
    widths: Widths = None
    """Hidden units, e.g. 64,64."""
    grids: Grids = None
    """Grid cells of every layer, e.g. 64,10,10; nested levels with +, e.g. 16+64,10,10."""
    order: Whole = None
    """Degree of the splines, 1 to 5."""
    options: Options = None
    """What else a family takes, e.g. omega_0=60,hidden_omega_0=30 (kanfield models lists all)."""
    batch_size: Whole = None
    """Pixels per step."""
    optimizer: Text = None
    """muon (hidden coefficients, Adam for the rest) or adam."""
    lr: Number = None
    """Learning rate; with muon, Adam's rate changes in proportion."""
    seed: Whole = None
    """Seed of weights and batches. Default: 0."""
    threads: Whole = None
    """CPU threads."""
    device: Text = None
    """auto, cpu, cuda, cuda:1, xpu or mps. Default: auto."""
    precision: Text = None
    """fp32 or fp64; tf32x3, tf32 or bf16 inside the KAN's splines, for GPUs. Default: fp32."""
    compile: Flag = False
    """Train with torch.compile; the start takes longer."""
    checkpoint_seconds: Number = None
    """Seconds between checkpoints. Default: 10."""
    timelapse: Flag = False
    """Also write an animation of the reconstruction as it improves."""
    spectrum: Flag = False
    """Also log the error in every octave of frequencies: spectrum.csv, spectrum.png, TensorBoard."""
    json: Flag = False
    """Print metrics.json on standard output, and everything else on standard error."""
    quiet: Flag = False
    """Print nothing but errors and what --json asks for."""

    def run(self) -> None:
        """Fit, or go on with a run, and print its metrics."""
        from kanfield.process import leads
        from kanfield.runs.folder import RunFolder
        from kanfield.tiles.entry import fit, resume

        console = progress_console(self.quiet or not leads())
        flags = self._settings()
        if self.resume is not None:
            self._check_resume(flags)
            folder = self.resume[0] if self.resume else RunFolder.latest_unfinished(self.out).path
            run = resume(
                folder,
                console=console,
                device=self.device,
                threads=self.threads,
                workers=self.workers,
                engine=self.engine,
            )
        else:
            settings, image = self._merged(flags)
            run = fit(
                image, settings, out=self.out, console=console, workers=self.workers, engine=self.engine
            )
        if leads():  # of several processes, the others end before all is measured
            print_metrics(run.metrics, self.json, self.quiet)

    def _settings(self) -> dict[str, Any]:
        others = {"image", "resume", "out", "config", "workers", "engine", "json", "quiet"}
        given = {k: v for k, v in vars(self).items() if k not in others and v is not None and v is not False}
        options = {**given.pop("options", {}), **{k: given.pop(k) for k in _OPTIONS if k in given}}
        given |= {"options": options} if options else {}
        return {k: str(v) if isinstance(v, Path) else v for k, v in given.items()}

    def _check_resume(self, flags: dict[str, Any]) -> None:
        assert self.resume is not None
        if len(self.resume) > 1:
            raise InputError("--resume takes one run folder")
        given = [f"--{name.replace('_', '-')}" for name in flags if name not in _OF_THE_MACHINE]
        given += ["--config"] if self.config else []
        given += ["IMAGE"] if self.image else []
        if given:
            names = ", ".join(given)
            raise InputError(f"--resume takes everything from the run's own config.yaml: leave out {names}")

    def _merged(self, flags: dict[str, Any]) -> tuple[Settings, Path]:
        from kanfield.config.parse import read_settings, settings_from
        from kanfield.config.resolve import merge_flags
        from kanfield.config.settings import Settings

        base, named = read_settings(self.config) if self.config else (Settings(), None)
        image = self.image or (Path(named) if named else None)
        if image is None:
            raise InputError("which image? kanfield fit IMAGE, or kanfield fit --resume")
        checked = settings_from(flags, "--")
        return merge_flags(base, {key: getattr(checked, key) for key in flags}), image
