"""How far a reconstruction is from its image: PSNR, SSIM, LPIPS. Values are in [0, 1]."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

_SSIM_WINDOW = 11  # the Gaussian window of Wang et al. (2004)


def psnr(squared_error: float, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error.

    Capped at 150 dB, past what float32 resolves, so that it is finite for an error of zero; NaN stays NaN.

    >>> round(psnr(0.01), 3), psnr(0.0)
    (20.0, 150.0)
    """
    if math.isnan(squared_error):
        return math.nan
    return min(150.0, 10 * math.log10(peak * peak / max(squared_error, 1e-300)))


def psnr_8bit(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """PSNR in dB between two 8-bit images of one shape; None where they are equal.

    >>> psnr_8bit(np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 1), np.uint8)) is None
    True
    """
    error = float(np.mean((a.astype(np.float64) - b) ** 2))
    return psnr(error, peak=255.0) if error else None


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """Structural similarity (Wang et al., 2004) of two 8-bit images (H, W, C), from torchmetrics.

    None for images with a side under 11 pixels, which the window does not fit.
    """
    if min(a.shape[:2]) < _SSIM_WINDOW:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchmetrics warns of optional packages
        from torchmetrics.functional.image import structural_similarity_index_measure

    _, similarity = structural_similarity_index_measure(
        _batch(a), _batch(b), data_range=1.0, return_full_image=True
    )
    edge = _SSIM_WINDOW // 2  # nearer the border the window would see reflected pixels
    return float(similarity[..., edge:-edge, edge:-edge].mean())


def lpips(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[float | None, str | None]:
    """Perceptual distance LPIPS (Zhang et al., 2018, AlexNet) of two 8-bit images (H, W, C).

    Gray is repeated to three channels and alpha left out.

    Returns:
        The distance and None; or None and the reason why there is none. Nothing is ever downloaded.
    """
    weights = Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"
    if not weights.is_file():
        return None, (
            "AlexNet's weights are not in torch's cache; fetch them once with: "
            "python -c \"import torchvision; torchvision.models.alexnet(weights='DEFAULT')\""
        )
    if min(a.shape[:2]) < 64:
        return None, "LPIPS needs an image of at least 64 x 64 pixels"
    import lpips as library

    with warnings.catch_warnings(), torch.no_grad(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        try:
            model = library.LPIPS(net="alex", verbose=False)
        except Exception as error:  # a damaged file of weights raises whatever its reader does
            return None, f"{weights} cannot be read ({error}): delete it and fetch it again"
        distance = model(2 * _colour(a) - 1, 2 * _colour(b) - 1)
    return float(distance), None


def _batch(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]


def _colour(image: NDArray[np.uint8]) -> torch.Tensor:
    batch = _batch(image)
    return batch[:, :3] if batch.shape[1] >= 3 else batch[:, :1].repeat(1, 3, 1, 1)
