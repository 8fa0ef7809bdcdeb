"""The spline operator: backends against each other, against scipy and against a dense formulation."""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline
from torch import Tensor
from torch.autograd import forward_ad, grad, gradcheck, gradgradcheck

from kanfield import KANLayer
from kanfield._torch_private import transforms_active
from kanfield.errors import InputError
from kanfield.splines import ORDERS, Grid, choose_backend, explain_backend, spline, use_backend
from kanfield.splines import backend as backends
from kanfield.splines.basis import locate
from kanfield.splines.precision import split_operands
from kanfield.splines.spline import grad_coef, grad_input, spline_forward

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
NOT_THIS_PROCESSOR = 77  # exit code of the subprocess that tries an instruction set


def make_grid(inputs: int, size: int, dtype: torch.dtype = torch.float64) -> Grid:
    """A range of its own for every input, none of them round."""
    lower = -1 - 0.3 * torch.rand(inputs, dtype=dtype)
    return Grid(lower, lower + 1.7 + torch.rand(inputs, dtype=dtype), size)


def points(grid: Grid, samples: int, margin: float = 0.0) -> Tensor:
    """Random points in the range, or up to ``margin`` of its width beyond it."""
    local = torch.rand(samples, len(grid.lower), dtype=grid.lower.dtype) * (1 + 2 * margin) - margin
    return grid.lower + local * (grid.upper - grid.lower)


def make_coef(grid: Grid, order: int, outputs: int) -> Tensor:
    return torch.randn(len(grid.lower) * (grid.size + order), outputs, dtype=grid.lower.dtype)


def assert_near(mine: Tensor, true: Tensor, tolerance: float) -> None:
    """Equal relative to the largest element; a NaN is never near."""
    assert mine.shape == true.shape
    assert mine.dtype == true.dtype
    mine, true = mine.detach(), true.detach()
    error, largest = (float(t.abs().max()) for t in (mine - true, true))
    assert error <= tolerance * largest


def values_and_gradients(
    x: Tensor, coef: Tensor, weight: Tensor | None, grid: Grid, order: int, derivative: int
) -> tuple[Tensor, ...]:
    leaves = [t.clone().requires_grad_() for t in (x, coef, weight) if t is not None]
    y = spline(
        *leaves[:2], grid, order, derivative=derivative, weight=leaves[2] if weight is not None else None
    )
    direction = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    return y, *grad((y * direction).sum(), leaves)


# --- native against reference -------------------------------------------------------------------
# The tests named test_native_... run once more for every instruction set, further down.


def assert_backends_agree(
    samples: int,
    inputs: int,
    outputs: int,
    size: int,
    order: int,
    derivative: int = 0,
    weighted: bool = False,
    dtype: torch.dtype = torch.float32,
    margin: float = 0.3,
) -> None:
    torch.manual_seed(samples + inputs + outputs + size)
    grid = make_grid(inputs, size, dtype)
    x, coef = points(grid, samples, margin), make_coef(grid, order, outputs)
    weight = torch.randn_like(x) if weighted else None
    with use_backend("native"):
        mine = values_and_gradients(x, coef, weight, grid, order, derivative)
    with use_backend("reference"):
        true = values_and_gradients(x, coef, weight, grid, order, derivative)
    for a, b in zip(mine, true, strict=True):
        assert_near(a, b, TOLERANCE[dtype])


@pytest.mark.needs("native core")
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    samples=st.sampled_from([3, 5, 64, 257, 300]),
    inputs=st.sampled_from([1, 2, 9, 17]),
    outputs=st.sampled_from([1, 3, 16, 33, 70]),
    size=st.sampled_from([1, 2, 5, 300, 1000]),
    order=st.sampled_from(ORDERS),
    derivative=st.integers(0, 4),
    weighted=st.booleans(),
    dtype=st.sampled_from(list(TOLERANCE)),
    margin=st.sampled_from([0.0, 0.3]),
)
def test_native_agrees_on_any_shape(**case: object) -> None:
    assert_backends_agree(**case)  # type: ignore[arg-type]


