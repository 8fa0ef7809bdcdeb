"""The Triton kernels compiled ahead of time for cards that are not here: they compile, and spill nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
TOOL = Path(__file__).parent.parent / "tools" / "compile_kernels.py"


def run(code_or_tool: list[str], cache: Path) -> str:
    """Outside of this process, whose Triton interprets."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    environment |= {"TRITON_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, *code_or_tool], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_every_kernel_compiles_without_spills(tmp_path: Path) -> None:
    table = tmp_path / "rows.json"
    print(run([str(TOOL), "--precisions", "fp32", "--json", str(table)], tmp_path))
    rows = json.loads(table.read_text(encoding="utf-8"))
    assert {row["target"] for row in rows} == {"sm_80", "sm_86", "sm_90"}
    assert len(rows) == 3 * 6  # three primitives, each in two ways
    for row in rows:
        assert row["spilled_bytes"] == 0, row
        assert row["registers"] <= 255 and row["shared_bytes"] <= 48 * 1024, row


def test_a_kernel_that_asks_for_too_much_is_found(tmp_path: Path) -> None:
    """The check can fail: tiles of 256 samples do not fit the registers."""
    code = f"""
import sys; sys.path.insert(0, {str(TOOL.parent)!r})
import compile_kernels as tool
(name, (arguments, flags)), *_ = tool.launches(False, "fp32", 2, 64, 65536)
row = tool.resources(name, arguments, {{**flags, "BLOCK_N": 256, "num_warps": 4}}, 90)
print(row["spilled_bytes"])
"""
    assert int(run(["-c", code], tmp_path).split()[-1]) > 0
