"""The spline primitives as Triton kernels, a dense and a gathering one each.

*Dense*: a tile of the dense basis, (samples, coefficients of one input), is built in registers and fed to the
matrix units; it never reaches memory. *Gathering*: the k+1 coefficients that a sample touches are read one by
one. Which is faster depends on the grid and the precision (:mod:`kanfield.splines.triton.dispatch`).

Shapes and meaning are those of :mod:`kanfield.splines.reference`. Where ``BASE`` is set the kernels also
compute a layer's smooth branch: silu(x) is one column more of the tile, ``base`` (I, O) its row. Cell and
local coordinate are computed in float32 by the very expression of the other backends, whatever the precision
of the product, and sums are kept in float32. No kernel uses atomics, so results are the same bits every time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kanfield.splines import basis


@triton.jit
def _locate(x, lower, scale, size):
    """Position in cells and number of the cell; NaN goes to cell 0 and stays NaN in the position."""
    position = (x - lower) * scale
    finite = tl.where(position == position, position, 0.0)
    cell = tl.minimum(tl.maximum(finite, 0.0), size - 1.0).to(tl.int32)
    return position, cell


from_right = triton.constexpr_function(basis.from_right)
# A table, since Triton compiles no function that is cached.
_COEFFICIENTS = {
    (j, order, derivative): basis.coefficients(j, order, derivative)
    for order in basis.ORDERS
    for derivative in range(order + 1)
    for j in range(order + 1)
}


@triton.constexpr_function
def _coefficient(j, order, derivative, lower):  # type: ignore[no-untyped-def]
    """Of tap ``j``'s piece, so many powers below the highest."""
    return _COEFFICIENTS[j, order, derivative][-1 - lower]


@triton.jit
def polynomial(t, j: tl.constexpr, ORDER: tl.constexpr, DERIVATIVE: tl.constexpr):
    """Tap ``j`` of the basis on one cell, as in :func:`kanfield.splines.basis.polynomials`."""
    s = 1.0 - t if from_right(j, ORDER) else t
    value = 0.0 * s + _coefficient(j, ORDER, DERIVATIVE, 0)  # NaN stays
    for lower in tl.static_range(1, ORDER - DERIVATIVE + 1):
        value = value * s + _coefficient(j, ORDER, DERIVATIVE, lower)
    return value


@triton.jit
def _tap(position, cell, scale, size, j: tl.constexpr, ORDER: tl.constexpr, DERIVATIVE: tl.constexpr):
    """Tap ``j`` of the basis, or its derivative in x; linear outside the grid."""
    local = position - cell
    below, above = position < 0.0, position > size
    border = tl.where(above, 1.0, tl.where(below, 0.0, local))
    value = polynomial(border, j, ORDER, DERIVATIVE)
    if DERIVATIVE == 0:
        value += (local - border) * polynomial(border, j, ORDER, 1)
    else:
        for _ in tl.static_range(DERIVATIVE):
            value *= scale
        if DERIVATIVE >= 2:
            value = tl.where(below | above, 0.0, value)
    return value


@triton.jit
def _branch(x, DERIVATIVE: tl.constexpr):
    """silu(x), or its first derivative."""
    gate = 1.0 / (1.0 + tl.exp(-x))
    value = x * gate
    if DERIVATIVE == 1:
        value = gate * (1.0 + x * (1.0 - gate))
    return value


@triton.jit
def _tile(x, lower, scale, size, rows, ORDER: tl.constexpr, DERIVATIVE: tl.constexpr, BASE: tl.constexpr):
    """The basis functions number ``rows`` (R,) of one input at ``x`` (N,): a tile (N, R).

    Row ``size + ORDER`` is the smooth branch where ``BASE`` is set; rows past the last are zero.
    """
    position, cell = _locate(x, lower, scale, size)
    tap = rows[None, :] - cell[:, None]
    tile = tl.zeros([x.shape[0], rows.shape[0]], tl.float32)
    for j in tl.static_range(ORDER + 1):
        value = _tap(position, cell, scale, size, j, ORDER, DERIVATIVE)
        tile = tl.where(tap == j, value[:, None], tile)
    if BASE:
        tile = tl.where(rows[None, :] == size + ORDER, _branch(x, DERIVATIVE)[:, None], tile)
    return tile