@pytest.mark.needs("native core")
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("derivative", range(7))
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_agrees_on_every_order_and_derivative(
    dtype: torch.dtype, order: int, derivative: int, weighted: bool
) -> None:
    assert_backends_agree(70, 9, 33, 5, order, derivative, weighted, dtype)


@pytest.mark.needs("native core")
@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 7, 8, 9, 15, 16, 31, 33, 64, 70, 129])
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_agrees_on_outputs_of_any_width(dtype: torch.dtype, outputs: int) -> None:
    assert_backends_agree(40, 3, outputs, 6, 3, dtype=dtype)


@pytest.mark.needs("native core")
@pytest.mark.parametrize("size", [3, 10])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_agrees_where_a_compiler_lost_the_stores(dtype: torch.dtype, order: int, size: int) -> None:
    # GCC 12 once left the gradient of coef zero for order 1 in double precision at these very sizes.
    assert_backends_agree(300, 9, 70, size, order, dtype=dtype)


@pytest.mark.needs("native core")
def test_native_agrees_on_more_cells_than_samples() -> None:
    assert_backends_agree(3, 2, 5, 2000, 3, dtype=torch.float64)


@pytest.mark.needs("native core")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_native_agrees_on_the_cell_at_and_beside_every_knot(dtype: torch.dtype, order: int) -> None:
    # The highest derivative jumps there: another cell gives another number altogether.
    grid = Grid(torch.tensor([-0.3], dtype=dtype), torch.tensor([0.7], dtype=dtype), 7)
    knots = grid.lower + torch.arange(8, dtype=dtype)[:, None] / 7
    infinity = torch.full_like(knots, math.inf)
    x = torch.cat([knots, torch.nextafter(knots, infinity), torch.nextafter(knots, -infinity)])
    coef = make_coef(grid, order, 3)
    with use_backend("native"):
        mine = spline(x, coef, grid, order, derivative=order)
    with use_backend("reference"):
        true = spline(x, coef, grid, order, derivative=order)
    torch.testing.assert_close(mine, true, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * 7**order)


@pytest.mark.needs("native core")
@pytest.mark.usefixtures("_keep_threads")
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 33), (2, 128), (17, 70), (40, 1)])
@pytest.mark.parametrize("operator", ["spline_forward", "grad_coef", "grad_input"])
def test_native_gives_the_same_bits_on_any_number_of_threads(
    operator: str, inputs: int, outputs: int
) -> None:
    grid = make_grid(inputs, 6, torch.float32)
    x, coef = points(grid, 600, 0.2), make_coef(grid, 3, outputs)
    g = torch.randn(600, outputs)
    rest = (grid.lower, grid.scale, grid.size, 3, 0)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        with use_backend("native"):
            if operator == "spline_forward":
                results.append(spline_forward(x, coef, None, *rest))
            elif operator == "grad_coef":
                results.append(grad_coef(x, None, g, *rest))
            else:
                results.append(grad_input(x, coef, g, *rest))
    assert all(torch.equal(results[0], other) for other in results[1:])


def assert_native_tests_pass_on(name: str, file: str) -> None:
    """Run a file's tests named test_native_... once more, with another instruction set."""
    if backends.native.instruction_set() == name:
        pytest.skip("the tests above ran on it")
    code = (
        "import sys, pytest\n"
        "from kanfield.splines.backend import native\n"
        f"native.instruction_set() == {name!r} or sys.exit({NOT_THIS_PROCESSOR})\n"
        f"sys.exit(pytest.main([{file!r}, '-q', '-k', 'test_native', '-p', 'no:cacheprovider']))"
    )
    outcome = run_python(code, KANFIELD_ISA=name)
    if outcome.returncode == NOT_THIS_PROCESSOR:
        pytest.skip(f"this processor has no {name}")
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-3000:]
    assert " passed" in outcome.stdout


@pytest.mark.slow
@pytest.mark.needs("native core")
@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_passes_the_same_tests(name: str) -> None:
    assert_native_tests_pass_on(name, __file__)


