"""What a run leaves behind: the reconstruction, the error map, ``metrics.json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from kanfield import metrics
from kanfield.config.settings import Settings
from kanfield.errors import RunFailed
from kanfield.fields.field import Field, count_parameters
from kanfield.files import replacing, write_json
from kanfield.images import Image, write_image
from kanfield.monitors.spectrum_log import read_spectrum
from kanfield.monitors.tolerant import tolerated
from kanfield.runs.checkpoint import environment
from kanfield.runs.folder import RunFolder
from kanfield.runs.progress import Progress
from kanfield.training.evaluation import error_map, evaluate
from kanfield.training.memory import peak_memory_bytes
from kanfield.training.target import Target

_FRAME_MS = 150


WEBP_SIDE = 16_383  # pixels that WebP can hold a side


def measure(
    field: Field, target: Target, progress: Progress, settings: Settings, folder: RunFolder
) -> tuple[Image, dict[str, Any]]:
    """Draw a field and measure how good it is.

    Args:
        field: with the weights to judge.
        target: what it was fitted to.
        progress: of its training.
        settings: of the fit, resolved.
        folder: of the run.

    Returns:
        The reconstruction, and the content of ``metrics.json``.
    """
    image = target.image
    peak = peak_memory_bytes(target.device)  # of the training: LPIPS has a network of its own
    result = evaluate(field, target)
    picture, wrong = result.picture, None if result.wrong is None else int(result.wrong.sum())
    if picture is None:
        raise RunFailed(f"the field of {folder.path} gives NaN: fit the image again with a smaller --lr")
    if target.held_out is not None and wrong is not None:
        differs = (image.pixels != picture.pixels).any(2).ravel()
        wrong = int((differs if target.missing is None else differs & ~target.missing).sum())
    parameters = count_parameters(field)
    curve = read_spectrum(folder.spectrum)
    content = {
        "psnr": result.psnr,
        "held_out_psnr": result.held_out_psnr,
        "band_psnr": dict(zip(image.band_names, result.band_psnr, strict=True)),
        **_compare(target, picture),
        "value_range": list(image.value_range),
        "tonemap": settings.tonemap,
        "alpha": settings.alpha,
        "missing_pixels": 0 if target.missing is None else int(target.missing.sum()),
        "lossless": wrong == 0,
        "wrong_pixels": wrong,
        "target_reached": target_reached(settings, result.psnr, wrong),
        "seconds": round(progress.seconds, 3),
        "steps": progress.step,
        "best_step": progress.best_step,
        "parameters": parameters,
        "parameters_per_pixel": parameters / (image.height * image.width),
        "peak_memory_bytes": peak,
        **environment(field),
        "seed": settings.seed,
        "model": settings.model,
        "preset": settings.preset,
        "encoding": settings.encoding,
        "run": str(folder.path),
        "seconds_to_psnr": progress.seconds_to_psnr,
        "steps_to_psnr": progress.steps_to_psnr,
        "spectrum": None if curve is None else curve.summary(),
    }
    return picture, content


def _compare(target: Target, picture: Image) -> dict[str, Any]:
    """Qualities of the whole picture; None where part of the image is unknown."""
    if target.missing is not None:
        reason = "part of the image is unknown (--mask, or pixels without a value)"
        return {"psnr_8bit": None, "ssim": None, "lpips": None, "lpips_reason": reason}
    image = target.image
    a, b = view_8bit(image), view_8bit(picture)
    distance, reason_or_none = metrics.lpips(a, b)
    return {
        "psnr_8bit": metrics.psnr_8bit(a, b),
        "ssim": mean_ssim(image, picture),
        "lpips": distance,
        "lpips_reason": reason_or_none,
    }


def view_8bit(image: Image) -> NDArray[np.uint8]:
    """What a viewer sees, 8 bits a channel; premultiplied colours as they are over black."""
    pixels = image.to_8bit().pixels
    if not image.premultiplied:
        return pixels
    alpha = pixels[..., -1:]
    over_black = (pixels[..., :-1].astype(np.uint16) * alpha + 127) // 255
    return np.concatenate([over_black.astype(np.uint8), alpha], axis=2)


def mean_ssim(image: Image, picture: Image) -> float | None:
    """Structural similarity where decibels are counted, the mean over bands."""
    if not (image.is_float or image.premultiplied or image.log_scale is not None):
        return metrics.ssim(image.pixels, picture.pixels, image.value_range)
    values = [each.values().reshape(image.pixels.shape) for each in (image, picture)]
    return metrics.ssim(values[0], values[1], (0, 1))


def write_results(
    folder: RunFolder,
    target: Target,
    picture: Image,
    content: dict[str, Any],
    console: Console | None = None,
) -> None:
    """Write pictures and ``metrics.json``; the latter comes last and ends the run.

    Args:
        folder: of the run.
        target: what was fitted.
        picture: the reconstruction.
        content: of ``metrics.json``.
        console: where a picture that cannot be drawn is told; the others and the metrics are written.
    """
    suffix = target.image.suffix
    with tolerated(f"reconstruction{suffix}", console):
        write_image(folder.path / f"reconstruction{suffix}", picture)
    if suffix != ".png":
        with tolerated(folder.reconstruction.name, console):
            write_image(folder.reconstruction, picture.to_8bit())  # to view
    with tolerated(folder.error_map.name, console):
        write_image(folder.error_map, error_map(target.image, picture))
    if folder.frames.is_dir():
        with tolerated("timelapse.webp", console):
            write_timelapse(folder.frames, folder.path / "timelapse.webp")
    write_json(folder.metrics, content)


def write_timelapse(frames: Path, target: Path) -> None:
    """Join the numbered frames to an animation, where WebP can hold it; the last picture stays a while."""
    pictures = [imageio.imread(path) for path in sorted(frames.glob("*.png"))]
    if not pictures or max(pictures[0].shape[:2]) > WEBP_SIDE:
        return
    with replacing(target) as temporary:
        durations = [_FRAME_MS] * (len(pictures) - 1) + [8 * _FRAME_MS]
        imageio.imwrite(temporary, pictures, extension=".webp", duration=durations, loop=0, quality=90)


def target_reached(settings: Settings, psnr: float, wrong: int | None) -> bool | None:
    """Whether the goal of a fit is met; None without one."""
    if settings.lossless:
        return wrong == 0
    return None if settings.target_psnr is None else psnr >= settings.target_psnr
