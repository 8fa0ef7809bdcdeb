"""The Triton kernels, run by Triton's interpreter where there is no GPU, against the reference."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import silu

from kanfield import KANLayer
from kanfield.errors import InputError
from kanfield.splines import ORDERS, Grid, choose_backend, reference, spline, spline_and_silu, use_backend
from kanfield.splines.precision import PRECISIONS
from kanfield.splines.triton import dispatch
from kanfield.splines.triton.dispatch import KERNELS, force_kernel

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# The interpreter multiplies tf32 in full, a GPU does not round exactly as the emulation does.
TOLERANCE = {"fp32": 2e-6, "tf32x3": 5e-6, "tf32": 3e-3, "bf16": 1e-5 if DEVICE == "cpu" else 1e-2}

pytestmark = pytest.mark.needs("Triton")


@pytest.fixture(params=KERNELS)
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Either kernel of a primitive, whatever the saved timings say."""
    with force_kernel(request.param):
        yield request.param


class Problem:
    """Random tensors of a shape; some inputs lie on the grid's ends and beyond them."""

    def __init__(self, samples: int, inputs: int, outputs: int, size: int, order: int, seed: int = 0) -> None:
        torch.manual_seed(seed)
        lower = -1 - torch.rand(inputs)
        self.grid = Grid(lower, lower + 2 + torch.rand(inputs), size)
        self.order = order
        width = self.grid.upper - lower
        x = lower + width * (1.4 * torch.rand(samples, inputs) - 0.2)
        for row, edge in zip(range(samples), (lower, self.grid.upper, self.grid.upper + 30), strict=False):
            x[row] = edge
        self.x = x.to(DEVICE)
        self.grid = Grid(self.grid.lower.to(DEVICE), self.grid.upper.to(DEVICE), size)
        self.coef = torch.randn(inputs * (size + order), outputs).to(DEVICE)
        self.base = torch.randn(inputs, outputs).to(DEVICE)
        self.weight = torch.randn(samples, inputs).to(DEVICE)
        self.g = torch.randn(samples, outputs).to(DEVICE)

    def arguments(self, derivative: int, precision: str) -> tuple[object, ...]:
        return self.grid.lower, self.grid.scale, self.grid.size, self.order, derivative, precision

    def primitives(self, module: object, derivative: int, precision: str, weighted: bool) -> list[Tensor]:
        """All three primitives of a backend."""
        weight, rest = self.weight if weighted else None, self.arguments(derivative, precision)
        return [
            module.spline_forward(self.x, self.coef, weight, *rest),
            module.grad_coef(self.x, weight, self.g, *rest),
            module.grad_input(self.x, self.coef, self.g, *rest),
        ]


def largest_error(mine: list[Tensor], true: list[Tensor]) -> float:
    """Largest difference relative to the largest element; a NaN counts as infinite."""
    errors = [
        float((a - b).abs().max() / b.abs().max().clamp_min(1e-20)) for a, b in zip(mine, true, strict=True)
    ]
    assert [t.shape for t in mine] == [t.shape for t in true]
    return max(error if error == error else float("inf") for error in errors)


def compare(problem: Problem, derivative: int, precision: str, weighted: bool) -> float:
    from kanfield.splines.triton import launch

    mine, true = (problem.primitives(m, derivative, precision, weighted) for m in (launch, reference))
    return largest_error(mine, true)


@pytest.mark.parametrize(
    ("order", "derivative"), [(k, v) for k, v in itertools.product(ORDERS, range(6)) if v <= k]
)
def test_primitives_agree_on_every_order_and_derivative(kernel: str, order: int, derivative: int) -> None:
    problem = Problem(samples=37, inputs=3, outputs=5, size=7, order=order)
    assert compare(problem, derivative, "fp32", weighted=derivative != 1) < TOLERANCE["fp32"]


@settings(max_examples=12, deadline=None)
@given(
    samples=st.integers(1, 70),
    inputs=st.integers(1, 4),
    outputs=st.sampled_from([1, 3, 16, 17, 70]),
    size=st.sampled_from([1, 2, 13, 14, 15, 40, 300]),
    order=st.sampled_from(ORDERS),
    weighted=st.booleans(),
    kernel=st.sampled_from(KERNELS),
)
@pytest.mark.slow
def test_primitives_agree_on_ragged_shapes(
    samples: int, inputs: int, outputs: int, size: int, order: int, weighted: bool, kernel: str
) -> None:
    problem = Problem(samples, inputs, outputs, size, order, seed=samples)
    with force_kernel(kernel):  # far outside a grid large terms may cancel, so that rounding weighs more
        assert compare(problem, 0, "fp32", weighted) < 50 * TOLERANCE["fp32"]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_dense_primitives_agree_in_every_precision(precision: str) -> None:
    problem = Problem(samples=60, inputs=2, outputs=20, size=9, order=2)
    with force_kernel("dense"):
        assert compare(problem, 0, precision, weighted=False) < TOLERANCE[precision]


