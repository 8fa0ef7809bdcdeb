"""``kanfield bench``."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from kanfield.cli.values import Flag, Text, Whole


@dataclass
class Bench:
    """Time a KAN layer, grid encodings and whole training steps here, against baselines and a floor."""

    quick: Flag = False
    """Small batches and few rounds, without torch.compile: seconds, for a first look."""
    tune: Flag = False
    """Instead, time both kinds of Triton kernels on an NVIDIA GPU and keep the faster ones for it."""
    device: Text = None
    """auto, cpu, cuda, cuda:1, xpu or mps. Default: auto."""
    threads: Whole = None
    """CPU threads."""
    json: Flag = False
    """Print one JSON object on standard output, and everything else on standard error."""
    quiet: Flag = False
    """Print no progress."""

    def run(self) -> None:
        """Measure, and print what was measured."""
        from kanfield.bench.report import bench, bench_tune
        from kanfield.bench.table import shown
        from kanfield.cli.printing import print_json, print_tables
        from kanfield.machine import pick_device
        from kanfield.process import limit_threads

        def progress(line: str) -> None:
            if not self.quiet:
                print(line, file=sys.stderr, flush=True)

        device = pick_device(self.device or "auto")
        with limit_threads(self.threads):
            result = (bench_tune if self.tune else bench)(device, self.quick, progress)
        if self.json:
            print_json(result)
        else:
            print_tables(shown(result))
