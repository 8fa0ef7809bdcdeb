"""The Triton kernels compiled ahead of time for cards that are not here: they compile, and spill nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.needs("Triton")]
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


@pytest.mark.parametrize(
    ("targets", "shape"),
    [
        (("80", "86", "90"), ("--features", "2")),
        (("90",), ("--outputs", "1", "--features", "1", "--order", "1")),
        (("90",), ("--width", "63", "--samples", "999", "--features", "8", "--levels", "1", "--order", "3")),
        (("90",), ("--width", "16", "--features", "1", "--order", "5")),
    ],
    ids=["hidden", "last", "ragged", "quintic"],
)
def test_every_kernel_compiles_without_spills(
    targets: tuple[str, ...], shape: tuple[str, ...], tmp_path: Path
) -> None:
    table = tmp_path / "rows.json"
    words = ["--targets", *targets, "--precisions", "fp32", "--json", str(table), *shape]
    print(run([str(TOOL), *words], tmp_path))
    rows = json.loads(table.read_text(encoding="utf-8"))
    assert {row["target"] for row in rows} == {f"sm_{target}" for target in targets}
    # Three primitives of splines by two kernels each, and six launches of the four kernels of grids.
    assert len(rows) == len(targets) * 12
    for row in rows:
        assert row["spilled_bytes"] == 0, row
        assert row["registers"] <= 255 and row["shared_bytes"] <= 48 * 1024, row


def test_the_shuffle_compiles_for_all_that_its_numbers_can_be(tmp_path: Path) -> None:
    """An interpreter knows no types: within 32 bits, beyond them, and 1, which becomes a constant."""
    code = f"""
import sys; sys.path.insert(0, {str(TOOL.parent)!r})
import compile_kernels as tool, torch
from kanfield.training.permutation_triton import _shuffle
keys = out = torch.empty(8, dtype=torch.int64, device="meta")
for first, total, count, bits in ((0, 999, 576, 10), (2**31, 999, 2**31 + 5, 32), (1, 1, 1, 1)):
    numbers = (keys, out, first, total, count, (1 << bits) - 1, (bits + 1) // 2)
    tool.compile_launch(_shuffle, numbers, {{"ROUNDS": 4, "BLOCK": 1024}}, 90)
print("compiled")
"""
    assert "compiled" in run(["-c", code], tmp_path)


def test_a_kernel_that_asks_for_too_much_is_found(tmp_path: Path) -> None:
    """The check can fail: tiles of 256 samples do not fit the registers."""
    code = f"""
import sys; sys.path.insert(0, {str(TOOL.parent)!r})
import compile_kernels as tool
(name, (arguments, flags)), *_ = tool.launches(False, "fp32", 2, 64, 64, 65536)
row = tool.resources(name, arguments, {{**flags, "BLOCK_N": 256, "num_warps": 4}}, 90)
print(row["spilled_bytes"])
"""
    assert int(run(["-c", code], tmp_path).split()[-1]) > 0
