"""The native operators on any numbers and storage: no crash, and odd numbers spoil their own rows alone."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from kanfield.encodings import grid_encode
from kanfield.splines import Grid, spline, use_backend

pytestmark = pytest.mark.needs("native core")

ODD = (math.nan, math.inf, -math.inf, 1e30, -1e30, 3.4e38, 1e-40, 2.0**31, -(2.0**31), 2.0**63, -0.0)
LAYOUTS = ("contiguous", "offset", "transposed", "strided", "expanded")


def stored(x: Tensor, how: str) -> Tensor:
    """The same numbers in other storage; ``expanded`` repeats the first row."""
    if how == "offset":  # one number past any alignment
        return torch.cat([x.new_zeros(1), x.flatten()])[1:].view(x.shape)
    if how == "transposed":
        return x.T.contiguous().T
    if how == "strided":
        return torch.stack([x, x + 7], -1)[..., 0]
    if how == "expanded" and len(x):
        return x[:1].expand(x.shape)
    return x


def with_odd(x: Tensor, odd: list[tuple[int, float]]) -> Tensor:
    """Some numbers of ``x``, wherever the positions fall, replaced."""
    x = x.clone()
    for position, value in odd if x.numel() else []:
        x.view(-1)[position % x.numel()] = value
    return x


def assert_equal_rows(mine: Tensor, true: Tensor, tolerance: float) -> None:
    """The same numbers, or none, in both: rows of huge numbers may overflow in one and not the other."""
    assert mine.shape == true.shape
    for a, b in zip(mine, true, strict=True):
        if b.isfinite().all() and b.numel() and b.abs().max() < 1e15:
            scale = max(1.0, float(b.abs().max()))
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * scale)
        elif b.isnan().any():
            assert not a.isfinite().all()


odd_numbers = st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from(ODD)), max_size=4)
numbers = settings(max_examples=20, deadline=None, derandomize=True, database=None)


@numbers
@given(
    shape=st.tuples(st.sampled_from((0, 1, 2, 5, 300)), st.integers(1, 18), st.integers(1, 20)),
    cells=st.sampled_from((1, 2, 7, 100_000)),
    order=st.integers(1, 5),
    derivative=st.integers(0, 3),
    dtype=st.sampled_from((torch.float32, torch.float64)),
    how=st.tuples(*[st.sampled_from(LAYOUTS)] * 3),
    odd=odd_numbers,
)
def test_splines_of_odd_numbers_in_odd_storage(shape, cells, order, derivative, dtype, how, odd):
    samples, inputs, outputs = shape
    if cells > 1000:  # a table of megabytes for every input
        inputs, outputs = min(inputs, 2), min(outputs, 3)
    generator = torch.Generator().manual_seed(samples + 31 * inputs)
    x = stored(with_odd(torch.rand(samples, inputs, dtype=dtype, generator=generator) * 2 - 1, odd), how[0])
    coef = stored(torch.randn(inputs * (cells + order), outputs, dtype=dtype, generator=generator), how[1])
    grid = Grid(-torch.ones(inputs, dtype=dtype), torch.ones(inputs, dtype=dtype), cells)
    found = {}
    for backend in ("native", "reference"):
        with use_backend(backend):
            leaf, weights = x.detach().clone().requires_grad_(), coef.detach().clone().requires_grad_()
            y = spline(leaf, weights, grid, order, derivative=min(derivative, order))
            g = stored(torch.ones_like(y), how[2])
            found[backend] = (y.detach(), *torch.autograd.grad(y, (leaf, weights), g))
        if backend == "native":  # the kernels are given that very storage
            with use_backend(backend):
                same = spline(x, coef, grid, order, derivative=min(derivative, order))
            torch.testing.assert_close(same, y.detach(), equal_nan=True, rtol=0, atol=0)
    y, x_gradient, coef_gradient = found["native"]
    true_y, true_x_gradient, true_coef_gradient = found["reference"]
    tolerance = 2e-4 if dtype == torch.float32 else 1e-9
    tolerance *= max(1.0, cells / 100) ** (1 + min(derivative, order)) if cells > 1000 else 10
    assert_equal_rows(y, true_y, tolerance)
    assert_equal_rows(x_gradient, true_x_gradient, tolerance)
    clean = x.isfinite().all(1)
    assert y[clean & (x.abs().amax(1) < 10 if inputs else clean)].isfinite().all()
    assert y[x.isnan().any(1)].isnan().all()
    if clean.all() and (not x.numel() or x.abs().max() < 10):
        torch.testing.assert_close(coef_gradient, true_coef_gradient, rtol=1e-3, atol=1e-3 * cells**2)


@numbers
@given(
    samples=st.sampled_from((0, 1, 2, 5, 300)),
    features=st.sampled_from((1, 2, 4, 8)),
    levels=st.lists(
        st.tuples(st.sampled_from((1, 2, 5, 1000, 1 << 22)), st.sampled_from((1, 2, 3, 17, 4096))),
        min_size=1,
        max_size=3,
    ),
    order=st.integers(1, 3),
    dtype=st.sampled_from((torch.float32, torch.float64)),
    how=st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
    odd=odd_numbers,
)
def test_grids_of_odd_numbers_in_odd_storage(samples, features, levels, order, dtype, how, odd):
    generator = torch.Generator().manual_seed(samples)
    rows, offset = [], 0
    for cells, size in levels:
        rows.append([cells, 1 + cells // 2, size, offset, cells + order])
        offset += size
    layout = torch.tensor(rows)
    x = stored(with_odd(torch.rand(samples, 2, dtype=dtype, generator=generator) * 2 - 1, odd), how[0])
    table = stored(torch.randn(offset, features, dtype=dtype, generator=generator), how[1])
    found = {}
    for backend in ("native", "reference"):
        with use_backend(backend):
            leaf, weights = x.detach().clone().requires_grad_(), table.detach().clone().requires_grad_()
            y = grid_encode(leaf, weights, layout, order)
            found[backend] = (y.detach(), *torch.autograd.grad(y.sum(), (leaf, weights)))
            same = grid_encode(x, table, layout, order)
        torch.testing.assert_close(same, y.detach(), equal_nan=True, rtol=0, atol=0)
    y, x_gradient, table_gradient = found["native"]
    finest = max(cells for cells, _ in levels)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    tolerance *= max(1.0, finest / 10)  # how far rounding moves a point, in cells
    if tolerance < 1e-2:
        assert_equal_rows(y, found["reference"][0], tolerance)
        # Piecewise linear features have steps in their slope, on one side of which rounding decides.
        if order > 1:
            assert_equal_rows(x_gradient, found["reference"][1], 10 * tolerance * finest)
        if x.isfinite().all():
            torch.testing.assert_close(
                table_gradient, found["reference"][2], rtol=100 * tolerance, atol=100 * tolerance
            )
    assert y[~x.isnan().any(1)].isfinite().all()  # beyond the grid the border goes on
    assert y[x.isnan().any(1)].isnan().all()
    if not x.isnan().any():
        assert table_gradient.isfinite().all()
        torch.testing.assert_close(
            table_gradient.double().sum(), torch.tensor(float(y.numel())).double(), rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 1e30, -1e30])
def test_one_odd_row_leaves_all_others_to_the_bit(odd, order):
    generator = torch.Generator().manual_seed(order)
    x = torch.rand(700, 2, generator=generator) * 2 - 1
    spoiled = x.clone()
    spoiled[311, 1] = odd
    others = torch.arange(700) != 311
    grid = Grid(-torch.ones(2), torch.ones(2), 9)
    coef = torch.randn(2 * (9 + order), 5, generator=generator)
    layout = torch.tensor([[4, 4, 25, 0, 5], [64, 64, 33, 25, 67]])
    table = torch.randn(58, 2, generator=generator)
    with use_backend("native"):
        assert torch.equal(spline(x, coef, grid, order)[others], spline(spoiled, coef, grid, order)[others])
        assert torch.equal(
            grid_encode(x, table, layout, order)[others], grid_encode(spoiled, table, layout, order)[others]
        )
