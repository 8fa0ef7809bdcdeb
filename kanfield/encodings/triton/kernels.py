"""The primitives of the grid encoding as Triton kernels; shapes as in :mod:`kanfield.encodings.reference`.

The layout is read from the device's memory, so that the host never waits for it. Cell and local coordinate
are computed in float32 by the very expression of the other backends.

``grid_table`` has to add up whatever samples meet at an entry, in an order that changes from run to run. Sums
of floats would change with it, so it adds integers: every contribution is counted in units of a power of two,
the same for all, that is small enough to lose nothing that matters and large enough for no sum to overflow
(:func:`_unit`). Results are then the same bits every time.
"""

from __future__ import annotations

import triton
import triton.language as tl

from kanfield.splines.triton.kernels import polynomial

# Raises an entry to which something infinite or NaN is added. All else sums up to less than half of it, so
# that whenever it is added, such an entry ends above this half, and no other does.
_NOT_FINITE: tl.constexpr = tl.constexpr(1 << 62)
# As small as a unit may be for float32 to hold its inverse.
_SMALLEST_UNIT: tl.constexpr = tl.constexpr(-126)


@triton.jit
def _level(layout, level):
    """A level's cells along both axes, its size, its first entry and its multiplier."""
    row = layout + 5 * level
    size, multiplier = tl.load(row + 2).to(tl.uint32), tl.load(row + 4).to(tl.uint32)
    return tl.load(row).to(tl.int32), tl.load(row + 1).to(tl.int32), size, tl.load(row + 3), multiplier


@triton.jit
def _axis(x, cells, DERIVATIVE: tl.constexpr):
    """Local coordinate and number of the cell, and the factor of every B-spline there.

    Beyond the grid its border's value goes on, so derivatives are zero there. NaN goes to cell 0 and stays
    NaN in the local coordinate.
    """
    count = cells.to(tl.float32)
    position = (x + 1.0) * (count * 0.5)
    number = position == position
    inside = tl.minimum(tl.maximum(tl.where(number, position, 0.0), 0.0), count)
    cell = tl.minimum(inside, count - 1.0).to(tl.int32)
    factor = tl.full(x.shape, 1.0, tl.float32)
    for _ in tl.static_range(DERIVATIVE):
        factor *= count * 0.5
    if DERIVATIVE > 0:
        factor = tl.where((position < 0.0) | (position > count), 0.0, factor)
    return tl.where(number, inside - cell, position), cell, factor


@triton.jit
def _weights(local, factor, taps, ORDER: tl.constexpr, DERIVATIVE: tl.constexpr):
    """The B-splines of an axis at a block of samples, (BLOCK, P): zero past the last."""
    tile = tl.zeros([local.shape[0], taps.shape[0]], tl.float32)
    for i in tl.static_range(ORDER + 1):
        value = polynomial(local, i, ORDER, DERIVATIVE) * factor
        tile = tl.where(taps[None, :] == i, value[:, None], tile)
    return tile


@triton.jit
def _places(column, row, taps, size, offset, multiplier, F: tl.constexpr):
    """Where the features of a row of taps lie in the table, (BLOCK, P, F)."""
    start = tl.mul(row.to(tl.uint32), multiplier, sanitize_overflow=False) % size  # it wraps around at 2^32
    entry = ((start + column.to(tl.uint32))[:, None] + taps.to(tl.uint32)[None, :]) % size
    return (offset + entry.to(tl.int64))[:, :, None] * F + tl.arange(0, F)[None, None, :]


@triton.jit
def _features(
    x, y, table, layout, level, inside,
    ORDER: tl.constexpr, V: tl.constexpr, W: tl.constexpr, F: tl.constexpr, P: tl.constexpr,
):  # fmt: skip
    """A level's features at a block of samples, still a tap of x each: (BLOCK, P, F)."""
    cells_x, cells_y, size, offset, multiplier = _level(layout, level)
    local_x, column, factor_x = _axis(x, cells_x, V)
    local_y, row, factor_y = _axis(y, cells_y, W)
    taps = tl.arange(0, P)
    mask = (inside[:, None] & (taps <= ORDER)[None, :])[:, :, None]
    total = tl.zeros([x.shape[0], P, F], tl.float32)
    for j in tl.static_range(ORDER + 1):
        places = _places(column, row + j, taps, size, offset, multiplier, F)
        down = polynomial(local_y, j, ORDER, W) * factor_y
        total += down[:, None, None] * tl.load(table + places, mask=mask, other=0.0)
    return total * _weights(local_x, factor_x, taps, ORDER, V)[:, :, None]