@pytest.mark.needs("native core")
@pytest.mark.slow
def test_unknown_instruction_set_is_an_error_that_names_it() -> None:
    code = (
        "import torch\n"
        "from kanfield.splines import Grid, spline\n"
        "spline(torch.zeros(1, 1), torch.ones(5, 1), Grid(torch.zeros(1), torch.ones(1), 2))"
    )
    outcome = run_python(code, KANFIELD_ISA="mmx")
    assert outcome.returncode != 0
    assert "KANFIELD_ISA is 'mmx'" in outcome.stderr


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=300
    )


# --- what a spline is ---------------------------------------------------------------------------


def scipy_splines(grid: Grid, coef: Tensor, order: int) -> list[BSpline]:
    """The same splines, one an input, on uniform knots continued past both borders."""
    splines = []
    for i, rows in enumerate(coef.reshape(len(grid.lower), -1, coef.shape[1])):
        low, step = grid.lower[i].item(), (grid.upper[i] - grid.lower[i]).item() / grid.size
        knots = low + step * np.arange(-order, grid.size + order + 1)
        splines.append(BSpline(knots, rows.numpy(), order))
    return splines


@pytest.mark.parametrize("size", [1, 2, 11])
@pytest.mark.parametrize("derivative", range(4))
@pytest.mark.parametrize("order", ORDERS)
def test_inside_the_range_it_is_scipys_bspline(backend: str, order: int, derivative: int, size: int) -> None:
    grid = make_grid(3, size)
    x, coef = points(grid, 50), make_coef(grid, order, 4)
    true = sum(s(x[:, i].numpy(), nu=derivative) for i, s in enumerate(scipy_splines(grid, coef, order)))
    assert_near(spline(x, coef, grid, order, derivative=derivative), torch.from_numpy(true), 1e-11)


@pytest.mark.parametrize("above", [False, True])
@pytest.mark.parametrize("order", ORDERS)
def test_outside_the_range_it_is_the_borders_tangent(backend: str, order: int, above: bool) -> None:
    grid = make_grid(1, 5)
    coef = make_coef(grid, order, 4)
    (true,) = scipy_splines(grid, coef, order)
    distance = torch.tensor([[0.01], [0.5], [40.0]], dtype=torch.float64)
    border = grid.upper if above else grid.lower
    x = border + distance if above else border - distance
    # A hair inside the border: linear splines have two slopes at a knot.
    slope = torch.from_numpy(true(border.numpy() + (-1e-9 if above else 1e-9), nu=1))
    if order > 1:
        slope = torch.from_numpy(true(border.numpy(), nu=1))
    value = torch.from_numpy(true(border.numpy())) + (x - border) * slope
    assert_near(spline(x, coef, grid, order), value, 1e-11)
    assert_near(spline(x, coef, grid, order, derivative=1), slope.expand(3, 4), 1e-11)
    for derivative in (2, 3):
        assert not spline(x, coef, grid, order, derivative=derivative).any()


def dense_basis(x: Tensor, grid: Grid, order: int) -> Tensor:
    """All basis functions, shape (N, I, K), by the recursion of Cox and de Boor: slow, simple, dense."""
    steps = torch.arange(-order, grid.size + order + 1, dtype=x.dtype)
    t = grid.lower[:, None] + steps * ((grid.upper - grid.lower) / grid.size)[:, None]
    x = x[..., None]
    b = ((x >= t[:, :-1]) & (x < t[:, 1:])).to(x.dtype)
    for p in range(1, order + 1):
        rise = (x - t[:, : -p - 1]) / (t[:, p:-1] - t[:, : -p - 1])
        fall = (t[:, p + 1 :] - x) / (t[:, p + 1 :] - t[:, 1:-p])
        b = rise * b[..., :-1] + fall * b[..., 1:]
    return b


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("samples", [1, 4096])
def test_gradients_are_those_of_the_dense_formulation(backend: str, samples: int, order: int) -> None:
    # 4096 samples share 5 cells: every coefficient collects gradients from many of them.
    grid = make_grid(2, 5)
    x, coef = points(grid, samples), make_coef(grid, order, 3)
    weight = torch.randn_like(x)
    leaves = [t.clone().requires_grad_() for t in (x, coef, weight)]
    basis = dense_basis(leaves[0], grid, order) * leaves[2][..., None]
    y = torch.einsum("nik,iko->no", basis, leaves[1].reshape(2, -1, 3))
    direction = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    true = (y, *grad((y * direction).sum(), leaves))
    for a, b in zip(values_and_gradients(x, coef, weight, grid, order, 0), true, strict=True):
        assert_near(a, b, 1e-11)


