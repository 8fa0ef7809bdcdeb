"""The spline primitives on Triton kernels; shapes as in :mod:`kanfield.splines.reference`.

Where ``base`` (I, O) is given, the same sweep also computes a layer's smooth branch ``silu(x) @ base``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import triton
from torch import Tensor

from kanfield.splines.basis import cell_at
from kanfield.splines.triton import kernels
from kanfield.splines.triton.dispatch import Case, TileSizes, num_splits, prefers_dense, tile_sizes

_NAMES = {"fp32": "ieee", "tf32x3": "tf32x3", "tf32": "tf32", "bf16": "bf16"}
_LARGEST = 2**31  # coefficients are numbered in 32 bits
_GATHERED = 32  # samples in a tile that gathers, which takes more registers
_INPUTS, _BLOCKS = 4, 4  # fewest inputs, and blocks of samples, in a part of a sum


def spline_forward(
    x: Tensor,
    coef: Tensor,
    weight: Tensor | None,
    lower: Tensor,
    scale: Tensor,
    size: int,
    order: int,
    derivative: int,
    precision: str = "fp32",
    base: Tensor | None = None,
) -> Tensor:
    """Values, shape ``(N, O)``."""
    x, coef = x.contiguous(), _numbered(coef)
    (samples, inputs), outputs = x.shape, coef.shape[1]
    rows = size + order + (base is not None)
    dense = _dense("spline_forward", precision, order, rows, outputs, x)
    tile = tile_sizes(samples, rows, outputs, 64 if dense else _GATHERED)
    sample_blocks, output_blocks = triton.cdiv(samples, tile.samples), triton.cdiv(outputs, tile.outputs)
    share = triton.cdiv(inputs, num_splits(sample_blocks * output_blocks, inputs, _INPUTS))
    split = triton.cdiv(inputs, share)
    grid = (sample_blocks, output_blocks, split)
    y = x.new_empty(split, samples, outputs)
    tensors = (x, _filled(weight, x), *_ranges(lower, scale), coef, _filled(base, x), y)
    flags: dict[str, int | str] = {
        "ORDER": order,
        "DERIVATIVE": derivative,
        "WEIGHT": int(weight is not None),
    }
    flags |= {"BASE": int(base is not None), "BLOCK_N": tile.samples, "BLOCK_O": tile.outputs}
    flags |= _options(tile)
    if dense:
        flags |= {"PRECISION": _product(precision), "BLOCK_R": tile.rows}
        launch_kernel(
            kernels.spline_forward_dense, grid, *tensors, samples, inputs, outputs, size, share, **flags
        )
    else:
        launch_kernel(
            kernels.spline_forward_gather, grid, *tensors, samples, inputs, outputs, size, share, **flags
        )
    return _summed(y)


def grad_input(
    x: Tensor,
    coef: Tensor,
    g: Tensor,
    lower: Tensor,
    scale: Tensor,
    size: int,
    order: int,
    derivative: int,
    precision: str = "fp32",
    base: Tensor | None = None,
) -> Tensor:
    """Gradient of the inputs, shape ``(N, I)``."""
    x, coef, g = x.contiguous(), _numbered(coef), g.contiguous()
    (samples, inputs), outputs = x.shape, coef.shape[1]
    rows = size + order + (base is not None)
    out = torch.empty_like(x)
    dense = _dense("grad_input", precision, order, rows, outputs, x)
    tile = tile_sizes(samples, rows, outputs, 64 if dense else _GATHERED)
    grid = (triton.cdiv(samples, tile.samples), inputs)
    tensors = (x, *_ranges(lower, scale), coef, _filled(base, x), g, out)
    flags: dict[str, int | str] = {"ORDER": order, "DERIVATIVE": derivative, "BASE": int(base is not None)}
    flags |= {"BLOCK_N": tile.samples, "BLOCK_O": tile.outputs, **_options(tile)}
    if dense:
        flags |= {"PRECISION": _product(precision), "BLOCK_R": tile.rows}
        launch_kernel(kernels.grad_input_dense, grid, *tensors, samples, inputs, outputs, size, **flags)
    else:
        launch_kernel(kernels.grad_input_gather, grid, *tensors, samples, inputs, outputs, size, **flags)
    return out


def grad_coef(
    x: Tensor,
    weight: Tensor | None,
    g: Tensor,
    lower: Tensor,
    scale: Tensor,
    size: int,
    order: int,
    derivative: int,
    precision: str = "fp32",
    base: Tensor | None = None,
) -> Tensor:
    """Gradient of the coefficients, shape ``(I * K, O)``; ``base`` is filled with that of the branch."""
    x, g, (lower, scale) = x.contiguous(), g.contiguous(), _ranges(lower, scale)
    (samples, inputs), outputs = x.shape, g.shape[1]
    dense = _dense("grad_coef", precision, order, size + order, outputs, x)
    if base is not None and not dense:  # its gradient needs every sample, so there is nothing to gather
        base.copy_(torch.nn.functional.silu(x).T @ g)
    swept = base is not None and dense
    rows = size + order + swept
    tile = tile_sizes(samples, rows, outputs)
    row_blocks, output_blocks = triton.cdiv(rows, tile.rows), triton.cdiv(outputs, tile.outputs)
    programs = inputs * row_blocks * output_blocks
    split = num_splits(programs, triton.cdiv(samples, tile.samples), _BLOCKS) if dense else 1
    out = _numbered(x.new_empty(split, inputs * (size + order), outputs))
    bases = x.new_empty(split, inputs, outputs) if swept else x
    index = (x, x) if dense else _in_order_of_cells(x, lower, scale, size, order, tile.rows, row_blocks)
    launch_kernel(
        kernels.grad_coef,
        (inputs * row_blocks, output_blocks, split),
        x,
        _filled(weight, x),
        lower,
        scale,
        g,
        *index,
        out,
        bases,
        samples,
        inputs,
        outputs,
        size,
        row_blocks,
        math.ceil(samples / split),
        ORDER=order,
        DERIVATIVE=derivative,
        WEIGHT=int(weight is not None),
        BASE=int(swept),
        SORTED=int(not dense),
        PRECISION=_product(precision),
        BLOCK_N=tile.samples,
        BLOCK_R=tile.rows,
        BLOCK_O=tile.outputs,
        **_options(tile),
    )
    if swept and base is not None:
        base.copy_(_summed(bases))
    return _summed(out)


def _in_order_of_cells(
    x: Tensor, lower: Tensor, scale: Tensor, size: int, order: int, block: int, blocks: int
) -> tuple[Tensor, Tensor]:
    """Every input's samples by ascending cell, (I, N), and where those of each block of rows begin and end.

    The ends stand behind the beginnings: shape ``(I, 2 * blocks)``.
    """
    cell = cell_at((x - lower) * scale, size).to(torch.int32).T.contiguous()
    cell, ordered = cell.sort(dim=1, stable=True)
    first = torch.arange(blocks, device=x.device, dtype=torch.int32) * block
    borders = torch.cat([first - order, first + block])  # cell c touches the rows c to c + order
    starts = torch.searchsorted(cell, borders.expand(x.shape[1], -1).contiguous())
    return ordered.to(torch.int32), starts.to(torch.int32)


def launch_kernel(
    kernel: Any, grid: tuple[int, ...], x: Tensor, /, *arguments: object, **flags: object
) -> None:
    """Launch a kernel on the device of ``x``: Triton takes the current device, wherever the tensors are."""
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        kernel[grid](x, *arguments, **flags)


def _dense(primitive: str, precision: str, order: int, rows: int, outputs: int, like: Tensor) -> bool:
    gpu = torch.cuda.get_device_name(like.device) if like.is_cuda else None
    return prefers_dense(Case(primitive, precision, order, rows, outputs), gpu)


def _options(tile: TileSizes) -> dict[str, int]:
    """How Triton compiles a kernel: without pipelining, which would spill registers."""
    return {"num_warps": tile.warps, "num_stages": 1}


def _product(precision: str) -> str:
    """What the kernels call a precision."""
    emulated = precision == "bf16" and triton.knobs.runtime.interpret
    return "bf16, emulated" if emulated else _NAMES[precision]


def _summed(parts: Tensor) -> Tensor:
    return parts.sum(0) if len(parts) > 1 else parts[0]


def _ranges(lower: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Ranges may be columns of one tensor, or one number for all inputs."""
    return lower.contiguous(), scale.contiguous()


def _filled(tensor: Tensor | None, stand_in: Tensor) -> Tensor:
    """A tensor to hand over: what is not there is never read."""
    return stand_in if tensor is None else tensor.contiguous()


def _numbered(coef: Tensor) -> Tensor:
    if coef.numel() >= _LARGEST:
        raise ValueError(f"{coef.numel():,} coefficients in a layer are too many for the Triton kernels")
    return coef.contiguous()
