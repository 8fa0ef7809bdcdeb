"""Grid encodings: backends against each other, against scipy, torch's own sampling and the bare formula."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from test_splines import TOLERANCE, assert_native_tests_pass_on, assert_near
from torch import Tensor
from torch.autograd import forward_ad, grad, gradcheck, gradgradcheck

from kanfield.encodings import GridEncoding, grid_encode, make_layout, reference
from kanfield.encodings.grid_encode import FEATURES, ORDERS, grid_forward, grid_project, grid_table
from kanfield.encodings.grid_encoding import MAX_CELLS
from kanfield.splines import use_backend

# Cells along x and y of every level, and entries of a level at most.
LEVELS = {
    "dense": ([(4, 3), (9, 2)], 1000),
    "hashed": ([(40, 30), (7, 64)], 97),
    "both": ([(1, 1), (5, 3), (23, 40)], 60),
    "fewer entries than a row": ([(30, 9)], 5),
}


def layout_of(resolutions: list[tuple[int, int]], entries: int, order: int) -> Tensor:
    return torch.tensor(make_layout(resolutions, entries, order))


class Case(NamedTuple):
    """Arguments of the primitives: coordinates, features, a gradient of the output, the layout."""

    x: Tensor
    table: Tensor
    g: Tensor
    layout: Tensor


def make_case(
    levels: str,
    order: int,
    features: int = 2,
    samples: int = 70,
    dtype: torch.dtype = torch.float64,
    margin: float = 0.3,
) -> Case:
    layout = layout_of(*LEVELS[levels], order)
    if levels == "hashed":
        layout[-1, 4] = 2654435761  # products leave 32 bits, which no multiplier of make_layout's here does
    x = (2 * torch.rand(samples, 2, dtype=dtype) - 1) * (1 + margin)
    table = torch.randn(int(layout[:, 2].sum()), features, dtype=dtype)
    return Case(x, table, torch.randn(samples, len(layout) * features, dtype=dtype), layout)


def primitives(case: Case, order: int, v: int = 0, w: int = 0) -> list[Tensor]:
    x, table, g, layout = case
    return [
        grid_forward(x, table, layout, order, v, w),
        grid_table(x, g, layout, len(table), order, v, w),
        grid_project(x, table, g, layout, order, v, w),
    ]


def values_and_gradients(case: Case, order: int) -> tuple[Tensor, ...]:
    leaves = [t.clone().requires_grad_() for t in (case.x, case.table)]
    y = grid_encode(*leaves, case.layout, order)
    return y, *grad(y, leaves, case.g.to(y.dtype))


# --- native against reference -------------------------------------------------------------------
# The tests named test_native_... run once more for every instruction set, further down.


def assert_backends_agree(case: Case, order: int, v: int = 0, w: int = 0) -> None:
    with use_backend("native"):
        mine = primitives(case, order, v, w)
    with use_backend("reference"):
        true = primitives(case, order, v, w)
    for a, b in zip(mine, true, strict=True):
        assert_near(a, b, TOLERANCE[case.x.dtype])


@pytest.mark.needs("native core")
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    levels=st.sampled_from(list(LEVELS)),
    order=st.sampled_from(ORDERS),
    features=st.sampled_from(FEATURES),
    samples=st.sampled_from([1, 3, 127, 128, 129, 300]),
    derivatives=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dtype=st.sampled_from(list(TOLERANCE)),
    margin=st.sampled_from([0.0, 0.3]),
)
def test_native_agrees_on_any_shape(
    levels: str,
    order: int,
    features: int,
    samples: int,
    derivatives: tuple[int, int],
    dtype: torch.dtype,
    margin: float,
) -> None:
    torch.manual_seed(samples + features + order)
    case = make_case(levels, order, features, samples, dtype, margin)
    assert_backends_agree(case, order, *derivatives)


@pytest.mark.needs("native core")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_agrees_on_every_derivative(dtype: torch.dtype, order: int) -> None:
    case = make_case("both", order, dtype=dtype)
    for v, w in itertools.product(range(order + 1), repeat=2):
        assert_backends_agree(case, order, v, w)
    for v, w, zero in ((order, order, False), (order + 1, 0, True), (0, order + 1, True)):
        assert all(result.any() != zero for result in primitives(case, order, v, w))


@pytest.mark.needs("native core")
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_agrees_on_every_number_of_features(dtype: torch.dtype, order: int, features: int) -> None:
    for levels in ("hashed", "fewer entries than a row"):
        assert_backends_agree(make_case(levels, order, features, dtype=dtype), order)


@pytest.mark.needs("native core")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_agrees_on_the_cell_at_and_beside_every_knot(dtype: torch.dtype, order: int) -> None:
    # The highest derivatives jump there: another cell gives another number altogether.
    case = make_case("fewer entries than a row", order, dtype=dtype)
    knots = -1 + 2 * torch.arange(31, dtype=dtype) / 30
    infinity = torch.full_like(knots, math.inf)
    line = torch.cat([knots, torch.nextafter(knots, infinity), torch.nextafter(knots, -infinity)])
    across, down = torch.stack([line, 0 * line + 0.1], 1), torch.stack([0 * line + 0.1, line], 1)
    for x, v, w in ((across, order, 0), (down, 0, order), (torch.stack([line, line], 1), order, order)):
        g = torch.randn(len(x), 2, dtype=dtype)
        assert_backends_agree(case._replace(x=x, g=g), order, v, w)


@pytest.mark.needs("native core")
@pytest.mark.usefixtures("_keep_threads")
def test_native_gives_the_same_bits_on_any_number_of_threads() -> None:
    case = make_case("both", 2, samples=700, dtype=torch.float32)
    results = []
    with use_backend("native"):
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(primitives(case, 2) + primitives(case, 2, 1, 0))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.needs("native core")
def test_native_refuses_a_layout_that_leaves_its_table() -> None:
    x, table = torch.zeros(1, 2), torch.zeros(10, 2)
    for bad, message in (
        ([2, 2, 9, 2, 3], "must lie in the table"),
        ([2, 2, 0, 0, 3], "must lie in the table"),
        ([2, 0, 6, 0, 3], "cells a side"),
    ):
        with use_backend("native"), pytest.raises(ValueError, match=message):
            grid_encode(x, table, torch.tensor([[2, 2, 9, 0, 3], bad]))


@pytest.mark.slow
@pytest.mark.needs("native core")
@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_passes_the_same_tests(name: str) -> None:
    assert_native_tests_pass_on(name, __file__)


# --- what an encoding is ------------------------------------------------------------------------


def one_vertex_at_a_time(case: Case, order: int) -> Tensor:
    """The formula at the head of ``reference.py`` in Python's own integers, with scipy's B-splines."""
    bump = BSpline.basis_element(np.arange(order + 2), extrapolate=False)
    rows = []
    for point in case.x.tolist():
        features: list[Tensor] = []
        for cells_x, cells_y, size, offset, multiplier in case.layout.tolist():
            u, v = ((c + 1) * cells / 2 for c, cells in zip(point, (cells_x, cells_y), strict=True))
            total = torch.zeros(case.table.shape[1], dtype=torch.float64)
            for ix, iy in itertools.product(range(cells_x + order), range(cells_y + order)):
                weight = float(bump(u - ix + order)) * float(bump(v - iy + order))
                if weight > 0:  # not where it is NaN: beyond the B-spline
                    entry = offset + (ix + (iy * multiplier % 2**32) % size) % size
                    total += weight * case.table[entry]
            features.append(total)
        rows.append(torch.cat(features))
    return torch.stack(rows)


@pytest.mark.parametrize("levels", ["hashed", "both", "fewer entries than a row"])
@pytest.mark.parametrize("order", ORDERS)
def test_it_is_the_formula(backend: str, order: int, levels: str) -> None:
    case = make_case(levels, order, samples=2, margin=0)
    assert_near(grid_encode(case.x, case.table, case.layout, order), one_vertex_at_a_time(case, order), 1e-12)


def scipy_basis(x: Tensor, cells: int, order: int, derivative: int) -> Tensor:
    """All B-splines of an axis, shape ``(N, cells + order)``."""
    knots = -1 + 2 / cells * np.arange(-order, cells + order + 1)
    return torch.from_numpy(BSpline(knots, np.eye(cells + order), order)(x.numpy(), nu=derivative))


@pytest.mark.parametrize("order", ORDERS)
def test_a_dense_level_is_scipys_tensor_product(backend: str, order: int) -> None:
    cells_x, cells_y = 6, 4
    layout = layout_of([(cells_x, cells_y)], 1000, order)
    x = 2 * torch.rand(50, 2, dtype=torch.float64) - 1
    table = torch.randn(int(layout[0, 2]), 4, dtype=torch.float64)
    by_row = table.reshape(cells_y + order, cells_x + order, 4)
    for v, w in itertools.product(range(order + 1), repeat=2):
        across = scipy_basis(x[:, 0], cells_x, order, v)
        down = scipy_basis(x[:, 1], cells_y, order, w)
        true = torch.einsum("ni,nj,jif->nf", across, down, by_row)
        assert_near(grid_forward(x, table, layout, order, v, w), true, 1e-11)


def test_a_dense_level_of_order_1_is_torchs_grid_sample(backend: str) -> None:
    layout = layout_of([(7, 5)], 1000, 1)
    x = (2 * torch.rand(60, 2) - 1) * 1.2
    table = torch.randn(8 * 6, 2)
    picture = table.T.reshape(1, 2, 6, 8)
    sampled = torch.nn.functional.grid_sample(
        picture, x[None, None], mode="bilinear", padding_mode="border", align_corners=True
    )
    assert_near(grid_encode(x, table, layout), sampled[0, :, 0].T, 1e-5)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("order", ORDERS)
def test_constant_features_stay_constant(backend: str, order: int, levels: str) -> None:
    # B-splines sum to one, and every vertex is looked up in its own level.
    case = make_case(levels, order)
    sizes = case.layout[:, 2].tolist()
    constants = torch.randn(len(sizes), 2, dtype=torch.float64)
    table = torch.cat([c.expand(size, 2) for c, size in zip(constants, sizes, strict=True)])
    true = constants.flatten().expand(len(case.x), -1)
    assert_near(grid_encode(case.x, table, case.layout, order), true, 1e-12)
    slopes = grid_forward(case.x, table, case.layout, order, 1, 0)
    assert slopes.abs().max() < 1e-11


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("far", [1e-9, 0.5, 1e20, math.inf])
def test_beyond_the_border_its_value_goes_on(backend: str, far: float, order: int) -> None:
    case = make_case("both", order, samples=40, margin=0)
    x = case.x.clone()
    x[:20, 0], x[20:, 0] = 1 + far, -1 - far
    at_border = x.clamp(-1, 1)
    y, in_x, in_table = values_and_gradients(case._replace(x=x), order)
    true, border_in_x, border_in_table = values_and_gradients(case._replace(x=at_border), order)
    assert_near(y, true, 1e-12)
    assert_near(in_table, border_in_table, 1e-12)
    assert not in_x[:, 0].any() and border_in_x[:, 0].all()
    assert_near(in_x[:, 1], border_in_x[:, 1], 1e-12)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("levels", LEVELS)
def test_the_gradient_of_the_table_is_the_features_transposed(backend: str, levels: str, order: int) -> None:
    # <g, forward(table)> = <grid_table(g), table>, without autograd.
    case = make_case(levels, order, samples=300)
    for v, w in ((0, 0), (1, 0), (0, 1), (1, 1)):
        y, in_table, product = primitives(case, order, v, w)
        torch.testing.assert_close((in_table * case.table).sum(), (y * case.g).sum(), rtol=1e-10, atol=1e-8)
        assert_near(product, (y * case.g).sum(1, keepdim=True), 1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_a_level_of_one_entry_is_that_entry(backend: str, order: int) -> None:
    layout, g = layout_of([(3, 3)], 1, order), torch.rand(200, 2)
    case = Case(3 * torch.rand(200, 2) - 1.5, torch.randn(1, 2), g, layout)
    y, _, in_table = values_and_gradients(case, order)
    assert_near(y, case.table.expand(200, 2), 1e-6)
    assert_near(in_table, g.sum(0, keepdim=True), 1e-5)


# --- derivatives --------------------------------------------------------------------------------


def far_from_knots(layout: Tensor, count: int) -> Tensor:
    """Points a tenth of a cell or more from the knots of every level, the last of them outside."""
    x = (2 * torch.rand(2000, 2, dtype=torch.float64) - 1) * 1.5
    place = (x[:, None] + 1) / 2 * layout[:, :2] % 1
    good = ((place - 0.5).abs() < 0.4).flatten(1).all(1)
    inside = (x.abs() < 1).all(1)
    return torch.cat([x[good & inside][: count - 1], x[good & ~inside][:1]])


@pytest.mark.parametrize("order", ORDERS)
def test_first_and_second_gradients_are_those_of_differences(order: int) -> None:
    case = make_case("both", order, features=1)
    leaves = [t.requires_grad_() for t in (far_from_knots(case.layout, 3), case.table)]
    assert len(leaves[0]) == 3

    def function(x: Tensor, table: Tensor) -> Tensor:
        return grid_encode(x, table, case.layout, order)

    assert gradcheck(function, leaves, fast_mode=True)
    assert gradgradcheck(function, leaves, fast_mode=True)


def laplacian(x: Tensor, table: Tensor, layout: Tensor, order: int) -> Tensor:
    """Of the sum of all features, by autograd, shape ``(N,)``."""
    x = x if x.requires_grad else x.clone().requires_grad_()
    (slopes,) = grad(grid_encode(x, table, layout, order).sum(), x, create_graph=True)
    return sum(grad(slopes[:, i].sum(), x, create_graph=True)[0][:, i] for i in (0, 1))  # type: ignore[return-value]


@pytest.mark.parametrize("order", [2, 3])
def test_the_laplacian_is_that_of_differences(backend: str, order: int) -> None:
    case = make_case("both", order)
    x, step = far_from_knots(case.layout, 30), 1e-4

    def value(dx: float, dy: float) -> Tensor:
        return grid_encode(x + torch.tensor([dx, dy]), case.table, case.layout, order).sum(1)

    around = value(step, 0) + value(-step, 0) + value(0, step) + value(0, -step)
    assert_near(laplacian(x, case.table, case.layout, order), (around - 4 * value(0, 0)) / step**2, 1e-6)


@pytest.mark.parametrize("order", [2, 3])
def test_the_laplacian_of_a_parabola_is_its_own(backend: str, order: int) -> None:
    # Coefficients of x^2 + 3 y^2 at the middles of the B-splines give that function and a constant.
    cells_x, cells_y = 8, 5
    across = -1 + 2 / cells_x * (torch.arange(cells_x + order, dtype=torch.float64) - (order - 1) / 2)
    down = -1 + 2 / cells_y * (torch.arange(cells_y + order, dtype=torch.float64) - (order - 1) / 2)
    table = (across**2 + 3 * down[:, None] ** 2).flatten()[:, None]
    x = 2 * torch.rand(50, 2, dtype=torch.float64) - 1
    true = torch.full((50,), 2.0 + 6.0, dtype=torch.float64)
    assert_near(laplacian(x, table, layout_of([(cells_x, cells_y)], 1000, order), order), true, 1e-10)


@pytest.mark.parametrize("order", [2, 3])
def test_the_table_and_points_learn_through_a_laplacian(order: int) -> None:
    case = make_case("both", order, features=1)
    leaves = [t.requires_grad_() for t in (far_from_knots(case.layout, 3), case.table)]
    assert gradcheck(lambda x, table: laplacian(x, table, case.layout, order), leaves, fast_mode=True)


# --- edges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("derivative", [0, 1])
def test_a_nan_spoils_its_own_row_only(backend: str, derivative: int, order: int) -> None:
    case = make_case("both", order, dtype=torch.float32)
    clean = primitives(case, order, derivative)
    x = case.x.clone()
    x[7], x[8, 0], x[9, 1] = math.nan, math.nan, math.nan
    spoilt = primitives(case._replace(x=x), order, derivative)
    others = (torch.arange(len(x)) < 7) | (torch.arange(len(x)) > 9)
    for k in (0, 2):
        assert torch.equal(spoilt[k][others], clean[k][others])
        assert spoilt[k][7:10].isnan().all()


@pytest.mark.parametrize("order", ORDERS)
def test_a_nan_spoils_the_tables_first_vertices_only(backend: str, order: int) -> None:
    # It goes to the first cell; the native kernels may touch one vertex more, whose weight is zero.
    layout = layout_of([(9, 7)], 1000, order)
    x = 2 * torch.rand(20, 2) - 1
    x[3] = math.nan
    out = grid_table(x, torch.randn(20, 2), layout, int(layout[0, 2]), order, 0, 0)
    by_row = out.reshape(7 + order, 9 + order, 2)
    assert by_row[: order + 1, : order + 1].isnan().all()
    assert by_row[order + 1 :].isfinite().all() and by_row[:, 4:].isfinite().all()


def test_empty_batch(backend: str) -> None:
    case = make_case("both", 2, samples=0)
    y, in_x, in_table = values_and_gradients(case, 2)
    assert y.shape == (0, 6) and in_x.shape == (0, 2)
    assert in_table.shape == case.table.shape and not in_table.any()


def test_strides_and_expanded_gradients_do_not_matter(backend: str) -> None:
    case = make_case("both", 2)
    turned = [t.T.contiguous().T for t in case]
    assert not any(t.is_contiguous() for t in turned)
    for a, b in zip(values_and_gradients(Case(*turned), 2), values_and_gradients(case, 2), strict=True):
        assert torch.equal(a, b)
    x = case.x.requires_grad_()
    y = grid_encode(x, case.table, case.layout, 2)
    assert torch.equal(grad(y.sum(), x, retain_graph=True)[0], grad(y, x, torch.ones_like(y))[0])


def test_inputs_are_left_alone(backend: str) -> None:
    case = make_case("both", 2)
    before = [t.clone() for t in case]
    values_and_gradients(case, 2)
    assert all(torch.equal(a, b) for a, b in zip(case, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(backend: str, dtype: torch.dtype) -> None:
    # A cell number above 256 does not fit bfloat16's 8 bits: computed in it, cells would be wrong.
    layout = layout_of([(500, 400)], 1000, 2)
    case = Case(2 * torch.rand(50, 2) - 1, torch.randn(1000, 2), torch.randn(50, 2), layout)
    half = Case(*(t.to(dtype) for t in case[:3]), layout)
    for a, b in zip(
        values_and_gradients(half, 2),
        values_and_gradients(Case(*(t.float() for t in half[:3]), layout), 2),
        strict=True,
    ):
        assert torch.equal(a, b.to(dtype))


def test_mixed_precision_gives_the_wider_type() -> None:
    case = make_case("both", 1, dtype=torch.float32)
    assert grid_encode(case.x.bfloat16(), case.table, case.layout).dtype == torch.float32
    assert grid_encode(case.x.double(), case.table, case.layout).dtype == torch.float64


def test_autocast_runs_in_float32(backend: str) -> None:
    case = make_case("hashed", 2, dtype=torch.float32)
    true = values_and_gradients(case, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mine = values_and_gradients(case, 2)
        mapped = torch.func.vmap(lambda row: grid_encode(row[None], case.table, case.layout, 2)[0])(case.x)
    assert all(torch.equal(a, b) for a, b in zip(mine, true, strict=True))
    assert_near(mapped, true[0], 1e-5)


def test_the_reference_reads_nothing_on_the_host() -> None:
    """On the meta device, which has no numbers, whatever asks for one raises: a GPU would have to wait."""
    x, table, g, layout = (t.to("meta") for t in make_case("both", 2))
    assert reference.grid_forward(x, table, layout, 2, 1, 0).shape == g.shape
    assert reference.grid_table(x, g, layout, len(table), 2, 1, 0).shape == table.shape
    assert reference.grid_project(x, table, g, layout, 2, 1, 0).shape == (len(x), 1)


# --- torch's machinery --------------------------------------------------------------------------


@pytest.mark.parametrize("operator", [grid_forward, grid_table, grid_project])
def test_operators_pass_torchs_own_check(operator: object) -> None:
    case = make_case("both", 2, samples=5)
    x, table, g = (t.requires_grad_() for t in case[:3])
    arguments = {
        grid_forward: (x, table, case.layout),
        grid_table: (x, g, case.layout, len(table)),
        grid_project: (x, table, g, case.layout),
    }[operator]
    torch.library.opcheck(operator, (*arguments, 2, 0, 1))


def test_torch_func_gradients_are_autograds() -> None:
    case = make_case("both", 3, samples=6)
    case.x[0] = torch.tensor([1.0, -1.0])  # the borders belong to the grid

    def loss(x: Tensor, table: Tensor) -> Tensor:
        return grid_encode(x, table, case.layout, 3).sin().sum()

    leaves = [t.clone().requires_grad_() for t in (case.x, case.table)]
    found = torch.func.grad(loss, argnums=(0, 1))(case.x, case.table)
    for a, b in zip(found, grad(loss(*leaves), leaves), strict=True):
        assert_near(a, b, 1e-12)


def test_vmap_over_samples_and_over_tables() -> None:
    case = make_case("both", 2, samples=6)
    y = grid_encode(case.x, case.table, case.layout, 2)
    rows = torch.func.vmap(lambda row: grid_encode(row[None], case.table, case.layout, 2)[0])(case.x)
    assert_near(rows, y, 1e-12)
    tables = torch.stack([case.table, -2 * case.table])
    assert_near(
        torch.func.vmap(lambda t: grid_encode(case.x, t, case.layout, 2))(tables),
        torch.stack([y, -2 * y]),
        1e-12,
    )


def test_torch_func_jacobians_hessian_and_jvp_are_autograds() -> None:
    case = make_case("both", 3, samples=1, margin=0)
    x, tangent = case.x[0], torch.tensor([0.3, -2.0]).double()

    def values(row: Tensor) -> Tensor:
        return grid_encode(row[None], case.table, case.layout, 3)[0]

    def loss(row: Tensor) -> Tensor:
        return values(row).sin().sum()

    jacobian = torch.autograd.functional.jacobian(values, x)
    assert_near(torch.func.jacrev(values)(x), jacobian, 1e-12)
    assert_near(torch.func.jacfwd(values)(x), jacobian, 1e-12)
    assert_near(torch.func.hessian(loss)(x), torch.autograd.functional.hessian(loss, x), 1e-12)
    assert_near(torch.func.jvp(values, (x,), (tangent,))[1], jacobian @ tangent, 1e-12)
    with forward_ad.dual_level():
        forward = forward_ad.unpack_dual(values(forward_ad.make_dual(x, tangent))).tangent
    assert forward is not None
    assert_near(forward, jacobian @ tangent, 1e-12)


def test_it_compiles_without_a_graph_break() -> None:
    encoding = GridEncoding(*LEVELS["both"][:1], entries=60, order=2)
    x = (2 * torch.rand(10, 2) - 1).requires_grad_()
    compiled = torch.compile(encoding, backend="aot_eager", fullgraph=True)
    results = [(y, *grad(y.sin().sum(), (x, encoding.table))) for y in (encoding(x), compiled(x))]
    for mine, true in zip(results[1], results[0], strict=True):
        assert_near(mine, true, 1e-6)


# --- layout and module --------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_every_vertex_of_a_dense_level_has_an_entry_of_its_own(order: int) -> None:
    layout = layout_of([(3, 4), (6, 2)], 10_000, order)
    places = torch.cat([torch.arange(12)[:, None] % 3, torch.arange(12)[:, None] // 3], 1)
    x = (places + 0.5) / torch.tensor([3, 4]) * 2 - 1  # the middle of every cell
    entries, _ = reference.taps(x, layout[0], order)
    vertices = (3 + order) * (4 + order)
    assert sorted(set(entries.flatten().tolist())) == list(range(vertices))
    assert layout[1].tolist() == [6, 2, (6 + order) * (2 + order), vertices, 6 + order]


def test_a_level_is_hashed_where_its_vertices_outnumber_its_entries() -> None:
    vertices = 4 * 3
    assert make_layout([(3, 2)], vertices, 1) == [[3, 2, vertices, 0, 4]]
    hashed = [3, 2, vertices - 1, 0, round((math.sqrt(5) - 1) / 2 * (vertices - 1))]
    assert make_layout([(3, 2)], vertices - 1, 1) == [hashed]


@pytest.mark.parametrize("size", [1 << 10, 1000, 1 << 12])
def test_rows_of_a_hashed_level_are_contiguous_and_spread_over_the_table(size: int) -> None:
    layout = layout_of([(4, 4), (600, 600)], size, 1)
    x = 2 * torch.rand(20 * size, 2, dtype=torch.float64) - 1
    entries, _ = reference.taps(x, layout[1], 1)
    assert torch.equal((entries[:, 0] + 1 - 25) % size, (entries[:, 1] - 25) % size)
    assert entries.min() >= 25 and entries.max() < 25 + size
    uses = torch.bincount(entries.flatten() - 25, minlength=size).double()
    assert uses.min() > 0.3 * uses.mean() and uses.max() < 2 * uses.mean()


def test_the_module_is_drawn_afresh_cast_copied_and_read_back() -> None:
    encoding = GridEncoding([(24, 16), (48, 32)], features=4, entries=1000, order=2, init_scale=0.5)
    assert encoding.out_features == 8
    assert 0.45 < encoding.table.max() <= 0.5 and -0.5 <= encoding.table.min() < -0.45
    assert encoding.table.shape == (26 * 18 + 1000, 4)
    assert list(encoding.state_dict()) == ["table"]
    x = torch.rand(10, 2)
    y = encoding(x)
    fresh = GridEncoding([(24, 16), (48, 32)], features=4, entries=1000, order=2)
    assert fresh.table.abs().max() <= 0.1
    fresh.load_state_dict(encoding.state_dict())
    for twin in (fresh, copy.deepcopy(encoding), pickle.loads(pickle.dumps(encoding))):
        assert torch.equal(twin(x), y)
    assert "24x16 48x32, features=4, entries=1468, order=2" in repr(encoding)
    assert encoding.double()(x.double()).dtype == torch.float64 and encoding.layout.dtype == torch.int64
    encoding.reset_parameters()
    assert not torch.equal(encoding.table.float(), fresh.table)


def test_grids_reach_as_far_as_their_extent() -> None:
    encoding = GridEncoding([(6, 4), (30, 20)], entries=60, order=2, extent=(1, 0.5))
    square = GridEncoding([(6, 4), (30, 20)], entries=60, order=2)
    square.load_state_dict(encoding.state_dict())
    x = 2 * torch.rand(20, 2) - 1
    assert torch.equal(encoding(x), square(x * torch.tensor([1.0, 2.0])))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": torch.zeros(5)}, r"x must have shape \(N, 2\), got \(5,\)"),
        ({"x": torch.zeros(5, 3)}, r"x must have shape \(N, 2\), got \(5, 3\)"),
        ({"table": torch.zeros(25)}, r"table must have shape \(entries, F\).*got \(25,\)"),
        ({"table": torch.zeros(25, 3)}, r"F one of \(1, 2, 4, 8\), got \(25, 3\)"),
        ({"layout": torch.zeros(5, dtype=torch.int64)}, r"layout must be int64 of shape \(L, 5\)"),
        ({"layout": torch.zeros(1, 4, dtype=torch.int64)}, r"layout must be int64.*\(1, 4\)"),
        ({"layout": torch.zeros(0, 5, dtype=torch.int64)}, r"L at least 1, got torch.int64 \(0, 5\)"),
        ({"layout": torch.zeros(1, 5)}, r"layout must be int64.*float32"),
        ({"order": 0}, "order 0 is not one of"),
        ({"order": 4}, "order 4 is not one of"),
    ],
)
def test_what_does_not_fit_the_operator_is_named(changes: dict[str, object], message: str) -> None:
    arguments = {
        "x": torch.zeros(5, 2),
        "table": torch.zeros(25, 2),
        "layout": layout_of([(4, 4)], 25, 1),
    }
    grid_encode(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        grid_encode(**(arguments | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolutions": []}, "resolutions are pairs"),
        ({"resolutions": [(4, 4, 4)]}, "resolutions are pairs"),
        ({"resolutions": [(4, 4), (0, 4)]}, "resolutions are pairs"),
        ({"resolutions": [(4, MAX_CELLS + 1)]}, "1 to 4,194,304 each"),
        ({"features": 3}, r"features is one of \(1, 2, 4, 8\), got 3"),
        ({"order": 4}, "order 4 is not one of"),
        ({"entries": 0}, "entries lies between"),
        ({"entries": 1 << 31}, "entries lies between"),
        ({"extent": (1.0,)}, "extent is two numbers above 0"),
        ({"extent": (1.0, 0.0)}, "extent is two numbers above 0"),
        ({"extent": (1.0, math.inf)}, "extent is two numbers above 0"),
    ],
)
def test_what_does_not_fit_the_module_is_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridEncoding(**({"resolutions": [(4, 4)]} | changes))  # type: ignore[arg-type]


@pytest.mark.needs("native core")
def test_native_entries_of_no_level_have_no_gradient() -> None:
    layout, x, g = torch.tensor([[4, 3, 20, 0, 5]]), torch.rand(30, 2), torch.rand(30, 2)
    for _ in range(20):  # memory that was used before holds anything
        torch.full((5000, 2), 7.0)
        with use_backend("native"):
            assert not grid_table(x, g, layout, 5000, 1, 0, 0)[20:].any()
