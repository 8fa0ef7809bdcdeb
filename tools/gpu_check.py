"""Check correctness and speed on a machine with an NVIDIA GPU, and write one JSON file.

    python tools/gpu_check.py [--device cuda] [--out gpu_check.json] [--quick]

Run it in a checkout with the README's test environment. It runs the tests of the kernels and of the step on
the GPU, checks with CUDA's sync debug mode that the host does not wait between two log steps, compares a
replayed step with plain ones, compares grid encodings with plain torch and times both, tunes and benchmarks
the kernels of splines, fits camera to 45.76 dB and to every pixel exact in each precision, and adds the
roofline's estimate of steps along directions: grids it does not count. A part that fails is recorded, and the
others go on. ``--device cpu --quick`` is a rehearsal without a GPU: what needs CUDA is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gpu_estimate
import torch

import kanfield
from kanfield.bench.clock import QUICK, THOROUGH, interleaved
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.doctor import examine
from kanfield.encodings import GridEncoding
from kanfield.runs.folder import RunFolder
from kanfield.runs.run import make_field
from kanfield.splines import PRECISIONS, choose_backend, use_backend
from kanfield.training.step import Step
from kanfield.training.target import image_stats, make_target
from kanfield.training.trainer import LOG_EVERY, Trainer

ROOT = Path(__file__).resolve().parent.parent
IMAGE = ROOT / "assets" / "camera.png"
TESTS = (
    "tests/test_triton.py",
    "tests/test_grid_triton.py",
    "tests/test_triton_compiled.py",
    "tests/test_step.py",
)
_TOLERANCE = 1e-4  # sums of thousands of samples, relative to the largest


def command(*words: str) -> tuple[int, str]:
    """Exit code and standard output of a command in the checkout, without Triton's interpreter."""
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr[-4000:]


def tests(device: str, quick: bool) -> dict[str, Any]:
    """Run the tests of the kernels and of the step."""
    chosen = TESTS[-1:] if quick else TESTS
    code, output = command(sys.executable, "-m", "pytest", "-q", *chosen)
    return {
        "passed": code == 0,
        "closing_line": output.strip().splitlines()[-1],
        "output": "" if code == 0 else output,
    }


def _trainer(device: str, folder: Path, **changes: Any) -> Trainer:
    image = kanfield.read_image(IMAGE)
    settings = Settings(steps=2000, device=device, **changes)
    settings = resolve(settings, image_stats(make_target(settings, image, torch.zeros(1))))
    field = make_field(settings, image.channels).to(device)
    return Trainer(field, make_target(settings, image, next(field.parameters())), settings, RunFolder(folder))


@contextlib.contextmanager
def _watched(active: bool) -> Iterator[None]:
    """Let CUDA raise where the host waits for the device."""
    if active:
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        if active:
            torch.cuda.set_sync_debug_mode("default")


