"""Seconds from the command to the end of a fit's first step, on a warm disk.

python tools/first_step.py assets/camera.png [--repeats 5]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

CODE = """
import os, sys
import kanfield.cli

def run():
    from kanfield.training.trainer import Trainer
    step = Trainer._step

    def first(self):
        step(self)
        print("stepped", flush=True)
        os._exit(0)

    Trainer._step = first

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "kanfield.training.fit" and self in sys.meta_path:
            sys.meta_path.remove(self)
            run()

sys.meta_path.insert(0, Finder())
sys.argv = ["kanfield", "fit", sys.argv[1], "--out", sys.argv[2], "--quiet"]
kanfield.cli.main()
"""


def seconds(image: str) -> float:
    """Time one process, from its start to the end of the first step."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", CODE, image, folder], capture_output=True, text=True)
        taken = time.perf_counter() - start
    assert done.stdout == "stepped\n", done.stderr
    return taken


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    times = [seconds(arguments.image) for _ in range(arguments.repeats + 1)][1:]
    print(f"{statistics.median(times):.2f} s to the first step (from {min(times):.2f} to {max(times):.2f})")


if __name__ == "__main__":
    main()