def far_from_knots(grid: Grid) -> Tensor:
    """Points in the middle of cells, the first row's below the range and the last row's above it."""
    cells = torch.tensor([[-2, -1], [0, 3], [2, 1], [4, 5]]) + 0.25 + 0.5 * torch.rand(4, 2)
    return grid.lower + cells.double() / grid.scale


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("derivative", [0, 1])
@pytest.mark.parametrize("order", ORDERS)
def test_first_and_second_gradients_are_those_of_differences(
    order: int, derivative: int, weighted: bool
) -> None:
    grid = make_grid(2, 4)
    leaves = [far_from_knots(grid), make_coef(grid, order, 2)]
    if weighted:
        leaves.append(torch.randn(4, 2, dtype=torch.float64))
    leaves = [t.requires_grad_() for t in leaves]

    def function(x: Tensor, coef: Tensor, weight: Tensor | None = None) -> Tensor:
        return spline(x, coef, grid, order, derivative=derivative, weight=weight)

    assert gradcheck(function, leaves)
    assert gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("order", ORDERS)
def test_derivatives_are_those_of_repeated_autograd(backend: str, order: int) -> None:
    grid = make_grid(1, 6)
    x, coef = points(grid, 30, 0.2).requires_grad_(), make_coef(grid, order, 1)
    y = spline(x, coef, grid, order)
    for derivative in (1, 2, 3):
        (y,) = grad(y.sum(), x, create_graph=True)
        direct = spline(x, coef, grid, order, derivative=derivative)
        assert_near(y, direct, 1e-12)
    assert bool(y.any()) == (order >= 3)


def test_parameters_learn_through_a_second_derivative(backend: str) -> None:
    # The residual of a differential equation: its gradient in coef is grad_coef at derivative 2.
    grid = make_grid(1, 6)
    x, coef = points(grid, 30).requires_grad_(), make_coef(grid, 3, 1).requires_grad_()
    (first,) = grad(spline(x, coef, grid).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x, create_graph=True)
    direct = spline(x, coef, grid, derivative=2)
    assert_near(grad(second.square().sum(), coef)[0], grad(direct.square().sum(), coef)[0], 1e-12)


# --- edges --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_the_borders_belong_to_the_range(backend: str, dtype: torch.dtype, order: int) -> None:
    grid = Grid(torch.tensor([-1.0], dtype=dtype), torch.tensor([1.0], dtype=dtype), 5)
    coef = make_coef(grid, order, 2)
    borders = torch.tensor([[-1.0], [1.0]], dtype=dtype)
    (true,) = scipy_splines(grid, coef.double(), order)
    assert_near(
        spline(borders, coef, grid, order), torch.from_numpy(true(borders[:, 0].numpy())).to(dtype), 1e-6
    )
    # Order 2 and 3: the highest derivative is still the first and last cell's, not the zero outside.
    inside = borders * 0.99
    at, near = (spline(x, coef, grid, order, derivative=order) for x in (borders, inside))
    assert_near(at, near, 1e-6)


@pytest.mark.parametrize("far", [1e6, 1e20, -1e20])
def test_huge_numbers_stay_on_the_tangent(backend: str, far: float) -> None:
    grid = Grid(torch.tensor([-1.0]), torch.tensor([1.0]), 5)
    coef = make_coef(grid, 3, 2)
    x = torch.tensor([[far]])
    slope = spline(x.sign(), coef, grid, derivative=1)
    torch.testing.assert_close(spline(x, coef, grid), far * slope, rtol=1e-4, atol=10)


