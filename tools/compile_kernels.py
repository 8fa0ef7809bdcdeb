"""Compile the Triton kernels ahead of time, without a GPU, and print the registers and memory they take.

    python tools/compile_kernels.py [--targets 80 86 90] [--precisions fp32 tf32x3 tf32 bf16] [--order 2]
        [--width 64] [--outputs 64] [--samples 65536] [--features 1 2 4 8] [--levels 16] [--json FILE]

Each kernel of splines is compiled as a layer ``width -> outputs`` with a branch launches it, each of grids as
an encoding of so many levels does, for a batch of so many samples, with the specialisations that Triton
applies to numbers that are 1 or multiples of 16. Printed are registers per thread, bytes spilled to the stack
per thread, and shared memory per block, by cuobjdump.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia import compiler as nvidia
from triton.compiler import ASTSource

from kanfield.encodings.grid_encode import FEATURES
from kanfield.encodings.grid_encode import ORDERS as GRID_ORDERS
from kanfield.encodings.triton import kernels as grid_kernels
from kanfield.encodings.triton import launch as grid_launch
from kanfield.splines.precision import PRECISIONS
from kanfield.splines.triton import kernels, launch
from kanfield.splines.triton.dispatch import force_kernel

SPLINE_KERNELS = (
    "spline_forward_dense",
    "spline_forward_gather",
    "grad_input_dense",
    "grad_input_gather",
    "grad_coef",
)
GRID_KERNELS = ("grid_forward", "grid_project", "grid_table", "table_from_sums")
KERNELS = {name: getattr(kernels, name) for name in SPLINE_KERNELS}
KERNELS |= {name: getattr(grid_kernels, name) for name in GRID_KERNELS}
CUOBJDUMP = Path(nvidia.__file__).parent / "bin" / "cuobjdump"


class Recorder:
    """Stands in for a kernel and records what it is launched with."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.launches: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *arguments, **flags: self.launches.append((arguments, flags))


def launches(
    dense: bool, precision: str, order: int, width: int, outputs: int, samples: int
) -> list[tuple[str, Any]]:
    """Launches of the three primitives for a layer.

    Args:
        dense: the dense kernels instead of the gathering ones.
        precision: of the products.
        order: degree of the splines.
        width: inputs of the layer.
        outputs: outputs of the layer.
        samples: batch size.

    Returns:
        Names of the kernels, each with the arguments and flags of a launch.
    """
    size = 8 if dense else 200
    x, g = torch.empty(samples, width, device="meta"), torch.empty(samples, outputs, device="meta")
    coef = torch.empty(width * (size + order), outputs, device="meta")
    base, bounds = torch.empty(width, outputs, device="meta"), torch.empty(width, device="meta")
    grid = (bounds, bounds, size, order)
    recorders = {name: Recorder(KERNELS[name]) for name in SPLINE_KERNELS}
    recorded = patch.object(launch, "kernels", SimpleNamespace(**recorders))
    with recorded, force_kernel("dense" if dense else "gather"):
        launch.spline_forward(x, coef, None, *grid, 0, precision, base)
        launch.grad_input(x, coef, g, *grid, 1, precision, base)
        launch.grad_coef(x, None, g, *grid, 0, precision, base)
    return [(name, found) for name, recorder in recorders.items() for found in recorder.launches]


def grid_launches(order: int, features: int, levels: int, samples: int) -> list[tuple[str, Any]]:
    """Launches for values and gradients of a grid encoding, and for the table's gradient from slopes.

    Args:
        order: degree of the splines.
        features: of a level.
        levels: how many.
        samples: batch size.

    Returns:
        Names of the kernels, each with the arguments and flags of a launch.
    """
    entries = levels << 15
    x, g = torch.empty(samples, 2, device="meta"), torch.empty(samples, levels * features, device="meta")
    table = torch.empty(entries, features, device="meta")
    layout = torch.empty(levels, 5, dtype=torch.int64, device="meta")
    recorders = {name: Recorder(KERNELS[name]) for name in GRID_KERNELS}
    with patch.object(grid_launch, "kernels", SimpleNamespace(**recorders)):
        grid_launch.grid_forward(x, table, layout, order, 0, 0)
        grid_launch.grid_project(x, table, g, layout, order, 1, 0)
        for v in (0, 1):
            grid_launch.grid_table(x, g, layout, entries, order, v, 0)
    return [(name, found) for name, recorder in recorders.items() for found in recorder.launches]


