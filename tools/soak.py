"""Counted runs of what must never break: fits that are killed, and many fits in one process.

python tools/soak.py kills 50      # SIGKILL at random moments; each goes on and ends as if nothing had been
python tools/soak.py fits 1000     # memory, descriptors and threads stay flat

Exit code 0 where all went well, 1 where something was found. Linux alone: it looks into /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from safetensors.numpy import load_file

_KANFIELD = [sys.executable, "-c", "from kanfield.cli import main; main()"]
_FIT = ["--threads", "1", "--device", "cpu", "--steps", "300", "--batch-size", "256"]
_SMALL = {"kan": ["--widths", "8", "--grids", "8,8"], "siren": ["--widths", "16,16"], "hashgrid": []}
_COMPARE = ["--models", "kan", "siren", "--steps", "60", "--threads", "1"]
_GROWTH = 0.05  # of the memory after a third of the fits, which measuring and fragments may add


def main(words: list[str] | None = None) -> int:
    """Run what the command line asks for.

    Args:
        words: The command line without the program's name; by default that of the process.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=("kills", "fits"))
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        faults = (kills if given.what == "kills" else fits)(given.count, given.seed, Path(folder))
    print(f"{given.count} {given.what}, seed {given.seed}: {faults} faults", flush=True)
    return 1 if faults else 0


# ---- kills -------------------------------------------------------------------------------------


def kills(count: int, seed: int, folder: Path) -> int:
    """Kill fits and comparisons at random moments, let them go on, and compare what they come to.

    Args:
        count: Number of kills.
        seed: Of the moments.
        folder: An empty one to work in.

    Returns:
        How many did not end as an uninterrupted one.
    """
    generator, faults = random.Random(seed), 0
    picture = folder / "a.png"
    _picture(64).save(picture)
    kinds = [*_SMALL, "compare"]
    expected, seconds = {}, {}
    for kind in kinds:
        began = time.perf_counter()
        _run(_begin(kind, picture, folder / kind))
        seconds[kind] = time.perf_counter() - began
        expected[kind] = _outcome(folder / kind)
        print(f"{kind}: {seconds[kind]:.1f} s uninterrupted", flush=True)
    for number in range(1, count + 1):
        kind = kinds[(number - 1) % len(kinds)]
        out, after = folder / f"{number}", seconds[kind] * generator.random()
        _kill(_begin(kind, picture, out), after)
        fault = _go_on(kind, picture, out)
        if fault is None and _outcome(out) != expected[kind]:
            fault = "its result is another one"
        faults += fault is not None
        print(f"{number}/{count} {kind} killed after {after:.1f} s: {fault or 'the same result'}", flush=True)
        shutil.rmtree(out, ignore_errors=True)
    return faults


def _begin(kind: str, picture: Path, out: Path) -> list[str]:
    if kind == "compare":
        return ["compare", str(picture), *_COMPARE, "--out", str(out)]
    fit = ["fit", str(picture), "--model", kind, *_FIT, *_SMALL[kind]]
    return [*fit, "--checkpoint-seconds", "0.05", "--out", str(out), "--quiet"]


def _go_on(kind: str, picture: Path, out: Path) -> str | None:
    """Resume, or begin anew where nothing had been begun; what went wrong, or None."""
    configs = sorted(out.glob("*/*/config.yaml"))
    if kind == "compare":
        begun = (out / "compare.yaml").exists()
        if not begun:
            shutil.rmtree(out, ignore_errors=True)
        words = ["compare", "--resume", str(out)] if begun else _begin(kind, picture, out)
    elif configs:
        words = ["fit", "--resume", str(configs[0].parent), "--quiet"]
    else:
        words = _begin(kind, picture, out)
    done = subprocess.run([*_KANFIELD, *words], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr.strip()[-300:]}"


def _run(words: list[str]) -> None:
    done = subprocess.run([*_KANFIELD, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"kanfield {' '.join(words)} fails uninterrupted: {done.stderr.strip()[-300:]}")


def _kill(words: list[str], after: float) -> None:
    """Start a command, and end it and its children without a warning."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*_KANFIELD, *words], **quiet)  # type: ignore[call-overload]
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    children: list[int] = []
    with contextlib.suppress(OSError):  # it has ended
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii")
        children = [int(word) for word in text.split()]
    for pid in [process.pid, *children]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _outcome(out: Path) -> dict[str, bytes]:
    """All weights and pictures of the finished runs under a folder, by their place."""
    found = {}
    for run in sorted(path.parent for path in out.rglob("metrics.json")):
        tensors = load_file(run / "checkpoints" / "best.safetensors")
        name = str(run.relative_to(out))
        found[name] = b"".join(tensors[key].tobytes() for key in sorted(tensors))
        found[f"{name} drawn"] = np.asarray(PILImage.open(run / "reconstruction.png")).tobytes()
    return found


# ---- fits --------------------------------------------------------------------------------------


def fits(count: int, seed: int, folder: Path) -> int:
    """Fit again and again in this process, and watch what it holds.

    Args:
        count: Number of fits.
        seed: Of the first; the others follow.
        folder: An empty one to work in.

    Returns:
        How many of memory, descriptors and threads have grown.
    """
    from kanfield import fit
    from kanfield.images import Image

    image = Image(np.asarray(_picture(32)), "RGB")
    families, held = list(_SMALL), []
    for number in range(1, count + 1):
        model = families[number % len(families)]
        out = folder / "runs"
        fit(image, out=out, model=model, steps=10, batch_size=256, seed=seed + number, threads=1)
        shutil.rmtree(out)
        held.append(_held())
        if number % max(1, count // 20) == 0:
            memory, descriptors, threads = held[-1]
            print(
                f"{number}/{count}: {memory / 1e6:.0f} MB, {descriptors} descriptors, {threads} threads",
                flush=True,
            )
    third = max(1, count // 3)
    faults = 0
    for name, values in zip(("memory", "descriptors", "threads"), zip(*held, strict=True), strict=True):
        before, after = statistics.median(values[third : 2 * third]), statistics.median(values[-third:])
        allowed = before * (1 + _GROWTH) if name == "memory" else before
        if after > allowed:
            print(f"{name} grew from {before:,.0f} to {after:,.0f}", flush=True)
            faults += 1
    return faults


def _held() -> tuple[int, int, int]:
    """Bytes in memory, open descriptors and threads of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    descriptors, threads = os.listdir("/proc/self/fd"), os.listdir("/proc/self/task")
    return pages * os.sysconf("SC_PAGE_SIZE"), len(descriptors), len(threads)


def _picture(side: int) -> PILImage.Image:
    y, x = np.mgrid[:side, :side] / side
    planes = [0.5 + 0.5 * np.sin(9 * x + k) * np.cos(7 * y * (1 + x)) for k in range(3)]
    return PILImage.fromarray((np.stack(planes, 2) * 255).round().astype(np.uint8))


if __name__ == "__main__":
    sys.exit(main())