def waits(device: str, quick: bool) -> dict[str, Any]:
    """Step between two logs while CUDA raises at every wait for the device; tell whether a graph is used."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = _trainer(device, Path(folder))
        for step in range(5 * LOG_EVERY):
            with _watched(step > 2 * LOG_EVERY and device != "cpu"):
                trainer._step()
            trainer.progress.step += 1
    captured = getattr(trainer.step, "captured", None)
    return {
        "steps": 5 * LOG_EVERY,
        "captured": captured,
        "refused": getattr(trainer.step, "refused", None),
        "passed": device == "cpu" or captured is True,
    }


def replay(device: str, quick: bool) -> dict[str, Any]:
    """Loss and time of some hundred steps, replayed from a graph and in plain calls."""
    found: dict[str, Any] = {}
    steps = 60 if quick else 400
    for kind in ("graph", "plain"):
        with tempfile.TemporaryDirectory() as folder:
            trainer = _trainer(device, Path(folder))
            if kind == "plain":
                trainer.step = Step(trainer.field, trainer.optimizers)
            began = time.perf_counter()
            for number in range(steps):
                if number == steps // 2:
                    _synchronize(device)
                    began = time.perf_counter()
                loss = trainer._step()
                trainer.progress.step += 1
            _synchronize(device)
            taken = (time.perf_counter() - began) / (steps - steps // 2)
            found[kind] = {"loss": float(loss), "microseconds_per_step": 1e6 * taken}
    found["same_to_rounding"] = abs(found["graph"]["loss"] / found["plain"]["loss"] - 1) < 0.05
    return found


def _synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def encodings(device: str, quick: bool) -> dict[str, Any]:
    """Compare grid encodings with plain torch, values and gradients, and time both as training runs them.

    Repeated, they are to give the same bits, without a wait for the device.
    """
    samples, levels = (512, 4) if quick else (1 << 16, 16)
    resolutions = [(round(16 * 1.4**level),) * 2 for level in range(levels)]
    found: dict[str, Any] = {"samples": samples, "resolutions": resolutions}
    for order in (1, 2, 3):
        torch.manual_seed(0)
        encoding = GridEncoding(resolutions, order=order).to(device)
        x = (2 * torch.rand(samples, 2) - 1).to(device).requires_grad_()
        g = torch.randn(samples, encoding.out_features).to(device)
        backend = choose_backend(x)
        mine, plain = (_encoded(encoding, x, g, name) for name in (backend, "reference"))
        with _watched(device != "cpu"):
            again = _encoded(encoding, x, g, backend)
        runs = {name: partial(_encoded, encoding, x.detach(), g, name) for name in (backend, "reference")}
        times = interleaved(runs, torch.device(device), QUICK if quick else THOROUGH)
        found[f"order {order}"] = {
            "largest_relative_error": max(
                float((a - b).abs().max() / b.abs().max()) for a, b in zip(mine, plain, strict=True)
            ),
            "same_bits": all(torch.equal(a, b) for a, b in zip(mine, again, strict=True)),
            "milliseconds": {name: 1e3 * seconds for name, seconds in times.items()},
        }
    orders = [row for key, row in found.items() if key.startswith("order")]
    exact = all(row["largest_relative_error"] < _TOLERANCE and row["same_bits"] for row in orders)
    return {**found, "passed": exact}


def _encoded(encoding: GridEncoding, x: torch.Tensor, g: torch.Tensor, backend: str) -> list[torch.Tensor]:
    """Features, and the gradients of the table and of coordinates that ask for one."""
    with use_backend(backend):
        y = encoding(x)
        leaves = [encoding.table, *([x] if x.requires_grad else [])]
        return [y.detach(), *torch.autograd.grad(y, leaves, g)]


def bench(device: str, quick: bool) -> dict[str, Any]:
    """Run ``kanfield bench``, after ``--tune`` where there is a GPU."""
    words = [sys.executable, "-m", "kanfield", "bench", "--device", device, "--json"]
    result: dict[str, Any] = {}
    if device != "cpu":
        code, text = command(*words[:-1], "--tune")
        result["tune"] = text if code else "kept"
    code, text = command(*words, *(["--quick"] if quick else []))
    passed = code == 0 and result.get("tune", "kept") == "kept"
    return {**result, "bench": json.loads(text) if code == 0 else text, "passed": passed}


def fits(device: str, quick: bool) -> dict[str, Any]:
    """Fit camera to 45.76 dB and to every pixel exact; note the memory of each fit."""
    goals: dict[str, dict[str, Any]] = {
        "45.76 dB, smooth": {"target_psnr": 45.76},
        "45.76 dB, lossless": {"target_psnr": 45.76, "preset": "lossless"},
        "exact": {"lossless": True},
    }
    found: dict[str, Any] = {}
    for name, goal in goals.items():
        for precision in ("fp32",) if quick else PRECISIONS:
            if goal.get("lossless") and precision == "bf16":
                continue  # refused
            short: dict[str, Any] = {"steps": 50, "size": 64} if quick else {}
            with tempfile.TemporaryDirectory() as folder:
                run = kanfield.fit(IMAGE, out=folder, device=device, precision=precision, **goal, **short)
                keys = (
                    "psnr",
                    "wrong_pixels",
                    "target_reached",
                    "seconds",
                    "steps",
                    "peak_memory_bytes",
                    "backend",
                )
                found[f"{name}, {precision}"] = {key: run.metrics[key] for key in keys}
    return found


def estimate(device: str, quick: bool) -> dict[str, Any]:
    """Estimate steps of fields along directions by the roofline, which does not count grids."""
    found = {}
    for preset in ("smooth", "lossless"):
        image = kanfield.read_image(IMAGE)
        settings = Settings(preset=preset, encoding="directions", steps=1000)
        settings = resolve(settings, image_stats(make_target(settings, image, torch.zeros(1))))
        _, works = gpu_estimate.works_of_a_step(settings, image.channels)
        cards = {
            name: gpu_estimate.estimate(works, card, "fp32") for name, card in gpu_estimate.CARDS.items()
        }
        found[preset] = {name: 1e6 * step["graph"] for name, step in cards.items()}
    return {"encoding": "directions", "microseconds_per_step": found}


PARTS: tuple[Callable[[str, bool], dict[str, Any]], ...] = (
    tests,
    waits,
    replay,
    encodings,
    bench,
    fits,
    estimate,
)


def main() -> None:
    """Read the command line, run all parts, write the JSON; exit code 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(
            "no CUDA device here: torch.cuda.is_available() is False (--device cpu --quick rehearses)"
        )
    report: dict[str, Any] = {"machine": examine(), "device": given.device, "failed": []}
    for part in PARTS:
        name, began = part.__name__, time.perf_counter()
        try:
            report[name] = part(given.device, given.quick)
            if report[name].get("passed", report[name].get("same_to_rounding", True)) is False:
                report["failed"].append(name)
        except Exception:  # one broken part must not lose the others
            report[name] = {"error": traceback.format_exc()}
            report["failed"].append(name)
        verdict = "FAILED" if name in report["failed"] else "done"
        print(f"{name}: {verdict} in {time.perf_counter() - began:.0f} s", flush=True)
        given.out.write_text(json.dumps(report, indent=2, default=str) + "\n", encoding="utf-8")
    print(f"{given.out} holds everything")
    raise SystemExit(1 if report["failed"] else 0)


if __name__ == "__main__":
    main()
