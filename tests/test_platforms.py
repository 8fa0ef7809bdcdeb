"""kanfield imports and fits where Python lacks the modules that only Unix has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kanfield.images import Image, write_image
from kanfield.splines.triton.dispatch import timings_path

HIDE = """
import importlib.abc, sys

class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("resource", "fcntl"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
"""
FIT = """
import kanfield
run = kanfield.fit("a.png", steps=3, options={"widths": [4], "grids": [8, 8]}, threads=1)
assert run.metrics["steps"] == 3 and run.metrics["peak_memory_bytes"] is None
assert not run.folder.in_use
from kanfield.runs.listing import find_runs
from pathlib import Path
assert [found.state for found in find_runs(Path("runs"))] == ["finished"]
"""


@pytest.mark.slow
def test_a_fit_without_the_modules_of_unix(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", Image(np.zeros((8, 8, 1), np.uint8), "L"))
    done = subprocess.run(
        [sys.executable, "-c", HIDE + FIT], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_user_without_a_home_has_a_place_for_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    pwd = pytest.importorskip("pwd")

    def nobody(uid: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert timings_path("a card").is_absolute()