@triton.jit
def _rows_of(coef, base, i, rows, o, size, outputs, ORDER: tl.constexpr, BASE: tl.constexpr):
    """Coefficients (R, O) that belong to the tile's columns."""
    count = size + ORDER
    inside = (rows[:, None] < count) & (o[None, :] < outputs)
    values = tl.load(coef + (i * count + rows[:, None]) * outputs + o[None, :], mask=inside, other=0.0)
    if BASE:
        last = (rows[:, None] == count) & (o[None, :] < outputs)
        values += tl.load(base + i * outputs + o[None, :] + 0 * rows[:, None], mask=last, other=0.0)
    return values


@triton.jit
def _bf16(x):
    """Float32 rounded to the 8 bits of bf16, ties to even."""
    bits = x.to(tl.int32, bitcast=True)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & -65536).to(tl.float32, bitcast=True)


@triton.jit
def _product(a, b, total, PRECISION: tl.constexpr):
    """``total + a @ b`` in a precision; sums in float32."""
    if PRECISION == "bf16":
        total = tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), total)
    elif PRECISION == "bf16, emulated":  # the interpreter neither multiplies bf16 nor rounds to it
        total = tl.dot(_bf16(a), _bf16(b), total)
    else:
        total = tl.dot(a, b, total, input_precision=PRECISION)
    return total


@triton.jit
def spline_forward_dense(
    x, weight, lower, scale, coef, base, y, samples, inputs, outputs, size, share,
    ORDER: tl.constexpr, DERIVATIVE: tl.constexpr, WEIGHT: tl.constexpr, BASE: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_O: tl.constexpr,
):  # fmt: skip
    """Program (n, o, part): a block of y (parts, N, O), the sum over ``share`` of the inputs."""
    start, part = tl.program_id(0).to(tl.int64) * BLOCK_N, tl.program_id(2).to(tl.int64)
    y += (part * samples + start) * outputs
    n, o = tl.arange(0, BLOCK_N), tl.program_id(1) * BLOCK_O + tl.arange(0, BLOCK_O)
    x, weight, samples = x + start * inputs, weight + start * inputs, samples - start
    total = tl.zeros([BLOCK_N, BLOCK_O], tl.float32)
    for i in range(tl.program_id(2) * share, tl.minimum(inputs, (tl.program_id(2) + 1) * share)):
        value = tl.load(x + n * inputs + i, mask=n < samples, other=0.0)
        low, per_unit = tl.load(lower + i), tl.load(scale + i)
        for first in range(0, size + ORDER + BASE, BLOCK_R):
            rows = first + tl.arange(0, BLOCK_R)
            tile = _tile(value, low, per_unit, size, rows, ORDER, DERIVATIVE, BASE)
            if WEIGHT:
                tile *= tl.load(weight + n * inputs + i, mask=n < samples, other=0.0)[:, None]
            values = _rows_of(coef, base, i, rows, o, size, outputs, ORDER, BASE)
            total = _product(tile, values, total, PRECISION)
    inside = (n[:, None] < samples) & (o[None, :] < outputs)
    tl.store(y + n[:, None] * outputs + o[None, :], total, mask=inside)


