"""Impossible values and contradictions among the settings of a fit, each named by its option."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from kanfield.config.presets import PRESETS
from kanfield.config.settings import Settings
from kanfield.errors import InputError

# Of one step: ten are applied at a time, and KANLayer.smooth_coefficients takes up to 0.25.
MAX_SMOOTHNESS = 0.02
LEAST_TILE = 16  # pixels a side
MATRIX_PRECISIONS = ("tf32x3", "tf32", "bf16")  # of a GPU's matrix units, for products inside the splines
_LARGEST = 2**63 - 1  # where integers of torch and NumPy end
_POSITIVE = (
    "parameters",
    "steps",
    "seconds",
    "batch_size",
    "lr",
    "adam_lr",
    "threads",
    "checkpoint_seconds",
    "max_pixels",
    "page",
)


def preset_of(settings: Settings) -> str:
    """Return the preset that fills the gaps: the one named, or what the goal suggests."""
    return settings.preset or ("lossless" if settings.lossless else "smooth")


def check_integer(number: int, where: str) -> int:
    """Return a whole number that a machine integer holds.

    Args:
        number: any.
        where: whose value it is, for the message.

    Raises:
        InputError: it is larger.
    """
    if abs(number) > _LARGEST:
        raise InputError(f"{where} is too large: give a number below 2^63")
    return number


def check_integers(settings: Any) -> None:
    """Look for whole numbers that no machine integer holds.

    Args:
        settings: any dataclass of settings.

    Raises:
        InputError: there is one; the message names the option.

    >>> check_integers(Settings(steps=10**30))
    Traceback (most recent call last):
    kanfield.errors.InputError: --steps is too large: give a number below 2^63
    """
    for key, value in vars(settings).items():
        for number in value if isinstance(value, Iterable) else (value,):
            if isinstance(number, int):
                check_integer(number, f"--{key.replace('_', '-')}")


def check(s: Settings) -> None:
    """Look for impossible values and contradictions among those that are set.

    Args:
        s: the settings.

    Raises:
        InputError: there is one; the message names the option.
    """

    def require(condition: bool, message: str) -> None:
        if not condition:
            raise InputError(message)

    def positive(key: str, value: float | None) -> None:
        fine = value is None or (math.isfinite(value) and value > 0)
        require(fine, f"--{key} {value} is impossible: give a number above zero")

    check_integers(s)
    require(
        s.model == "kan" or s.preset is None,
        f"--preset {s.preset} is the KAN's: leave it out with --model {s.model}",
    )
    for key in ("encoding", "parameters"):
        require(
            s.model == "kan" or getattr(s, key) is None,
            f"--{key} is of the KAN's presets: leave it out with --model {s.model}",
        )
    require(
        s.preset is None or s.preset in PRESETS,
        f"--preset {s.preset} is unknown; use one of {', '.join(PRESETS)}",
    )
    for key in _POSITIVE:
        positive(key.replace("_", "-"), getattr(s, key))
    for key in ("range_steps", "smoothness"):
        value = getattr(s, key)
        fine = value is None or (math.isfinite(value) and value >= 0)
        require(fine, f"{key}: {value} is impossible, give a number of zero or more")
    require(s.steps is None or s.seconds is None, "--steps and --seconds contradict each other: give one")
    require(s.phases is None or len(s.phases) > 0, "phases: give at least one {steps: N, lr: X}")
    require(s.phases is None or s.seconds is None, "phases count steps: leave --seconds out")
    require(0 <= s.seed < 2**63, f"--seed {s.seed} is impossible: give 0 or more, below 2^63")
    require(s.threads is None or s.threads <= 4096, f"--threads {s.threads} is impossible: give CPU threads")
    require(
        not (s.lossless and s.target_psnr is not None),
        "--lossless and --target-psnr contradict each other: give one goal",
    )
    require(
        not s.smoothness or (s.model == "kan" and s.smoothness <= MAX_SMOOTHNESS),
        f"smoothness: {s.smoothness} is impossible, it is the KAN's and at most {MAX_SMOOTHNESS}",
    )
    given = s.value_range
    ends = ",".join(f"{end:g}" for end in given or [])
    require(
        given is None or (len(given) == 2 and all(map(math.isfinite, given)) and given[0] < given[1]),
        f"--value-range {ends} is impossible: give LOW,HIGH such as 0,4095",
    )
    require(s.bands is None or len(s.bands) > 0, "--bands names none: give numbers from 1, such as 4,3,2")
    require(
        not (s.lossless and s.alpha == "premultiplied"),
        "alpha: premultiplied contradicts --lossless, which needs colours that alpha hides: leave it out",
    )
    require(
        s.tiles is None or s.tiles == 1 or s.tiles >= LEAST_TILE,
        f"--tiles {s.tiles} is impossible: give a side of {LEAST_TILE} pixels or more, or 1 for one field",
    )
    require(s.size is None or s.size >= 2, f"--size {s.size} is too small: give 2 pixels or more")
    require(s.optimizer in (None, "muon", "adam"), f"--optimizer {s.optimizer} is unknown: use muon or adam")
    require(
        s.precision in ("fp32", "fp64") or s.precision in MATRIX_PRECISIONS,
        f"--precision {s.precision} is unknown: use fp32, fp64, {', '.join(MATRIX_PRECISIONS)}",
    )
    require(
        s.precision not in MATRIX_PRECISIONS or s.model == "kan",
        f"--precision {s.precision} is of the KAN's splines: leave it out with --model {s.model}",
    )
    target = s.target_psnr
    require(
        target is None or (math.isfinite(target) and target > 0),
        f"--target-psnr {target} is impossible: give decibels above zero",
    )
    require(
        not (s.lossless and s.held_out),
        "--lossless and --held-out contradict each other: pixels never seen cannot be exact",
    )
    require(
        not (s.lossless and s.precision == "bf16"),
        "--precision bf16 and --lossless contradict each other: its rounding leaves pixels wrong; use tf32, "
        "tf32x3 or fp32",
    )
    require(
        not (s.spectrum and s.mask),
        "--spectrum and --mask contradict each other: an image with parts missing has no spectrum",
    )
    for phase in s.phases or []:
        positive("phases steps", phase.steps)
        positive("phases lr", phase.lr)
