"""The kinds of files that ``fuzz.py`` damages: good ones, and what reads them."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from fuzz_images import write_images
from fuzz_inputs import Inputs, Wrong, command, commands
from PIL import Image as PILImage

_FIT: dict[str, Any] = {
    "steps": 12,
    "batch_size": 64,
    "threads": 1,
    "checkpoint_seconds": 1e-6,
    "spectrum": True,
}


class Images(Inputs):
    """Pictures of every format."""

    def write_seeds(self, folder: Path) -> None:  # noqa: D102
        write_images(folder)

    def read(self, path: Path, name: str) -> None:  # noqa: D102
        from kanfield.images import MAX_PIXELS, read_image

        image = read_image(path)
        pixels = image.pixels
        if pixels.ndim != 3 or pixels.shape[:2] != (image.height, image.width):
            raise Wrong(f"shape {pixels.shape} for {image.width} x {image.height}")
        if (
            pixels.dtype not in (np.uint8, np.uint16, np.float32)
            or not 2 <= pixels[..., 0].size <= MAX_PIXELS
        ):
            raise Wrong(f"{pixels.dtype} {pixels.shape}")
        known = pixels if image.missing is None else pixels[~image.missing]
        if not np.isfinite(known).all():
            raise Wrong("known pixels that are not finite")
        low, high = image.value_range
        if not (np.isfinite([low, high]).all() and low <= high):
            raise Wrong(f"range {low} to {high}")


def _write_run(picture: Path, out: Path, model: str, **options: object) -> Path:
    """Fit a tiny picture, which is written if it is not there, and return the run's folder."""
    from kanfield import fit

    if not picture.exists():
        y, x, c = np.mgrid[:12, :16, :3]
        waves = 128 + 100 * np.sin(x / 3 + c) * np.cos(y / 4)
        PILImage.fromarray(waves.astype(np.uint8)).save(picture)
    return fit(picture, model=model, out=out, options=options, **_FIT).path


class Runs(Inputs):
    """Files of a run folder, read by ``runs``, ``render``, ``eval`` and ``fit --resume``."""

    patterns = (
        *("run/config.yaml", "run/metrics.json", "run/metrics.csv", "run/spectrum.csv"),
        *("run/checkpoints/best.safetensors", "run/checkpoints/last.safetensors"),
    )

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        _draw_no_edges()

    def write_seeds(self, folder: Path) -> None:  # noqa: D102
        run = _write_run(self.folder / "picture.png", folder / "made", "kan", widths=[4], grids=[4, 3])
        run.rename(folder / "run")
        shutil.rmtree(folder / "made")
        # TensorBoard's file is written and never read.
        for events in (folder / "run").glob("events.*"):
            events.unlink()

    def read(self, path: Path, name: str) -> None:  # noqa: D102
        run = self.scratch / "photo" / "kan-0001"
        run.parent.mkdir()
        (self.scratch / "run").rename(run)
        listed = ("runs", "--out", self.scratch), ("runs", "--out", self.scratch, "--json")
        resumed = ("fit", "--resume", run, "--json", "--quiet")
        picture = (
            "render",
            run,
            "--out",
            self.scratch / "a.png",
            "--size",
            "8x8",
            "--quiet",
            "--threads",
            "1",
        )
        if path.name == "config.yaml":
            commands(*listed, picture, ("eval", run, "--json"))
        elif path.name == "metrics.json":
            commands(*listed, resumed)
        elif path.name == "best.safetensors":
            commands(
                picture,
                ("eval", run, "--json"),
                ("render", run, "--out", self.scratch / "g.png", "--gradient"),
            )
        else:
            (run / "metrics.json").unlink()
            with contextlib.nullcontext() if path.name == "spectrum.csv" else _no_heat_map():
                commands(*listed, resumed)


