"""How far a reconstruction is from its image: PSNR, SSIM, LPIPS.

``psnr`` takes a squared error, ``psnr_8bit`` and ``lpips`` take 8-bit pixels (0 to 255), ``ssim`` pixels of
any range.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kanfield.metrics import lpips_weights
from kanfield.process import quiet_warnings, seeded

_SSIM_WINDOW = 11  # the Gaussian window of Wang et al. (2004)
_SSIM_BAND = 1 << 17  # pixels compared at a time
_LPIPS_PIXELS = 1 << 24


def psnr(squared_error: float, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error.

    Capped at 150 dB, past what float32 resolves, so that it is finite for an error of zero; NaN stays NaN.

    Args:
        squared_error: Mean squared error.
        peak: Difference between white and black in the units of the error: 1 for values in [0, 1].

    >>> round(psnr(0.01), 3), psnr(0.0)
    (20.0, 150.0)
    """
    if math.isnan(squared_error):
        return math.nan
    return min(150.0, 10 * math.log10(peak * peak / max(squared_error, 1e-300)))


def psnr_8bit(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float | None:
    """PSNR in dB between two 8-bit images ``(H, W, c)`` of one shape; None where they are equal.

    >>> psnr_8bit(np.zeros((2, 2, 1), np.uint8), np.zeros((2, 2, 1), np.uint8)) is None
    True
    """
    rows = zip(a, b, strict=True)
    error = sum(int(np.square(x.astype(np.int64) - y).sum()) for x, y in rows) / a.size
    return psnr(error, peak=255.0) if error else None


def ssim(a: NDArray[Any], b: NDArray[Any], value_range: tuple[float, float] = (0, 255)) -> float | None:
    """Structural similarity (Wang et al., 2004, doi 10.1109/TIP.2003.819861), from torchmetrics.

    Computed in overlapping bands of rows, so that memory stays bounded. Only positions at which the window
    lies inside the image count.

    Args:
        a: Pixels of one image, shape ``(H, W, c)``.
        b: Pixels of the other, of the same shape.
        value_range: The pixel values of black and white.

    Returns:
        -1 to 1, and 1 for equal images; None where a side has under 11 pixels, which the window does not fit.
    """
    height, width = a.shape[:2]
    if min(height, width) < _SSIM_WINDOW:
        return None
    with quiet_warnings():  # torchmetrics warns of optional packages
        from torchmetrics.functional.image import structural_similarity_index_measure

    edge = _SSIM_WINDOW // 2  # nearer the border the window would see reflected pixels
    total: float = 0.0
    rows = max(1, _SSIM_BAND // width)
    for start in range(0, height - 2 * edge, rows):
        band = slice(start, min(start + rows, height - 2 * edge) + 2 * edge)
        _, similarity = structural_similarity_index_measure(
            _batch(a[band], value_range), _batch(b[band], value_range), data_range=1.0, return_full_image=True
        )
        total += float(similarity[..., edge:-edge, edge:-edge].double().sum())
    return total / float((height - 2 * edge) * (width - 2 * edge) * a.shape[2])


def lpips(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> tuple[float | None, str | None]:
    """Perceptual distance LPIPS of two 8-bit images (Zhang et al., 2018, arXiv:1801.03924; AlexNet).

    Gray is repeated to three channels and alpha left out. Nothing is ever downloaded.

    Args:
        a: Pixels of one image, 0 to 255, shape ``(H, W, c)``.
        b: Pixels of the other, of the same shape.

    Returns:
        The distance (0 for equal images) and None; or None and the reason why there is none.

    >>> lpips(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8))
    (None, 'LPIPS needs an image of at least 64 x 64 pixels')
    """
    if min(a.shape[:2]) < 64:
        return None, "LPIPS needs an image of at least 64 x 64 pixels"
    if a.shape[0] * a.shape[1] > _LPIPS_PIXELS:
        return None, f"LPIPS is computed up to {_LPIPS_PIXELS:,} pixels"
    weights = lpips_weights.find()
    if weights is None:
        return None, lpips_weights.MISSING
    try:
        model = _lpips_model(weights)
    except lpips_weights.WeightsError as error:
        return None, str(error)
    return _lpips_distance(model, 2 * _colour(a) - 1, 2 * _colour(b) - 1), None


@functools.lru_cache(maxsize=1)  # an error is not cached, so that a repaired file is read
def _lpips_model(weights: Path) -> Any:
    trunk = lpips_weights.read(weights)
    import lpips as library

    with quiet_warnings(), seeded(0):  # lpips calls torchvision by older names
        # Asked for a random trunk it downloads none.
        model = library.LPIPS(net="alex", pnet_rand=True, verbose=False)
    # Its slices number the layers as torchvision does: slice2.3.weight is features.3.weight.
    model.net.load_state_dict(
        {name: trunk[f"features.{name.split('.', 1)[1]}"] for name in model.net.state_dict()}
    )
    return model


def _lpips_distance(model: Any, a: torch.Tensor, b: torch.Tensor) -> float:
    """``model(a, b)`` layer by layer; the model itself holds all layers, 3 GB for 12 megapixels."""
    from lpips import normalize_tensor

    total = 0.0
    with torch.no_grad():  # as a decorator it would keep the two images for as long as this runs
        a, b = model.scaling_layer(a), model.scaling_layer(b)
        for k, head in enumerate(model.lins, start=1):
            layer = getattr(model.net, f"slice{k}")
            a, b = layer(a), layer(b)
            difference = normalize_tensor(a).sub_(normalize_tensor(b)).square_()
            total += float(head(difference).mean())
            del difference  # before the next layer's are made
    return total


def _batch(image: NDArray[Any], value_range: tuple[float, float] = (0, 255)) -> torch.Tensor:
    low, high = value_range
    return torch.from_numpy((image.astype(np.float32) - low) / (high - low)).permute(2, 0, 1)[None]


def _colour(image: NDArray[np.uint8]) -> torch.Tensor:
    batch = _batch(image)
    return batch[:, :3] if batch.shape[1] >= 3 else batch[:, :1].repeat(1, 3, 1, 1)
