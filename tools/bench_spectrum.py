"""What --spectrum costs: the same fit with it and without, in turn, by the processor's time.

python tools/bench_spectrum.py assets/camera.png [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import kanfield


def seconds(image: Path, spectrum: bool) -> float:
    """Processor time of one default fit, start-up left out."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        kanfield.fit(image, out=folder, spectrum=spectrum)
        return time.process_time() - began


def main() -> None:
    """Print the ratio of every round and their median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    seconds(arguments.image, True)  # imports of matplotlib, TensorBoard and LPIPS
    ratios = []
    for number in range(1, arguments.rounds + 1):
        without, with_it = (seconds(arguments.image, spectrum) for spectrum in (False, True))
        ratios.append(with_it / without)
        print(f"round {number}: {without:.1f} s without, {with_it:.1f} s with --spectrum, {ratios[-1]:.3f} x")
    print(f"median {statistics.median(ratios):.3f} x")


if __name__ == "__main__":
    main()
