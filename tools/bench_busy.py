"""Seconds of a fit alone and beside processes that compute, with threads that wait asleep and that spin.

    python tools/bench_busy.py assets/camera.png [--busy 1] [--steps 600] [--rounds 3]

Where the command finds cores taken it lets threads sleep that wait for others; GOMP_SPINCOUNT at the default
of OpenMP's library makes it leave them as they are, and they spin. The four cases take turns in every round.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

KANFIELD = [sys.executable, "-c", "from kanfield.cli import main; main()"]
SPIN = {"GOMP_SPINCOUNT": "300000"}
SET = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Processes that compute on a core each for as long as the block runs."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds(image: Path, steps: int, environment: dict[str, str]) -> float:
    """Training time of one fit in a process of its own."""
    clean = {key: value for key, value in os.environ.items() if key not in SET}
    with tempfile.TemporaryDirectory() as folder:
        words = ["fit", str(image), "--steps", str(steps), "--device", "cpu", "--out", folder, "--quiet"]
        pipe = subprocess.PIPE
        done = subprocess.run([*KANFIELD, *words], env={**clean, **environment}, stderr=pipe, text=True)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        metrics = next(Path(folder).glob("*/*/metrics.json"))
        return float(json.loads(metrics.read_text(encoding="utf-8"))["seconds"])


def main() -> None:
    """Print the seconds of every case, and each over those of the command alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--busy", type=int, default=1, help="processes that compute")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    taken: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for threads, environment in (("as the command sets them", {}), ("spinning", SPIN)):
            for place, company in (("alone", 0), (f"beside {arguments.busy} busy", arguments.busy)):
                with busy(company):
                    measured = seconds(arguments.image, arguments.steps, environment)
                taken.setdefault((threads, place), []).append(measured)
    alone = statistics.median(taken["as the command sets them", "alone"])
    for (threads, place), times in taken.items():
        middle = statistics.median(times)
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{threads}, {place}: {middle:.2f} s ({spread}), {middle / alone:.2f} x")


if __name__ == "__main__":
    main()
