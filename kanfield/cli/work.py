"""``kanfield work``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kanfield.cli.printing import progress_console
from kanfield.cli.values import Flag, Text, Whole


@dataclass
class Work:
    """Help with a run of tiles, from this or any other host that sees its folder."""

    path: Annotated[Positional[Path], arg(metavar="RUN")]
    """The run folder."""
    device: Text = None
    """auto, cpu, cuda, cuda:1, xpu or mps. Default: the run's own."""
    threads: Whole = None
    """CPU threads. Default: the run's own; another number changes the last bits of the result."""
    quiet: Flag = False
    """Print nothing but errors."""

    def run(self) -> None:
        """Fit tiles until every one is done or given up."""
        from kanfield.monitors.tolerant import say
        from kanfield.names import command_line
        from kanfield.tiles.work import work

        console = progress_console(self.quiet)
        count = work(self.path, console=console, device=self.device, threads=self.threads)
        if (self.path / "metrics.json").exists():
            say(console, f"{self.path} is finished: nothing is left to do")
            return
        again = command_line("kanfield", "fit", "--resume", self.path)
        say(console, f"{count} tiles fitted here, none is left; the picture comes with: {again}")
