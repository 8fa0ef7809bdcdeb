"""The programs in tools/ keep up with the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parent.parent / "tools"
NAMES = sorted(path.stem for path in TOOLS.glob("*.py"))


@pytest.fixture(scope="module")
def imported() -> subprocess.CompletedProcess[str]:
    """All tools imported in one other process: some of them register families of fields."""
    code = "import importlib, sys; [print(importlib.import_module(name).__name__) for name in sys.argv[1:]]"
    return subprocess.run(
        [sys.executable, "-c", code, *NAMES], cwd=TOOLS, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_every_tool_can_be_imported(imported):
    assert len(NAMES) > 10
    assert imported.stderr == "" and imported.stdout.split() == NAMES


def test_the_comparison_with_other_packages_builds_our_networks(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import bench_peers

    for contestant in ("kanfield", "kanfield, default order"):
        loss = bench_peers.training(bench_peers.build(contestant, "tiny"))
        assert loss() > loss()


def test_every_tool_is_in_the_readme():
    text = (TOOLS / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}.py`" not in text] == []
