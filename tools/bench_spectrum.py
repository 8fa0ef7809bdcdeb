"""The share of a fit's time that --spectrum takes.

    python tools/bench_spectrum.py assets/camera.png [--rounds 3]

A default fit runs with a clock around all that --spectrum adds to it: its evaluations, the spectra, the
figure. On a shared machine two fits differ by more than that, so parts of one fit are compared.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import tempfile
import time
from pathlib import Path

from profile_step import Clock

import kanfield
from kanfield.monitors.spectrum_log import SpectrumLog
from kanfield.training.trainer import Trainer

fit_module = importlib.import_module("kanfield.training.fit")  # the package's own fit hides its name


def share(image: Path, clock: Clock) -> float:
    """The share of one fit's time, from its first line to its last."""
    clock.seconds.clear()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        kanfield.fit(image, out=folder, spectrum=True)
        return sum(clock.seconds.values()) / (time.perf_counter() - began)


def main() -> None:
    """Print the share of every round and their median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    clock = Clock()
    clock.around(Trainer, Trainer._log_spectrum, "evaluations")
    clock.around(SpectrumLog, SpectrumLog.__init__, "spectrum of the image")
    clock.around(SpectrumLog, SpectrumLog.log, "spectra of the errors")
    clock.around(fit_module, fit_module.spectrum_figure, "figure")
    share(arguments.image, clock)  # not counted: it imports matplotlib, TensorBoard and LPIPS
    shares = []
    for number in range(1, arguments.rounds + 1):
        shares.append(share(arguments.image, clock))
        print(f"round {number}: {shares[-1]:.1%}")
    print(f"median {statistics.median(shares):.1%}")


if __name__ == "__main__":
    main()
