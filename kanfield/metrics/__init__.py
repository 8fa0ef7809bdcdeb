"""How far a reconstruction is from its image: PSNR, SSIM, LPIPS; and spectra.

How to add a metric: write a function of two arrays of pixels ``(H, W, c)`` in ``image_quality.py`` that
returns a number, or None where the image is too small or too large for it; call it where
``kanfield/training/results.py`` calls ``metrics.ssim``, as a key of ``metrics.json``, and for pictures in
tiles ``kanfield/tiles/collect.py``; and add that key to ``COLUMNS`` of ``kanfield/comparison/results.py``, if
comparisons are to show it.
"""

from kanfield.metrics.image_quality import lpips, psnr, psnr_8bit, ssim

__all__ = ["lpips", "psnr", "psnr_8bit", "ssim"]
