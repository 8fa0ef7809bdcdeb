"""Published figures of image fitting that ``published.py`` prints beside kanfield's own, with their sources.

Sizes, times and iterations are as their source gives them, often rounded; what it does not say is left out.
SSIM and MS-SSIM are kept apart, since the latter is much closer to one.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "in the paper"
SECOND_HAND = "second-hand, not checked in the paper"
COPY = "in a text copy of the paper"


@dataclass(frozen=True)
class Published:
    """A row of a published table.

    Attributes:
        method: its name in the paper.
        psnr: mean over the pictures, in dB; infinite where every pixel is exact.
        source: paper and table that give the figures, not always that of the method itself.
        read: how they were read.
        parameters: in thousands.
        ssim: mean over the pictures.
        ms_ssim: the multi-scale one instead.
        time: time or iterations per picture.
        hardware: that it ran on.
        pictures: how many; None for the whole set.
        note: what a reader has to know to compare.
    """

    method: str
    psnr: float
    source: str
    read: str
    parameters: float | None = None
    ssim: float | None = None
    ms_ssim: float | None = None
    time: str = ""
    hardware: str = ""
    pictures: int | None = None
    note: str = ""


EXACT = float("inf")

_CARA = "CARA, arXiv:2609.18554"
_GAUSSIAN = "GaussianImage, ECCV 2024, arXiv:2403.08551, table 1"
_I_INR = "I-INR, AAAI 2026, arXiv:2504.17364"
_SL2A = "SL2A-INR, ICCV 2025, arXiv:2409.10836"
_PLANES = "Bit-plane decomposition, CVPR 2025, arXiv:2502.21001"


def _cara(
    method: str, parameters: float, psnr: float, ssim: float, tables: str = "", time: str = "", note: str = ""
) -> Published:
    """A row of CARA's tables, baselines included; ``tables`` says which, where that is known."""
    source = f"{_CARA}, {tables}" if tables else _CARA
    return Published(method, psnr, source, PAPER, parameters, ssim, time=time, hardware="V100", note=note)


def _gaussian(method: str, parameters: float, psnr: float, ms_ssim: float, time: str) -> Published:
    """A row of GaussianImage's table, baselines included."""
    return Published(method, psnr, _GAUSSIAN, SECOND_HAND, parameters, ms_ssim=ms_ssim, time=time)


def _sl2a(
    method: str,
    parameters: float,
    psnr: float,
    ssim: float,
    time: str = "",
    pictures: int | None = None,
) -> Published:
    """A row of SL2A-INR's tables, baselines included."""
    return Published(method, psnr, _SL2A, SECOND_HAND, parameters, ssim, time=time, pictures=pictures)


