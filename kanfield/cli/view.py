"""``kanfield view``."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from kanfield.cli.values import Whole
from kanfield.errors import InputError


@dataclass
class View:
    """Zoom into runs in a browser: field, image, error and gradient under one cursor."""

    paths: Annotated[Positional[list[Path]], arg(metavar="RUN...", help_behavior_hint="")]
    """The run folders."""
    port: Annotated[int, arg(metavar="N")] = 0
    """Port of this machine's own address; 0 takes a free one."""
    threads: Whole = None
    """CPU threads."""

    def run(self) -> None:
        """Serve the page until Ctrl-C."""
        from kanfield.process import limit_threads
        from kanfield.tiles.entry import load
        from kanfield.view.scene import Scene
        from kanfield.view.server import Server

        if not self.paths:
            raise InputError("which runs? kanfield view RUN...; kanfield runs lists them")
        scenes = [Scene(load(path)) for path in self.paths]
        with limit_threads(self.threads), Server(scenes, self.port) as server:
            print(f"look at {server.address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()