@pytest.mark.parametrize("derivative", range(4))
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_odd_numbers_spoil_their_own_row_only(backend: str, odd: float, derivative: int) -> None:
    grid = make_grid(2, 5, torch.float32)
    x, coef = points(grid, 20), make_coef(grid, 3, 7)
    clean = spline(x, coef, grid, derivative=derivative)
    x[7, 1] = odd
    spoilt = spline(x, coef, grid, derivative=derivative)
    others = torch.arange(20) != 7
    assert torch.equal(spoilt[others], clean[others])
    if math.isnan(odd):
        assert spoilt[7].isnan().all()


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_odd_numbers_do_not_crash_the_backward_pass(backend: str, odd: float) -> None:
    grid = make_grid(2, 5, torch.float32)
    x, coef = points(grid, 20), make_coef(grid, 3, 7)
    x[7, 1] = odd
    _, in_x, in_coef = values_and_gradients(x, coef, None, grid, 3, 0)
    assert in_x[torch.arange(20) != 7].isfinite().all()
    # The second input's table alone is touched.
    assert in_coef.reshape(2, -1, 7)[0].isfinite().all()


def test_empty_batch(backend: str) -> None:
    grid = make_grid(2, 5)
    y, in_x, in_coef = values_and_gradients(points(grid, 0), make_coef(grid, 3, 4), None, grid, 3, 0)
    assert y.shape == (0, 4)
    assert in_x.shape == (0, 2)
    assert in_coef.shape == (16, 4) and not in_coef.any()


def test_strides_do_not_matter(backend: str) -> None:
    grid = make_grid(3, 5)
    wide = Grid(grid.lower.repeat_interleave(2)[::2], grid.upper.repeat_interleave(2)[::2], 5)
    x, coef, weight = points(grid, 20), make_coef(grid, 3, 4), torch.randn(20, 3, dtype=torch.float64)
    true = values_and_gradients(x, coef, weight, grid, 3, 0)
    turned = [t.T.contiguous().T for t in (x, coef, weight)]
    assert not any(t.is_contiguous() for t in turned)
    leaves = [t.requires_grad_() for t in turned]
    y = spline(*leaves[:2], wide, weight=leaves[2])
    direction = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
    for a, b in zip((y, *grad((y * direction).sum(), leaves)), true, strict=True):
        assert torch.equal(a, b)


def test_expanded_gradient_is_read_correctly(backend: str) -> None:
    # y.sum().backward() hands over a gradient of stride zero.
    grid = make_grid(2, 5)
    x, coef = points(grid, 20).requires_grad_(), make_coef(grid, 3, 4)
    y = spline(x, coef, grid)
    assert torch.equal(grad(y.sum(), x, retain_graph=True)[0], grad(y, x, torch.ones_like(y))[0])