def test_precisions_differ_where_they_should() -> None:
    problem = Problem(samples=60, inputs=2, outputs=20, size=9, order=2)
    exact, *others = (problem.primitives(reference, 0, name, False) for name in PRECISIONS)
    errors = dict(zip(PRECISIONS[1:], (largest_error(found, exact) for found in others), strict=True))
    assert 0 < errors["tf32x3"] < 1e-5 < errors["tf32"] < errors["bf16"] < 2e-2


@pytest.mark.slow
def test_sums_split_among_programs_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from kanfield.splines.triton import launch

    monkeypatch.setattr(launch, "num_splits", lambda programs, rounds, fewest: 3)
    problem = Problem(samples=50, inputs=7, outputs=5, size=6, order=2)
    base, expected = torch.empty_like(problem.base), silu(problem.x).T @ problem.g
    with force_kernel("dense"):
        rest = problem.arguments(0, "fp32")
        mine = launch.grad_coef(problem.x, None, problem.g, *rest, base)
        true = reference.grad_coef(problem.x, None, problem.g, *rest)
    assert largest_error([mine, base], [true, expected]) < TOLERANCE["fp32"]
    for kernel in KERNELS:
        with force_kernel(kernel):
            assert compare(problem, 0, "fp32", weighted=True) < TOLERANCE["fp32"]


@pytest.mark.parametrize("order", ORDERS)
def test_a_layer_with_its_branch_agrees_in_values_and_gradients(kernel: str, order: int) -> None:
    problem = Problem(samples=40, inputs=3, outputs=18, size=6, order=order)
    found = []
    for backend in ("triton", "reference"):
        leaves = [t.clone().requires_grad_() for t in (problem.x, problem.coef, problem.base)]
        with use_backend(backend):
            y = spline_and_silu(*leaves, problem.grid, order)
            found.append([y.detach(), *torch.autograd.grad(y, leaves, problem.g)])
    assert largest_error(*found) < TOLERANCE["fp32"]


