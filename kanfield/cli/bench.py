"""``kanfield bench``."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass

from kanfield.cli.values import Flag, Text


@dataclass
class Bench:
    """Time a KAN layer and whole training steps here, against the usual way and the machine's floor."""

    quick: Flag = False
    """Small batches and few rounds, without torch.compile: seconds, for a first look."""
    tune: Flag = False
    """Instead, time both ways of the Triton kernels on an NVIDIA GPU and keep the faster ones for it."""
    device: Text = None
    """auto, cpu, cuda, cuda:1, xpu or mps. Default: auto."""
    json: Flag = False
    """Print one JSON object on standard output, and everything else on standard error."""

    def run(self) -> None:
        from rich.console import Console

        from kanfield.bench.report import bench, bench_tune
        from kanfield.bench.table import shown
        from kanfield.machine import pick_device

        device = pick_device(self.device or "auto")

        def told(line: str) -> None:
            print(line, file=sys.stderr, flush=True)

        result = (bench_tune if self.tune else bench)(device, self.quick, told)
        if self.json:
            print(json.dumps(result, indent=2, allow_nan=False))
            return
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = 10_000  # a program reads this: nothing is folded
        for part in shown(result):
            console.print(part)