def test_inputs_are_left_alone(backend: str) -> None:
    grid = make_grid(2, 5)
    x, coef = points(grid, 20, 0.3), make_coef(grid, 3, 4)
    before = [t.clone() for t in (x, coef, grid.lower, grid.upper)]
    values_and_gradients(x, coef, None, grid, 3, 0)
    assert all(torch.equal(a, b) for a, b in zip((x, coef, grid.lower, grid.upper), before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(backend: str, dtype: torch.dtype) -> None:
    # A cell number above 256 does not fit bfloat16's 8 bits: computed in it, cells would be wrong.
    grid = make_grid(2, 500, torch.float32)
    x, coef = points(grid, 50).to(dtype), make_coef(grid, 3, 4).to(dtype)
    y = spline(x, coef, grid)
    assert y.dtype == dtype
    assert torch.equal(y, spline(x.float(), coef.float(), grid).to(dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gradients_keep_their_type(backend: str, dtype: torch.dtype) -> None:
    grid = make_grid(2, 5, torch.float32)
    x, coef = points(grid, 50).to(dtype).requires_grad_(), make_coef(grid, 3, 4).to(dtype).requires_grad_()
    in_x, in_coef = grad(spline(x, coef, grid).float().sum(), (x, coef))
    full_x, full_coef = x.detach().float().requires_grad_(), coef.detach().float().requires_grad_()
    true_x, true_coef = grad(spline(full_x, full_coef, grid).sum(), (full_x, full_coef))
    assert torch.equal(in_x, true_x.to(dtype))
    assert torch.equal(in_coef, true_coef.to(dtype))


def test_mixed_precision_gives_the_wider_type() -> None:
    grid = make_grid(1, 5, torch.float32)
    x, coef = points(grid, 5), make_coef(grid, 3, 2)
    assert spline(x.bfloat16(), coef, grid).dtype == torch.float32
    assert spline(x.double(), coef, grid).dtype == torch.float64


def test_autocast_runs_in_float32(backend: str) -> None:
    grid = make_grid(2, 500, torch.float32)
    x, coef = points(grid, 50).requires_grad_(), make_coef(grid, 3, 4)
    true = spline(x, coef, grid)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = spline(x, coef, grid)
    assert torch.equal(y, true)
    assert torch.equal(grad(y.sum(), x)[0], grad(true.sum(), x)[0])


def test_autocast_under_torch_func_runs_in_float32() -> None:
    grid = make_grid(2, 20, torch.float32)
    x, coef = points(grid, 50), make_coef(grid, 3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = torch.func.vmap(lambda row: spline(row[None], coef, grid)[0])(x)
    assert_near(y, spline(x, coef, grid), 1e-5)


def test_reference_in_many_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = make_grid(2, 5)
    x, coef = points(grid, 50), make_coef(grid, 3, 4)
    weight = torch.randn_like(x)
    with use_backend("reference"):
        true = values_and_gradients(x, coef, weight, grid, 3, 0)
        monkeypatch.setattr("kanfield.splines.reference.CHUNK_ELEMENTS", 7 * 8)  # 7 samples at a time
        for a, b in zip(values_and_gradients(x, coef, weight, grid, 3, 0), true, strict=True):
            assert_near(a, b, 1e-13)


def test_locate_names_the_cell_and_the_side() -> None:
    x = torch.tensor([[-1.0], [0.0], [0.5], [1.0], [2.0], [math.nan], [math.inf], [-math.inf]])
    cells = locate(x, torch.zeros(1), torch.tensor([4.0]), 4)
    assert cells.cell.flatten().tolist() == [0, 0, 2, 3, 3, 0, 3, 0]
    assert cells.outside.flatten().tolist() == [-1, 0, 0, 0, 1, 0, 1, -1]


# --- choice of a backend ------------------------------------------------------------------------


def test_use_backend_forces_and_lets_go() -> None:
    before = backends.forced_backend()
    with use_backend("reference"):
        assert choose_backend(torch.zeros(1, 1)) == "reference"
        assert explain_backend("cpu")[0] == "reference"
    assert backends.forced_backend() == before


@pytest.mark.needs("native core")
def test_blocks_of_two_threads_each_take_back_their_own_choice() -> None:
    before = backends.forced_backend()
    first, second = use_backend("reference"), use_backend("native")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # a thread that is done earlier than the one that came after it
    assert backends.forced_backend() == "native"
    second.__exit__(None, None, None)
    assert backends.forced_backend() == before


def test_use_backend_lets_go_after_an_error() -> None:
    before = backends.forced_backend()
    with pytest.raises(KeyError), use_backend("reference"):
        raise KeyError
    assert backends.forced_backend() == before


@pytest.mark.needs("native core")
def test_environment_forces_a_backend_and_use_backend_beats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KANFIELD_BACKEND", "reference")
    assert choose_backend(torch.zeros(1, 1)) == "reference"
    with use_backend("native"):
        assert choose_backend(torch.zeros(1, 1)) == "native"


@pytest.mark.needs("native core")
def test_native_is_chosen_for_floats_on_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KANFIELD_BACKEND", raising=False)
    assert choose_backend(torch.zeros(1, 1)) == "native"
    assert choose_backend(torch.zeros(1, 1, dtype=torch.float64)) == "native"
    assert choose_backend(torch.zeros(1, 1, dtype=torch.float16)) == "reference"
    assert choose_backend(torch.zeros(1, 1, device="meta")) == "reference"


def test_unknown_backend_is_one_line_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="use_backend: unknown backend 'fast'") as error, use_backend("fast"):
        pass
    assert "\n" not in str(error.value)
    monkeypatch.setenv("KANFIELD_BACKEND", "fast")
    with pytest.raises(InputError, match="KANFIELD_BACKEND: unknown backend 'fast'") as error:
        choose_backend(torch.zeros(1, 1))
    assert "\n" not in str(error.value)


def test_without_the_core_reference_serves_and_native_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KANFIELD_BACKEND", raising=False)
    monkeypatch.setattr(backends, "native", None)
    monkeypatch.setattr(backends, "native_error", "hidden by a test")
    assert choose_backend(torch.zeros(1, 1)) == "reference"
    assert "hidden by a test" in explain_backend("cpu")[1]
    with pytest.raises(InputError, match=r"hidden by a test.*C\+\+ compiler"), use_backend("native"):
        pass
    monkeypatch.setenv("KANFIELD_BACKEND", "native")
    with pytest.raises(InputError, match="KANFIELD_BACKEND: the native core is not built"):
        choose_backend(torch.zeros(1, 1))


@pytest.mark.needs("Triton")
def test_a_gpu_on_which_triton_does_not_start_gets_plain_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = importlib.import_module("triton.runtime")

    class Driver:
        @property
        def active(self) -> None:
            raise RuntimeError("Failed to find C compiler. Please specify via CC")

    monkeypatch.setattr(runtime, "driver", Driver())
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    reason = backends.triton_unavailable.__wrapped__("cuda")
    assert reason.startswith("Triton does not start (Failed to find C compiler") and "headers" in reason


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": 6}, "order 6 is not one of"),
        ({"order": 0}, "order 0 is not one of"),
        ({"derivative": -1}, "derivative order -1 is negative"),
        ({"x": torch.zeros(5)}, r"x must have shape \(N, I\), got \(5,\)"),
        ({"x": torch.zeros(5, 3)}, r"coef must have shape \(24, O\) for 3 inputs, grid size 5 and order 3"),
        ({"coef": torch.zeros(15, 4)}, r"coef must have shape \(16, O\).*got \(15, 4\)"),
        ({"coef": torch.zeros(16)}, r"coef must have shape \(16, O\).*got \(16,\)"),
        ({"grid": Grid(torch.zeros(1), torch.ones(1), 5)}, "one range for each of 2 inputs"),
        ({"grid": Grid(torch.zeros(2), torch.ones(2), 0)}, "at least one cell, got 0"),
        ({"weight": torch.zeros(5, 1)}, r"weight must have x's shape \(5, 2\), got \(5, 1\)"),
    ],
)
def test_what_does_not_fit_is_named(changes: dict[str, object], message: str) -> None:
    arguments = {
        "x": torch.zeros(5, 2),
        "coef": torch.zeros(16, 4),
        "grid": Grid(torch.zeros(2), torch.ones(2), 5),
    }
    spline(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        spline(**(arguments | changes))  # type: ignore[arg-type]


# --- precisions ---------------------------------------------------------------------------------


def test_tf32_cuts_and_tf32x3_rounds_its_big_part() -> None:
    # Half a unit of the tenth bit, a hair less, and the same below zero; infinity stays.
    half, hair = 2.0**-11, 2.0**-23
    x = torch.tensor([1 + half, 1 + half - hair, -1 - half, math.inf])
    ((cut, _),) = split_operands(x, x, "tf32")
    assert cut.tolist() == [1, 1, -1, math.inf]
    (small, _), _, (big, _) = split_operands(x, x, "tf32x3")
    assert big.tolist() == [1 + 2 * half, 1, -1 - 2 * half, math.inf]
    assert small[:3].tolist() == [-half, half - 2 * hair, half]


# --- torch's machinery --------------------------------------------------------------------------


def test_torchs_private_interface_still_tells_when_a_transform_is_active() -> None:
    active: list[bool] = []

    def record(x: Tensor) -> Tensor:
        active.append(transforms_active())
        return x.square().sum()

    x = torch.rand(3)
    torch.func.grad(record)(x)
    torch.func.vmap(record)(x[:, None])
    torch.func.jvp(record, (x,), (x,))
    with forward_ad.dual_level():
        record(x)
    assert active == [True] * 4
    record(x.clone().requires_grad_()).backward()
    with torch.no_grad():
        record(x)
    assert active[4:] == [False, False]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("operator", [spline_forward, grad_coef, grad_input])
def test_operators_pass_torchs_own_check(operator: object, weighted: bool) -> None:
    grid = make_grid(2, 5)
    x, coef = points(grid, 6).requires_grad_(), make_coef(grid, 3, 4).requires_grad_()
    g = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, 2, dtype=torch.float64, requires_grad=True) if weighted else None
    arguments = {spline_forward: (x, coef, weight), grad_coef: (x, weight, g), grad_input: (x, coef, g)}[
        operator
    ]
    torch.library.opcheck(operator, (*arguments, grid.lower, grid.scale, grid.size, 3, 0))


def test_torch_func_gradients_are_autograds() -> None:
    grid = make_grid(2, 5)
    x, coef = points(grid, 6, 0.2), make_coef(grid, 3, 3)

    def loss(x: Tensor, coef: Tensor) -> Tensor:
        return spline(x, coef, grid).sin().sum()

    leaves = (x.clone().requires_grad_(), coef.clone().requires_grad_())
    for a, b in zip(torch.func.grad(loss, argnums=(0, 1))(x, coef), grad(loss(*leaves), leaves), strict=True):
        assert_near(a, b, 1e-12)


@pytest.mark.parametrize("precision", ["tf32x3", "tf32", "bf16"])
def test_torch_func_differentiates_what_a_precision_rounds(precision: str) -> None:
    """Rounding has no derivative, so transforms see float32."""
    x = torch.rand(4, 2)
    found = []
    for name in ("fp32", precision):
        torch.manual_seed(0)
        layer = KANLayer(2, 3, 5, precision=name)
        found.append(torch.func.jacrev(layer)(x))
    assert found[0].abs().max() > 0
    assert_near(found[1], found[0], 1e-6)


def test_vmap_over_samples_and_over_fields() -> None:
    grid = make_grid(2, 5)
    x, coef = points(grid, 6, 0.2), torch.randn(3, 16, 4, dtype=torch.float64)
    rows = torch.func.vmap(lambda row: spline(row[None], coef[0], grid)[0])(x)
    assert_near(rows, spline(x, coef[0], grid), 1e-12)
    fields = torch.func.vmap(lambda c: spline(x, c, grid))(coef)
    assert_near(fields, torch.stack([spline(x, c, grid) for c in coef]), 1e-12)


def test_torch_func_jacobians_hessian_and_jvp_are_autograds() -> None:
    grid = make_grid(2, 5)
    x, coef, tangent = points(grid, 1, 0.2)[0], make_coef(grid, 3, 3), torch.tensor([0.3, -2.0]).double()

    def values(row: Tensor) -> Tensor:
        return spline(row[None], coef, grid)[0]

    def loss(row: Tensor) -> Tensor:
        return values(row).sin().sum()

    jacobian = torch.autograd.functional.jacobian(values, x)
    assert_near(torch.func.jacrev(values)(x), jacobian, 1e-12)
    assert_near(torch.func.jacfwd(values)(x), jacobian, 1e-12)
    assert_near(torch.func.hessian(loss)(x), torch.autograd.functional.hessian(loss, x), 1e-12)
    assert_near(torch.func.jvp(values, (x,), (tangent,))[1], jacobian @ tangent, 1e-12)


def test_forward_mode_outside_torch_func() -> None:
    grid = make_grid(2, 5)
    x, coef, tangent = points(grid, 6), make_coef(grid, 3, 3), torch.randn(6, 2, dtype=torch.float64)
    with forward_ad.dual_level():
        y = forward_ad.unpack_dual(spline(forward_ad.make_dual(x, tangent), coef, grid)).tangent
    assert y is not None
    assert_near(y, spline(x, coef, grid, derivative=1, weight=tangent), 1e-12)