@triton.jit
def spline_forward_gather(
    x, weight, lower, scale, coef, base, y, samples, inputs, outputs, size, share,
    ORDER: tl.constexpr, DERIVATIVE: tl.constexpr, WEIGHT: tl.constexpr, BASE: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_O: tl.constexpr,
):  # fmt: skip
    """Program (n, o, part): a block of y (parts, N, O), the sum over ``share`` of the inputs."""
    start, part = tl.program_id(0).to(tl.int64) * BLOCK_N, tl.program_id(2).to(tl.int64)
    y += (part * samples + start) * outputs
    n, o = tl.arange(0, BLOCK_N), tl.program_id(1) * BLOCK_O + tl.arange(0, BLOCK_O)
    x, weight, samples = x + start * inputs, weight + start * inputs, samples - start
    inside = (n[:, None] < samples) & (o[None, :] < outputs)
    total = tl.zeros([BLOCK_N, BLOCK_O], tl.float32)
    for i in range(tl.program_id(2) * share, tl.minimum(inputs, (tl.program_id(2) + 1) * share)):
        value = tl.load(x + n * inputs + i, mask=n < samples, other=0.0)
        low, per_unit = tl.load(lower + i), tl.load(scale + i)
        position, cell = _locate(value, low, per_unit, size)
        factor = 1.0
        if WEIGHT:
            factor = tl.load(weight + n * inputs + i, mask=n < samples, other=0.0)
        first = (i * (size + ORDER) + cell) * outputs
        for j in tl.static_range(ORDER + 1):
            tap = _tap(position, cell, per_unit, size, j, ORDER, DERIVATIVE) * factor
            values = tl.load(coef + (first + j * outputs)[:, None] + o[None, :], mask=inside, other=0.0)
            total += tap[:, None] * values
        if BASE:
            weights = tl.load(base + i * outputs + o, mask=o < outputs, other=0.0)
            total += _branch(value, DERIVATIVE)[:, None] * weights[None, :]
    tl.store(y + n[:, None] * outputs + o[None, :], total, mask=inside)


@triton.jit
def grad_input_dense(
    x, lower, scale, coef, base, g, out, samples, inputs, outputs, size,
    ORDER: tl.constexpr, DERIVATIVE: tl.constexpr, BASE: tl.constexpr,
    PRECISION: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_O: tl.constexpr,
):  # fmt: skip
    """Program (n, i): a block of samples of one column of out (N, I)."""
    start = tl.program_id(0).to(tl.int64) * BLOCK_N
    n, i = tl.arange(0, BLOCK_N), tl.program_id(1)
    x, g, out, samples = x + start * inputs, g + start * outputs, out + start * inputs, samples - start
    value = tl.load(x + n * inputs + i, mask=n < samples, other=0.0)
    low, per_unit = tl.load(lower + i), tl.load(scale + i)
    total = tl.zeros([BLOCK_N], tl.float32)
    for first in range(0, size + ORDER + BASE, BLOCK_R):
        rows = first + tl.arange(0, BLOCK_R)
        product = tl.zeros([BLOCK_N, BLOCK_R], tl.float32)
        for column in range(0, outputs, BLOCK_O):
            o = column + tl.arange(0, BLOCK_O)
            inside = (n[:, None] < samples) & (o[None, :] < outputs)
            gradient = tl.load(g + n[:, None] * outputs + o[None, :], mask=inside, other=0.0)
            values = _rows_of(coef, base, i, rows, o, size, outputs, ORDER, BASE)
            product = _product(gradient, tl.trans(values), product, PRECISION)
        tile = _tile(value, low, per_unit, size, rows, ORDER, DERIVATIVE, BASE)
        total += tl.sum(tile * product, axis=1)
    tl.store(out + n * inputs + i, total, mask=n < samples)