@triton.jit
def grid_forward(
    x, table, layout, out, samples, levels,
    ORDER: tl.constexpr, V: tl.constexpr, W: tl.constexpr, F: tl.constexpr, P: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Program (n, level): a block of samples of the level's columns of out (N, L * F)."""
    n, level = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    inside = n < samples
    at_x, at_y = tl.load(x + 2 * n, mask=inside, other=0.0), tl.load(x + 2 * n + 1, mask=inside, other=0.0)
    values = tl.sum(_features(at_x, at_y, table, layout, level, inside, ORDER, V, W, F, P), axis=1)
    columns = (n * levels + level)[:, None] * F + tl.arange(0, F)[None, :]
    tl.store(out + columns, values, mask=inside[:, None])


@triton.jit
def grid_project(
    x, table, g, layout, out, samples, levels,
    ORDER: tl.constexpr, V: tl.constexpr, W: tl.constexpr, F: tl.constexpr, P: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Program (n): a block of samples of out (N, 1), summed over the levels."""
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = n < samples
    at_x, at_y = tl.load(x + 2 * n, mask=inside, other=0.0), tl.load(x + 2 * n + 1, mask=inside, other=0.0)
    total = tl.zeros([BLOCK, F], tl.float32)
    for level in range(levels):
        values = tl.sum(_features(at_x, at_y, table, layout, level, inside, ORDER, V, W, F, P), axis=1)
        columns = (n * levels + level)[:, None] * F + tl.arange(0, F)[None, :]
        total += values * tl.load(g + columns, mask=inside[:, None], other=0.0)
    tl.store(out + n, tl.sum(total, axis=1), mask=inside)


@triton.jit
def _exponent(x):
    """An e with abs(x) < 2^e: 129 where x is not finite, -126 where it is 0."""
    bits = x.to(tl.float32).to(tl.int32, bitcast=True)
    return ((bits >> 23) & 255) - 126


@triton.jit
def _power(exponent):
    """2^exponent, for exponents from -126 to 127."""
    return ((exponent + 127) << 23).to(tl.float32, bitcast=True)


@triton.jit
def _unit(largest, layout, levels, room, V: tl.constexpr, W: tl.constexpr, LEVELS: tl.constexpr):
    """The exponent of the unit in which contributions to the table are counted.

    ``largest`` is the largest abs(g). Over all taps, the absolute B-splines of an axis differentiated v times
    sum up to at most cells^v, so a sample adds at most the product of these with ``largest`` to an entry,
    even where all its taps meet there; and never more than 2^132, which 16 numbers of float32 add up to. The
    host chose ``room`` so that all samples together add about 2^60 units at most.
    """
    most = _exponent(tl.load(largest))
    level = tl.arange(0, LEVELS)
    if V > 0:
        most += V * _exponent(tl.max(tl.load(layout + 5 * level, mask=level < levels, other=1), axis=0))
    if W > 0:
        most += W * _exponent(tl.max(tl.load(layout + 5 * level + 1, mask=level < levels, other=1), axis=0))
    return tl.maximum(tl.minimum(most, 132) - room, _SMALLEST_UNIT)


@triton.jit
def grid_table(
    x, g, layout, largest, sums, samples, levels, room,
    ORDER: tl.constexpr, V: tl.constexpr, W: tl.constexpr, F: tl.constexpr, P: tl.constexpr,
    LEVELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Program (n, level): a block of samples, added to sums (entries, F), int64, in units."""
    n, level = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK), tl.program_id(1)
    inside = n < samples
    at_x, at_y = tl.load(x + 2 * n, mask=inside, other=0.0), tl.load(x + 2 * n + 1, mask=inside, other=0.0)
    columns = (n * levels + level)[:, None] * F + tl.arange(0, F)[None, :]
    gradient = tl.load(g + columns, mask=inside[:, None], other=0.0)
    per_unit = _power(-_unit(largest, layout, levels, room, V, W, LEVELS))
    cells_x, cells_y, size, offset, multiplier = _level(layout, level)
    local_x, column, factor_x = _axis(at_x, cells_x, V)
    local_y, row, factor_y = _axis(at_y, cells_y, W)
    taps = tl.arange(0, P)
    across = _weights(local_x, factor_x, taps, ORDER, V)
    mask = (inside[:, None] & (taps <= ORDER)[None, :])[:, :, None]
    for j in tl.static_range(ORDER + 1):
        places = sums + _places(column, row + j, taps, size, offset, multiplier, F)
        weights = (polynomial(local_y, j, ORDER, W) * factor_y)[:, None] * across
        change = weights[:, :, None] * gradient[:, None, :]
        finite = tl.abs(change) < float("inf")
        units = tl.where(finite, change * per_unit, 0.0).to(tl.int64)
        tl.atomic_add(places, units, mask=mask & finite, sem="relaxed")
        marks = tl.full([BLOCK, P, F], _NOT_FINITE, tl.int64)
        tl.atomic_max(places, marks, mask=mask & (finite == 0), sem="relaxed")


@triton.jit
def table_from_sums(
    sums, layout, largest, out, count, levels, room,
    V: tl.constexpr, W: tl.constexpr, LEVELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Program (n): a block of out, as floats; all of it NaN where a gradient was infinite or NaN."""
    n = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    unit = _power(_unit(largest, layout, levels, room, V, W, LEVELS))
    unit = tl.where(tl.load(largest) < float("inf"), unit, float("nan"))
    total = tl.load(sums + n, mask=n < count, other=0)
    value = tl.where(total < _NOT_FINITE // 2, total.to(tl.float32) * unit, float("nan"))
    tl.store(out + n, value, mask=n < count)