def specialised(value: torch.Tensor | int) -> tuple[str, bool]:
    """The type for which Triton compiles an argument, and whether it relies on a multiple of 16.

    It compiles anew for numbers that are 1, multiples of 16 or beyond 32 bits.
    """
    if isinstance(value, torch.Tensor):
        return {torch.float32: "*fp32", torch.int32: "*i32", torch.int64: "*i64"}[value.dtype], True
    if value == 1:
        return "constexpr", False
    return "i32" if value < 2**31 else "i64", value % 16 == 0


def compile_launch(kernel: Any, arguments: tuple[Any, ...], flags: dict[str, Any], target: int) -> Any:
    """Compile a kernel as one launch would, for a compute capability (80 for sm_80)."""
    options = {key: flags[key] for key in ("num_warps", "num_stages") if key in flags}
    constants = {key: value for key, value in flags.items() if key not in options}
    types, aligned = dict.fromkeys(kernel.arg_names, "constexpr"), {}
    for number, (parameter, value) in enumerate(zip(kernel.arg_names, arguments, strict=False)):
        kind, divisible = specialised(value)
        if kind == "constexpr":
            constants[parameter] = value
        types[parameter] = kind
        if divisible:
            aligned[(number,)] = [["tt.divisibility", 16]]
    values = {(kernel.arg_names.index(key),): value for key, value in constants.items()}
    source = ASTSource(kernel, types, values, attrs=aligned)
    return triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)


def resources(name: str, arguments: tuple[Any, ...], flags: dict[str, Any], target: int) -> dict[str, Any]:
    """Compile one launch for a compute capability (80 for sm_80) and read its registers and memory."""
    compiled = compile_launch(KERNELS[name], arguments, flags, target)
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(compiled.asm["cubin"])
        file.flush()
        done = subprocess.run(
            [CUOBJDUMP, "-res-usage", file.name], capture_output=True, text=True, check=True
        )
    registers, stack = re.findall(r"REG:(\d+) STACK:(\d+)", done.stdout + done.stderr)[0]
    sides = [flags[key] for key in ("BLOCK_N", "BLOCK", "BLOCK_R", "P", "BLOCK_O", "F") if key in flags]
    notes = [", sorted" * bool(flags.get("SORTED")), ", differentiated" * bool(flags.get("V"))]
    return {
        "kernel": name + "".join(notes),
        "target": f"sm_{target}",
        "precision": flags.get("PRECISION", "-"),
        "tile": " x ".join(map(str, sides)),
        "warps": flags["num_warps"],
        "registers": int(registers),
        "spilled_bytes": int(stack),
        "shared_bytes": compiled.metadata.shared,
    }


def main() -> None:
    """Read the command line, compile, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--targets", type=int, nargs="+", default=[80, 86, 90])
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--order", type=int, default=2)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--outputs", type=int, help="default: the width")
    parser.add_argument("--samples", type=int, default=65536)
    parser.add_argument("--features", type=int, nargs="*", default=list(FEATURES), choices=FEATURES)
    parser.add_argument("--levels", type=int, default=16)
    parser.add_argument("--json", help="also write the rows to this file")
    arguments = parser.parse_args()
    outputs = arguments.outputs or arguments.width
    shape = (arguments.order, arguments.width, outputs, arguments.samples)
    wanted = [found for precision in arguments.precisions for found in launches(True, precision, *shape)]
    wanted += launches(False, "fp32", *shape)
    for features in arguments.features:
        wanted += grid_launches(
            min(arguments.order, max(GRID_ORDERS)), features, arguments.levels, arguments.samples
        )
    rows: list[dict[str, Any]] = []
    for target in arguments.targets:
        for name, (given, flags) in wanted:
            row = resources(name, given, flags, target)
            if not rows:
                print("  ".join(row))
            print("  ".join(str(value) for value in row.values()), flush=True)
            rows.append(row)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