@triton.jit
def grad_input_gather(
    x, lower, scale, coef, base, g, out, samples, inputs, outputs, size,
    ORDER: tl.constexpr, DERIVATIVE: tl.constexpr, BASE: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_O: tl.constexpr,
):  # fmt: skip
    """Program (n, i): a block of samples of one column of out (N, I)."""
    start = tl.program_id(0).to(tl.int64) * BLOCK_N
    n, i = tl.arange(0, BLOCK_N), tl.program_id(1)
    x, g, out, samples = x + start * inputs, g + start * outputs, out + start * inputs, samples - start
    value = tl.load(x + n * inputs + i, mask=n < samples, other=0.0)
    low, per_unit = tl.load(lower + i), tl.load(scale + i)
    position, cell = _locate(value, low, per_unit, size)
    row = (i * (size + ORDER) + cell) * outputs
    total = tl.zeros([BLOCK_N], tl.float32)
    for column in range(0, outputs, BLOCK_O):
        o = column + tl.arange(0, BLOCK_O)
        inside = (n[:, None] < samples) & (o[None, :] < outputs)
        gradient = tl.load(g + n[:, None] * outputs + o[None, :], mask=inside, other=0.0)
        for j in tl.static_range(ORDER + 1):
            values = tl.load(coef + (row + j * outputs)[:, None] + o[None, :], mask=inside, other=0.0)
            tap = _tap(position, cell, per_unit, size, j, ORDER, DERIVATIVE)
            total += tap * tl.sum(gradient * values, axis=1)
        if BASE:
            weights = tl.load(base + i * outputs + o, mask=o < outputs, other=0.0)
            total += _branch(value, DERIVATIVE) * tl.sum(gradient * weights[None, :], axis=1)
    tl.store(out + n * inputs + i, total, mask=n < samples)


@triton.jit
def grad_coef(
    x, weight, lower, scale, g, ordered, starts, out, base, samples, inputs, outputs, size, blocks, share,
    ORDER: tl.constexpr, DERIVATIVE: tl.constexpr, WEIGHT: tl.constexpr, BASE: tl.constexpr,
    SORTED: tl.constexpr, PRECISION: tl.constexpr,
    BLOCK_N: tl.constexpr, BLOCK_R: tl.constexpr, BLOCK_O: tl.constexpr,
):  # fmt: skip
    """Program (i and a block of its rows, o, part): a block of out (parts, I * K, O).

    The samples of a part are added up in registers before anything is written. Dense: a part is ``share``
    samples. Gathering (``SORTED``): ``ordered`` (I, N) lists each input's samples by ascending cell, and
    those that touch this block of rows stand from ``starts[i, block]`` to ``starts[i, blocks + block]``.
    """
    i, block = tl.program_id(0) // blocks, tl.program_id(0) % blocks
    o = tl.program_id(1) * BLOCK_O + tl.arange(0, BLOCK_O)
    part = tl.program_id(2)
    rows = block * BLOCK_R + tl.arange(0, BLOCK_R)
    low, per_unit = tl.load(lower + i), tl.load(scale + i)
    begin, end = part * share, tl.minimum(part * share + share, samples)
    if SORTED:
        begin, end = tl.load(starts + i * 2 * blocks + block), tl.load(starts + (i * 2 + 1) * blocks + block)
    total = tl.zeros([BLOCK_R, BLOCK_O], tl.float32)
    for first in range(begin, end, BLOCK_N):
        place = first + tl.arange(0, BLOCK_N)
        n = place.to(tl.int64)
        if SORTED:
            n = tl.load(ordered + i.to(tl.int64) * samples + place, mask=place < end, other=0).to(tl.int64)
        value = tl.load(x + n * inputs + i, mask=place < end, other=0.0)
        inside = (place[:, None] < end) & (o[None, :] < outputs)
        gradient = tl.load(g + n[:, None] * outputs + o[None, :], mask=inside, other=0.0)
        tile = _tile(value, low, per_unit, size, rows, ORDER, DERIVATIVE, BASE)
        if WEIGHT:
            tile *= tl.load(weight + n * inputs + i, mask=place < end, other=0.0)[:, None]
        total = _product(tl.trans(tile), gradient, total, PRECISION)
    count = size + ORDER
    inside = (rows[:, None] < count) & (o[None, :] < outputs)
    start = out + part.to(tl.int64) * inputs * count * outputs
    tl.store(start + (i * count + rows[:, None]) * outputs + o[None, :], total, mask=inside)
    if BASE:
        last = (rows[:, None] == count) & (o[None, :] < outputs)
        start = base + part.to(tl.int64) * inputs * outputs
        tl.store(start + i * outputs + o[None, :] + 0 * rows[:, None], total, mask=last)
