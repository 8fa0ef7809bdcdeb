"""Where the time of a fit goes, each part against its floor.

    python tools/profile_step.py assets/camera.png [--preset compact] [--steps 400] [--json FILE]

A fit of a preset runs with a clock around its parts. Floors: arithmetic at the rate of a matrix
product, memory traffic at the rate of a copy, both measured in this very process just before. The operator is
the field's forward and backward; its floor counts, for each sample and edge, k + 1 taps and the branch beside
them, three times (values and two gradients; what sees coordinates needs one less). Of grids it counts the
(k + 1)^2 vertices a sample sees in each level twice (values and the table's gradient), and the features that
are read, and read and written.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import kanfield
from kanfield import KAN, KANLayer
from kanfield.bench.clock import THOROUGH
from kanfield.bench.rates import measure_rates
from kanfield.config.presets import PRESETS
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.runs.folder import RunFolder
from kanfield.runs.run import make_field
from kanfield.training.optimizers import Muon
from kanfield.training.signals import Signals
from kanfield.training.target import image_stats, make_target
from kanfield.training.trainer import Trainer


class Clock:
    """Seconds by part; a timed call inside another timed call counts for the inner part alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inner = [0.0]

    def around(self, owner: Any, call: Callable[..., Any], part: str) -> None:
        """Time every call of a function.

        Args:
            owner: the object, class or module that has it.
            call: the function, under its own name in the owner.
            part: what its time counts as.
        """

        def timed(*arguments: Any, **keywords: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return call(*arguments, **keywords)
            finally:
                taken = time.perf_counter() - start
                self.seconds[part] += taken - self._inner.pop()
                self._inner[-1] += taken

        setattr(owner, call.__name__, timed)


def operator_floor(field: KAN, samples: int, arithmetic: float, traffic: float) -> float:
    """Seconds of a step's forward and backward.

    Args:
        field: on grids or not.
        samples: of a step.
        arithmetic: rate in operations a second.
        traffic: rate in bytes a second.
    """
    layers = [layer for layer in field.layers if isinstance(layer, KANLayer)]
    passes = [3 if field.encoding == "grid" else 2, *[3] * (len(layers) - 1)]
    operations = sum(
        p
        * 2.0
        * samples
        * layer.in_features
        * layer.out_features
        * (layer.order + 1 + (layer.base is not None))
        for p, layer in zip(passes, layers, strict=True)
    )
    features = 0.0
    if field.grid is not None:
        features = samples * field.grid.out_features * (field.grid.order + 1.0) ** 2
    return (operations + 2 * 2 * features) / arithmetic + 3 * 4 * features / traffic


def muon_floor(matrices: Sequence[torch.Tensor]) -> float:
    """Operations of orthogonalisation: Gram matrix, five iterations on it, product with the result."""
    shapes = [(max(m.shape), min(m.shape)) for m in matrices]
    return sum(2.0 * (2 * rows * side**2 + 5 * 4 * side**3) for rows, side in shapes)


def profile(image: str, steps: int, size: int | None, preset: str) -> dict[str, Any]:
    """Milliseconds per step and floors by part of one fit."""
    rates = measure_rates(torch.device("cpu"), THOROUGH)
    arithmetic, traffic = rates.products["fp32"], rates.copy
    settings = Settings(preset=preset, steps=steps, checkpoint_seconds=1e9)
    picture = kanfield.read_image(image, size)
    settings = resolve(settings, image_stats(make_target(settings, picture, torch.zeros(1))))
    torch.manual_seed(0)
    field = make_field(settings, picture.channels)
    assert isinstance(field, KAN)
    target = make_target(settings, picture, next(field.parameters()))
    with tempfile.TemporaryDirectory() as folder, Signals() as signals:
        run = RunFolder.create(Path(folder), Path(image), "kan")
        trainer = Trainer(field, target, settings, run)
        clock = Clock()
        clock.around(trainer, trainer._log, "evaluation and logging")
        clock.around(trainer, trainer.save, "checkpoints")
        clock.around(trainer.batches, trainer.batches.at, "sampling")
        clock.around(field, field.fit_ranges, "moving grids")
        clock.around(field, field.forward, "operator")
        clock.around(torch.Tensor, torch.Tensor.backward, "operator")
        for optimizer in trainer.optimizers:
            clock.around(optimizer, optimizer.step, type(optimizer).__name__)
            clock.around(optimizer, optimizer.zero_grad, type(optimizer).__name__)
        start = time.perf_counter()
        trainer.train(signals)
        total = time.perf_counter() - start
    samples = trainer.sampler.batch_size
    evaluated = target.count if trainer.eval_pixels is None else len(trainer.eval_pixels)
    evaluations = steps / trainer.evaluate_every * evaluated / samples / 3
    operator = operator_floor(field, samples, arithmetic, traffic)
    matrices = field.muon_parameters()
    others = next(p for p in trainer.optimizers if not isinstance(p, Muon)).param_groups[0]["params"]
    floors = {
        "operator": steps * operator,
        "Muon": steps
        * (muon_floor(matrices) / arithmetic + 5 * 4.0 * sum(p.numel() for p in matrices) / traffic),
        "Adam": steps * 7 * 4.0 * sum(p.numel() for p in others) / traffic,
        "sampling": steps * samples * (8 + 8 + 4 * picture.channels) / traffic,
        "evaluation and logging": evaluations * operator,
    }
    parts = dict(clock.seconds)
    parts["the loop around them"] = total - sum(parts.values())
    return {
        "image": Path(image).name,
        "pixels": target.count,
        "field": str(settings.options),
        "steps": steps,
        "batch": samples,
        "backend": field.backend,
        "sgemm_gflops": arithmetic / 1e9,
        "copy_gbytes": traffic / 1e9,
        "milliseconds_per_step": 1e3 * total / steps,
        "parts": {
            part: {
                "milliseconds": 1e3 * taken / steps,
                "share": taken / total,
                "floor_milliseconds": 1e3 * floors[part] / steps if part in floors else None,
            }
            for part, taken in sorted(parts.items(), key=lambda item: -item[1])
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    print(f"{result['image']}, {result['pixels']} pixels: {result['field']}, batch {result['batch']}")
    print(f"sgemm {result['sgemm_gflops']:.0f} GFLOP/s, copy {result['copy_gbytes']:.1f} GB/s")
    print(f"{'part':24}{'ms per step':>10}{'share':>8}{'floor ms':>10}{'times floor':>12}")
    for part, row in result["parts"].items():
        floor = row["floor_milliseconds"]
        against = f"{floor:10.3f}{row['milliseconds'] / floor:12.2f}" if floor else ""
        print(f"{part:24}{row['milliseconds']:10.3f}{row['share']:8.1%}{against}")
    print(f"{'step':24}{result['milliseconds_per_step']:10.3f}\n")


def main() -> None:
    """Read the command line, profile, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--size", type=int, help="longer side in pixels")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--preset", default="smooth", choices=list(PRESETS))
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    result = profile(arguments.image, arguments.steps, arguments.size, arguments.preset)
    show(result)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