def test_gradients_of_gradients_agree(kernel: str) -> None:
    problem = Problem(samples=20, inputs=2, outputs=3, size=5, order=3)
    found = []
    for backend in ("triton", "reference"):
        x, coef = (t.clone().requires_grad_() for t in (problem.x, problem.coef))
        with use_backend(backend):
            y = spline(x, coef, problem.grid, 3)
            (slope,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
            found.append(list(torch.autograd.grad(slope.square().sum(), (x, coef))))
    assert largest_error(*found) < 3e-5


def test_each_sample_finds_its_own_coefficients_among_many(kernel: str) -> None:
    """Duplicate cells: many samples in one cell, and one sample in each of many."""
    problem = Problem(samples=64, inputs=1, outputs=2, size=500, order=1)
    problem.x[:40] = problem.x[40]
    assert compare(problem, 0, "fp32", weighted=True) < TOLERANCE["fp32"]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the interpreter, at infinity minus infinity
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_odd_numbers_stay_in_their_row(kernel: str, odd: float) -> None:
    from kanfield.splines.triton import launch

    problem = Problem(samples=20, inputs=2, outputs=3, size=5, order=3)
    problem.x[7, 1] = odd
    y = launch.spline_forward(problem.x, problem.coef, None, *problem.arguments(0, "fp32"))
    assert not y[7].isfinite().any()
    y[7] = 0
    assert y.isfinite().all()


def test_same_bits_every_time(kernel: str) -> None:
    from kanfield.splines.triton import launch

    problem = Problem(samples=64, inputs=2, outputs=5, size=12, order=2)
    first, second = (problem.primitives(launch, 0, "fp32", True) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.needs("Triton interpreter")  # a compiled kernel does not see what a test puts in its place
@pytest.mark.parametrize("name", ["_locate", "_tap"])
def test_a_wrong_kernel_is_found(kernel: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: where cells are one off, and where all taps but the first are dropped."""
    from kanfield.splines.triton import kernels

    right = getattr(kernels, name)

    def one_off(x, lower, scale, size):  # type: ignore[no-untyped-def]
        position, cell = right(x, lower, scale, size)
        return position, (cell + 1) % size

    def short(position, cell, scale, size, j, ORDER, DERIVATIVE):  # type: ignore[no-untyped-def]
        return right(position, cell, scale, size, j, ORDER, DERIVATIVE) * (j == 0)

    problem = Problem(samples=40, inputs=2, outputs=5, size=6, order=2)
    assert compare(problem, 0, "fp32", False) < TOLERANCE["fp32"]
    monkeypatch.setattr(kernels, name, {"_locate": one_off, "_tap": short}[name])
    assert compare(problem, 0, "fp32", False) > 1e-2


def test_the_backend_is_chosen_by_device_and_type() -> None:
    x = torch.zeros(1, 1, device=DEVICE)
    with use_backend("triton"):
        assert choose_backend(x) == "triton"
        with pytest.raises(InputError, match=r"Triton backend has no torch\.float64; leave it unforced"):
            choose_backend(x.double())
    assert choose_backend(torch.zeros(1, 1), "tf32") == "reference"
    with use_backend("native"), pytest.raises(InputError, match="no tf32"):
        choose_backend(torch.zeros(1, 1), "tf32")


@pytest.mark.slow
def test_a_fit_on_the_kernels_learns_what_it_learns_on_the_reference() -> None:
    torch.manual_seed(0)
    x, target = 2 * torch.rand(32, 2, device=DEVICE) - 1, torch.rand(32, 1, device=DEVICE)
    losses = []
    for backend in ("triton", "reference"):
        torch.manual_seed(1)
        field = torch.nn.Sequential(KANLayer(2, 5, 6, 2), KANLayer(5, 1, 4, 2)).to(DEVICE)
        optimizer = torch.optim.Adam(field.parameters(), 0.05)
        with use_backend(backend):
            for _ in range(4):
                loss = (field(x) - target).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_roofline_chooses_until_timings_are_saved(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    coarse, fine = (dispatch.Case("spline_forward", "tf32", 2, rows, 64) for rows in (11, 2000))
    assert dispatch.prefers_dense(coarse, "Some GPU") and not dispatch.prefers_dense(fine, "Some GPU")
    path = dispatch.save_timings(
        "Some GPU", [dispatch.Timing(coarse, 2.0, 1.0), dispatch.Timing(fine, 1.0, 2.0)]
    )
    assert path.exists()
    assert not dispatch.prefers_dense(coarse, "Some GPU") and dispatch.prefers_dense(fine, "Some GPU")
    path.write_text("not json", encoding="utf-8")
    dispatch.clear_cache()
    assert dispatch.prefers_dense(coarse, "Some GPU")
    dispatch.clear_cache()


@pytest.mark.parametrize("primitive", ["spline_forward", "grad_coef", "grad_input"])
def test_a_kernel_runs_where_its_tensors_are(primitive: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a second GPU, which is not the current one; they are fake, so no GPU is needed."""
    from kanfield.splines.triton import kernels, launch

    launched_on: list[int] = []
    current = [0]

    class On:
        def __init__(self, tensor: Tensor) -> None:
            self._device = tensor.get_device()

        def __enter__(self) -> None:
            current.append(self._device)

        def __exit__(self, *error: object) -> None:
            current.pop()

    class Kernel:
        def __getitem__(self, grid: object) -> Callable[..., None]:
            return lambda *arguments, **flags: launched_on.append(current[-1])

    names = (
        "spline_forward_dense",
        "spline_forward_gather",
        "grad_input_dense",
        "grad_input_gather",
        "grad_coef",
    )
    for name in names:
        monkeypatch.setattr(kernels, name, Kernel())
    monkeypatch.setattr(torch.cuda, "device_of", On)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "no such card")
    with FakeTensorMode():
        x, g = (torch.empty(8, 2, device="cuda:1") for _ in range(2))
        coef, ends = torch.empty(2 * 7, 2, device="cuda:1"), torch.empty(2, device="cuda:1")
        given = {"spline_forward": (x, coef, None), "grad_coef": (x, None, g), "grad_input": (x, coef, g)}
        for kernel in KERNELS:
            with force_kernel(kernel):
                getattr(launch, primitive)(*given[primitive], ends, ends, 5, 2, 0)
    assert launched_on == [1, 1]


def test_ranges_may_be_columns_of_one_tensor() -> None:
    problem = Problem(samples=20, inputs=3, outputs=5, size=6, order=2)
    ends = torch.stack([problem.grid.lower, problem.grid.upper], 1)
    columns = Grid(ends[:, 0], ends[:, 1], 6)
    for kernel in KERNELS:
        with use_backend("triton"), force_kernel(kernel):
            found = [spline(problem.x, problem.coef, grid, 2) for grid in (columns, problem.grid)]
        assert torch.equal(*found)
