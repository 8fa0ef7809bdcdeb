"""What a run leaves behind: the reconstruction, the error map, ``metrics.json``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import imageio.v3 as imageio

from kanfield import metrics
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.files import replacing, write_json
from kanfield.images import Image, write_image
from kanfield.machine import pick_device
from kanfield.monitors.spectrum_log import read_spectrum
from kanfield.runs.run import load, make_field
from kanfield.training.evaluation import error_map
from kanfield.training.memory import peak_memory_bytes
from kanfield.training.target import fingerprint, make_target
from kanfield.training.trainer import Trainer

_FRAME_MS = 150


WEBP_SIDE = 16_383  # pixels that WebP can hold a side


def measure(trainer: Trainer) -> tuple[Image, dict[str, Any]]:
    """The reconstruction with the trainer's current weights, and what ``metrics.json`` says of it."""
    image, p, settings = trainer.image, trainer.progress, trainer.settings
    peak = peak_memory_bytes(trainer.target.device)  # of the training: LPIPS has a network of its own
    result = trainer.look()
    picture, wrong = result.picture, None if result.wrong is None else int(result.wrong.sum())
    assert picture is not None
    if trainer.target.held_out is not None and wrong is not None:
        differs, missing = (image.pixels != picture.pixels).any(2).ravel(), trainer.target.missing
        wrong = int((differs if missing is None else differs & ~missing).sum())
    parameters = sum(t.numel() for t in trainer.net.parameters())
    curve = read_spectrum(trainer.folder.spectrum)
    content = {
        "psnr": result.psnr,
        "held_out_psnr": result.held_out_psnr,
        **_compare(trainer, picture),
        "value_range": list(image.value_range),
        "lossless": wrong == 0,
        "wrong_pixels": wrong,
        "target_reached": _target_reached(settings, result.psnr, wrong),
        "seconds": round(p.seconds, 3),
        "steps": p.step,
        "best_step": p.best_step,
        "parameters": parameters,
        "parameters_per_pixel": parameters / (image.height * image.width),
        "peak_memory_bytes": peak,
        **trainer.machine(),
        "seed": settings.seed,
        "model": settings.model,
        "preset": settings.preset,
        "run": str(trainer.folder.path),
        "seconds_to_psnr": p.seconds_to_psnr,
        "steps_to_psnr": p.steps_to_psnr,
        "spectrum": None if curve is None else curve.summary(),
    }
    return picture, content


def _compare(trainer: Trainer, picture: Image) -> dict[str, Any]:
    """Qualities of the whole picture; there is no judging what the fit had no way to know."""
    image = trainer.image
    if trainer.target.missing is not None:
        reason = "with --mask, part of the image is unknown"
        return {"psnr_8bit": None, "ssim": None, "lpips": None, "lpips_reason": reason}
    a, b = image.to_8bit().pixels, picture.to_8bit().pixels
    distance, reason_or_none = metrics.lpips(a, b)
    return {
        "psnr_8bit": metrics.psnr_8bit(a, b),
        "ssim": metrics.ssim(image.pixels, picture.pixels, image.value_range),
        "lpips": distance,
        "lpips_reason": reason_or_none,
    }


def write_results(trainer: Trainer) -> dict[str, Any]:
    """Write pictures and ``metrics.json`` of the best weights; the file comes last and ends the run."""
    folder = trainer.folder
    picture, content = measure(trainer)
    write_image(folder.path / f"reconstruction{trainer.image.suffix}", picture)
    if trainer.image.suffix != ".png":
        write_image(folder.reconstruction, picture.to_8bit())  # to look at
    write_image(folder.error_map, error_map(trainer.target, picture))
    if folder.frames.is_dir():
        write_timelapse(folder.frames, folder.path / "timelapse.webp")
    write_json(folder.metrics, content)
    return content


def write_timelapse(frames: Path, target: Path) -> None:
    """Join the numbered frames to an animation, where WebP can hold it; the last picture stays a while."""
    pictures = [imageio.imread(path) for path in sorted(frames.glob("*.png"))]
    if not pictures or max(pictures[0].shape[:2]) > WEBP_SIDE:
        return
    with replacing(target) as temporary:
        durations = [_FRAME_MS] * (len(pictures) - 1) + [8 * _FRAME_MS]
        imageio.imwrite(temporary, pictures, extension=".webp", duration=durations, loop=0, quality=90)


def _target_reached(settings: Settings, psnr: float, wrong: int | None) -> bool | None:
    if settings.lossless:
        return wrong == 0
    return None if settings.target_psnr is None else psnr >= settings.target_psnr


def evaluate_run(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The content of ``metrics.json``, with every quality measured anew on the image as it is now.

    What belongs to the training (steps, seconds, first crossings) comes from the run's checkpoint.

    Raises:
        InputError: the folder is not a run, has no checkpoint, or its image has changed.
    """
    run = load(path)
    try:
        device = pick_device(run.settings.device)
    except InputError:  # fitted on another machine
        device = pick_device("auto")
    net = make_field(run.settings, run.image.channels).to(device)
    target = make_target(run.settings, run.image, next(net.parameters()))
    trainer = Trainer(net, target, run.settings, run.folder, fingerprint=fingerprint(run.image))
    trainer.restore()
    trainer.use_best_weights()
    return measure(trainer)[1]