class Settings(Inputs):
    """Files for ``fit --config``, up to the moment where a fit would begin."""

    def write_seeds(self, folder: Path) -> None:  # noqa: D102
        from kanfield.fields import family_names

        configs = Path(__file__).parent.parent / "configs"
        for file in [*configs.glob("*.yaml"), *configs.glob("poster/*.yaml")]:
            shutil.copy(file, folder / file.name)
        for name in family_names():
            (folder / f"model-{name}.yaml").write_text(f"model: {name}\nsteps: 20\nseed: 3\nsize: 8\n")
        (folder / "grid.yaml").write_text(
            "encoding: grid\nparameters: 3000\nheld_out: 0.25\noptimizer: adam\nlr: 1e-3\nprecision: fp64\n"
            "phases: [{steps: 10, lr: 0.01}, {steps: 5, lr: 1e-3}]\nrange_steps: 5\nsmoothness: 0.001\n"
        )
        (folder / "options.yaml").write_text(
            "steps: 20\noptions: {widths: [8, 8], grids: [8, [4, 2], 4], order: 2, init_noise: 0.1}\n"
        )

    def read(self, path: Path, name: str) -> None:  # noqa: D102
        class _Begins(Exception):
            pass

        picture = self.seeds.parent / "picture.png"
        if not picture.exists():
            PILImage.new("RGB", (12, 9), (10, 200, 90)).save(picture)
        with (
            mock.patch("kanfield.runs.folder.RunFolder.create", side_effect=_Begins),
            contextlib.suppress(_Begins),
        ):
            command("fit", picture, "--config", path, "--out", self.scratch / "runs", "--quiet", "--json")


class Plans(Inputs):
    """Files of a comparison, read by ``compare --resume``, ``spectrum`` and ``runs``; no fit is begun."""

    patterns = (
        *("compare.yaml", "runs/*/seed-0/picture/*/config.yaml", "runs/*/seed-0/picture/*/metrics.*"),
        *("runs/*/seed-0/picture/*/spectrum.csv", "runs/*/seed-0/picture/*/label.txt"),
        "runs/*/seed-0/picture/*/*.png",
    )

    def write_seeds(self, folder: Path) -> None:  # noqa: D102
        from kanfield.comparison.plan import Plan, write_plan

        picture = self.folder / "picture.png"
        models: dict[str, dict[str, object]] = {
            "kan": {"widths": [4], "grids": [4, 3]},
            "siren": {"widths": [4]},
        }
        for model, options in models.items():
            run = _write_run(picture, folder / "runs" / model / "seed-0", model, **options)
            (run / "label.txt").write_text(f"{model}\n")
        plan = Plan([str(picture)], list(models), steps=12, threads=1, spectrum=True)
        write_plan(folder, plan)

    def read(self, path: Path, name: str) -> None:  # noqa: D102
        lines: list[tuple[object, ...]] = [("compare", "--resume", self.scratch, "--json", "--quiet")]
        lines.append(("runs", "--out", self.scratch / "runs/kan/seed-0", "--json"))
        if path.name not in ("compare.yaml", "metrics.csv", "error.png", "reconstruction.png"):
            lines.append(("spectrum", self.scratch, "--out", self.scratch / "spectra", "--json", "--quiet"))
        with mock.patch("kanfield.comparison.compare._run", return_value="not begun while fuzzing"):
            commands(*lines)


def _draw_no_edges() -> None:
    """The figure of the KAN's edges for TensorBoard takes longer than such a fit, and depends on no file."""
    from kanfield.monitors import tensorboard

    mock.patch.object(tensorboard, "edge_figure", return_value=None).start()


def _no_heat_map() -> contextlib.AbstractContextManager[object]:
    """The figure of the spectrum takes a second, and depends on spectrum.csv alone."""
    from matplotlib.figure import Figure

    return mock.patch("kanfield.training.fit.spectrum_figure", side_effect=lambda curve: Figure((1, 1)))


KINDS: dict[str, type[Inputs]] = {"images": Images, "runs": Runs, "settings": Settings, "plans": Plans}