def _planes(method: str, psnr: float, time: str, table: str = "", note: str = "") -> Published:
    """A row of the bit planes' tables, baselines included."""
    source = f"{_PLANES}, {table}" if table else _PLANES
    return Published(method, psnr, source, PAPER, time=time, hardware="RTX 3090", note=note)


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "kodak-205k": (
        _gaussian("WIRE", 137, 41.47, 0.9939, "14,338 s"),
        _cara(
            "CARA",
            205,
            41.03,
            0.9714,
            "tables 5, 6 and S2",
            "592 s, 20,000 its",
            "contradicts itself: 40.03 dB in its table 1",
        ),
        _cara("MetricGrids", 207, 39.73, 0.9568, "tables 1, 2 and S2", "1,722 s"),
        _cara("SCONE", 207, 39.72, 0.9662, "table 1"),
        _cara("NFFB", 208, 38.77, 0.9537, "table 1"),
        _cara("SIREN", 207, 38.70, 0.9512),
        _cara("NeuRBF", 207, 38.70, 0.9488),
        _cara("instant-ngp", 206, 37.06, 0.9386, time="589 s", note="38.70 dB in its table S2"),
    ),
    "kodak-341k": (
        _cara("CARA", 341, 46.24, 0.9906, "tables 2 and 5", "20,000 its"),
        _cara("MetricGrids", 335, 44.51, 0.9778, "tables 1, 2 and S2"),
        _gaussian("instant-ngp", 300, 43.88, 0.9976, "491 s"),
        _gaussian("NeuRBF", 337, 43.78, 0.9964, "992 s"),
        _gaussian("SIREN", 273, 40.83, 0.9960, "6,582 s"),
        Published(
            "I-INR on SIREN",
            37.53,
            _I_INR,
            SECOND_HAND,
            270,
            0.961,
            time="2,000 its",
            hardware="RTX 4090",
            note="size computed from 3 layers of 300; SIREN alone 34.57 dB",
        ),
    ),
    "kodak-471k": (
        _cara("CARA", 471, 48.00, 0.9987, "table 2", "20,000 its"),
        _cara("MetricGrids", 533, 45.77, 0.9897, "tables 1, 2 and S2"),
        _gaussian("GaussianImage", 560, 44.08, 0.9985, "107 s, 50,000 its"),
        _gaussian("3D Gaussians", 3540, 43.69, 0.9991, "340 s"),
        _cara("WIRE", 373, 37.59, 0.9596),
    ),
    "div2k-199k": (
        _sl2a("FINER", 198.9, 36.35, 0.924),
        _sl2a("ReLU and PE", 204.0, 35.27, 0.916),
        _sl2a("Gauss", 198.9, 34.96, 0.914),
        _sl2a("SIREN", 198.9, 33.47, 0.896),
        _sl2a("WIRE", 91.6, 30.63, 0.818),
        _sl2a("KAN (Chebyshev)", 203, 30.50, 0.845, "4.27 min", pictures=1),
    ),
    "div2k-330k": (
        _sl2a("SL2A-INR", 330.2, 36.88, 0.933),
        _sl2a("SL2A-INR", 330, 33.40, 0.892, "0.77 min", pictures=1),
        _sl2a("KAN (B-splines)", 329, 25.40, 0.722, "210.1 min", pictures=1),
    ),
    "kodak-256": (
        _planes("SIREN and bit planes", EXACT, "1,000 its"),
        _planes("FINER and bit planes", EXACT, "428 its", "table 2"),
        _planes("instant-ngp and bit planes", EXACT, "1,130 its", "table 2"),
        _planes("DINER and bit planes", EXACT, "3,347 its", "table 2"),
        _planes("FINER", 55.93, "1,000 its", note="48.52 dB after 500 in table 2"),
        _planes("instant-ngp", 52.82, "2,000 its", "table 2"),
        _planes("Gauss", 48.28, "1,000 its"),
        _planes("SIREN", 47.28, "1,000 its"),
        _planes("DINER", 39.59, "5,000 its", "table 2"),
        _planes("WIRE", 37.86, "1,000 its"),
        _planes("ReLU and PE", 30.94, "1,000 its"),
    ),
    "div2k-256": (
        _planes("SIREN and bit planes", EXACT, "790 ± 109 its"),
        _planes("FINER", 55.03, "1,000 its"),
        _planes("Gauss", 54.70, "1,000 its"),
        _planes("SIREN", 47.19, "1,000 its"),
        _planes("WIRE", 35.69, "1,000 its"),
        _planes("ReLU and PE", 27.68, "1,000 its"),
    ),
}

# Half of the pixels missing at random: the column's heading, then its source and how it was read.
CLASSIC_METHODS = (
    ("DIP", "Deep Image Prior, CVPR 2018, table 1", COPY),
    ("CSC", "convolutional sparse coding of Papyan et al., in the same table", COPY),
    ("DIP, again", "a students' reproduction of that table", "in their report"),
)
# PSNR in dB of every picture by these three.
CLASSIC: dict[str, tuple[float, float, float]] = {
    "barbara": (32.22, 28.14, 30.97),
    "boat": (33.06, 31.44, 33.93),
    "house": (39.16, 34.58, 41.59),
    "lena": (36.16, 35.04, 36.56),
    "peppers": (33.05, 31.11, 32.79),
    "cameraman": (29.80, 27.90, 30.33),
    "couple": (32.52, 31.18, 33.17),
    "fingerprint": (32.84, 31.34, 31.07),
    "hill": (32.77, 32.35, 35.35),
    "man": (32.20, 31.92, 34.71),
    "montage": (34.54, 28.05, 36.93),
}
