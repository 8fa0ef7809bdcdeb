"""How far a reconstruction is from its image: PSNR, SSIM, LPIPS; and spectra."""

from kanfield.metrics.image_quality import lpips, psnr, psnr_8bit, ssim

__all__ = ["lpips", "psnr", "psnr_8bit", "ssim"]
