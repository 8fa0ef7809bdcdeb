"""The Triton kernels of the grid encoding, run by Triton's interpreter where there is no GPU."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from kanfield.encodings import grid_encode, make_layout, reference
from kanfield.splines import use_backend

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TOLERANCE = 5e-6
HASH_MULTIPLIER = 2654435761  # rows of it wrap around at 2^32

pytestmark = pytest.mark.needs("Triton")


def layout_of(*levels: tuple[int, int, int, int]) -> Tensor:
    """Levels of (cells_x, cells_y, size, multiplier), one behind the other."""
    rows, offset = [], 0
    for across, down, size, multiplier in levels:
        rows.append([across, down, size, offset, multiplier])
        offset += size
    return torch.tensor(rows)


def mixed_layout(order: int) -> Tensor:
    """A dense level, one whose rows are hashed, and one that is smaller than a row of it."""
    dense = (4, 3, (4 + order) * (3 + order), 4 + order)
    return layout_of(dense, (70, 50, 101, HASH_MULTIPLIER), (40, 9, 7, HASH_MULTIPLIER))


class Problem:
    """Random tensors; some coordinates lie on cells' borders, the grid's own and beyond it."""

    def __init__(
        self, samples: int, features: int, order: int, layout: Tensor | None = None, seed: int = 0
    ) -> None:
        torch.manual_seed(seed)
        self.order = order
        self.layout = (mixed_layout(order) if layout is None else layout).to(DEVICE)
        self.entries = int(self.layout[:, 2].sum())
        x = 2.4 * torch.rand(samples, 2) - 1.2
        special = torch.tensor([[-1, 1], [1, -1], [1, 1], [0, -0.5], [0.5, 0], [-30, 0.3], [0.3, 30]])
        x[: len(special)] = special[:samples]
        self.x = x.to(DEVICE)
        self.table = torch.randn(self.entries, features).to(DEVICE)
        self.g = torch.randn(samples, len(self.layout) * features).to(DEVICE)

    def primitives(self, module: ModuleType, v: int = 0, w: int = 0) -> list[Tensor]:
        """All three primitives of a backend."""
        rest = (self.order, v, w)
        return [
            module.grid_forward(self.x, self.table, self.layout, *rest),
            module.grid_table(self.x, self.g, self.layout, self.entries, *rest),
            module.grid_project(self.x, self.table, self.g, self.layout, *rest),
        ]

    def table_gradient(self, g: Tensor, rows: Tensor | slice = slice(None)) -> Tensor:
        """The Triton backend's, of some samples in some order."""
        from kanfield.encodings.triton import launch

        return launch.grid_table(self.x[rows], g[rows], self.layout, self.entries, self.order, 0, 0)


def largest_error(mine: list[Tensor], true: list[Tensor]) -> float:
    """Largest difference relative to the largest element; a NaN counts as infinite."""
    assert [t.shape for t in mine] == [t.shape for t in true]
    errors = [
        float((a - b).abs().max() / b.abs().max().clamp_min(1e-20)) for a, b in zip(mine, true, strict=True)
    ]
    return max(error if error == error else float("inf") for error in errors)


def compare(problem: Problem, v: int = 0, w: int = 0) -> float:
    from kanfield.encodings.triton import launch

    return largest_error(problem.primitives(launch, v, w), problem.primitives(reference, v, w))


@pytest.mark.parametrize(
    ("order", "v", "w", "features"),
    [
        (1, 0, 0, 1),
        (1, 1, 0, 2),
        (1, 0, 1, 8),
        (2, 0, 0, 4),
        (2, 1, 2, 2),
        (3, 0, 0, 2),
        (3, 3, 1, 1),
        (3, 0, 2, 1),
    ],
)
def test_primitives_agree_on_every_order_and_derivative(order: int, v: int, w: int, features: int) -> None:
    assert compare(Problem(30, features, order), v, w) < TOLERANCE


@settings(max_examples=3, deadline=None)
@given(
    samples=st.integers(1, 300),
    features=st.sampled_from([1, 2, 4]),
    order=st.sampled_from([1, 2]),
    levels=st.lists(
        st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(1, 200), st.integers(1, 2**32 - 1)),
        min_size=1,
        max_size=2,
    ),
)
@pytest.mark.slow
def test_primitives_agree_on_ragged_shapes(
    samples: int, features: int, order: int, levels: list[tuple[int, int, int, int]]
) -> None:
    assert compare(Problem(samples, features, order, layout_of(*levels), seed=samples)) < 4 * TOLERANCE


def test_gradients_and_their_gradients_agree() -> None:
    problem = Problem(21, 2, 2, torch.tensor(make_layout([(30, 20)], 60, 2)))
    found = []
    for backend in ("triton", "reference"):
        leaves = [t.clone().requires_grad_() for t in (problem.x, problem.table)]
        with use_backend(backend):
            y = grid_encode(*leaves, problem.layout, 2)
            first = torch.autograd.grad(y, leaves, problem.g, create_graph=True)
            second = torch.autograd.grad(first[0].square().sum(), leaves)
        found.append([y.detach(), *(t.detach() for t in first), *second])
    assert largest_error(*found) < 1e-5


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_odd_coordinates_stay_in_their_row_and_inside_the_table(odd: float) -> None:
    """What lies around the table is NaN: reading it would show."""
    from kanfield.encodings.triton import launch

    problem = Problem(20, 2, 1)
    problem.x[7, 1], problem.x[8, 0] = odd, -odd
    around = torch.full((problem.entries + 200, 2), float("nan"), device=DEVICE)
    around[100:-100] = problem.table
    problem.table = around[100:-100]
    mine, true = problem.primitives(launch), problem.primitives(reference)
    for a, b in zip(mine, true, strict=True):
        assert torch.equal(a.isnan(), b.isnan()) and a.isnan().any() == (odd != odd)
    assert largest_error([t.nan_to_num() for t in mine], [t.nan_to_num() for t in true]) < TOLERANCE


def test_the_tables_gradient_has_the_same_bits_in_any_order_of_the_samples() -> None:
    """A GPU runs programs in any order; the order of the samples stands for it in the interpreter."""
    problem = Problem(150, 2, 1, layout_of((70, 50, 101, HASH_MULTIPLIER)))
    found = problem.table_gradient(problem.g)
    backwards = torch.arange(149, -1, -1, device=DEVICE)
    assert torch.equal(found, problem.table_gradient(problem.g, backwards))
    assert torch.equal(found, problem.table_gradient(problem.g))


def test_the_tables_gradient_is_as_exact_for_gradients_of_any_size() -> None:
    problem = Problem(50, 1, 1, layout_of((70, 50, 101, HASH_MULTIPLIER)))
    found = problem.table_gradient(problem.g)
    for power in (2.0**-60, 2.0**90):
        assert torch.equal(found * power, problem.table_gradient(problem.g * power))
    assert not problem.table_gradient(0 * problem.g).any()


def test_samples_that_all_meet_in_one_entry_add_up() -> None:
    """The largest sums that there can be, of the largest gradients: nothing overflows on the way."""
    problem = Problem(300, 1, 1, layout_of((3, 3, 1, 1)))
    gradient = problem.table_gradient(torch.ones_like(problem.g) * (2.0**117 - 2.0**93))
    assert float(gradient) == pytest.approx(300 * 2.0**117, rel=1e-6)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
def test_a_gradient_that_is_not_finite_shows_everywhere(odd: float) -> None:
    problem = Problem(20, 1, 1, layout_of((3, 3, 16, 4)))
    problem.g[3] = odd
    assert problem.table_gradient(problem.g).isnan().all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the interpreter, at the overflow
def test_a_product_that_is_not_finite_shows_where_it_is_added() -> None:
    """Finite gradients near the limit, times slopes above 1."""
    from kanfield.encodings.triton import launch

    problem = Problem(3, 1, 1, layout_of((40, 40, 41 * 41, 41)))
    problem.g[:] = 1.0
    problem.g[1] = 3e38
    x, g, layout = problem.x, problem.g, problem.layout
    mine, true = (m.grid_table(x, g, layout, problem.entries, 1, 1, 0) for m in (launch, reference))
    assert torch.equal(mine.isfinite(), true.isfinite()) and not true.isfinite().all()


@pytest.mark.needs("Triton interpreter")  # a compiled kernel does not see what a test puts in its place
@pytest.mark.parametrize("name", ["_axis", "_places", "_unit"])
def test_a_wrong_kernel_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: cells one off, rows and columns swapped, and sums in units that are too coarse."""
    from kanfield.encodings.triton import kernels

    right = getattr(kernels, name)

    def one_off(x, cells, DERIVATIVE):  # type: ignore[no-untyped-def]
        local, cell, factor = right(x, cells, DERIVATIVE)
        return local, (cell + 1) % cells, factor

    def swapped(column, row, *rest):  # type: ignore[no-untyped-def]
        return right(row, column, *rest)

    def coarse(*arguments):  # type: ignore[no-untyped-def]
        return right(*arguments) + 50

    monkeypatch.setattr(kernels, name, {"_axis": one_off, "_places": swapped, "_unit": coarse}[name])
    assert compare(Problem(30, 1, 1)) > 1e-3


def test_the_kernels_run_where_the_tensors_are_and_the_host_reads_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tensors of a second GPU, which is not the current one; they are fake, so no GPU is needed."""
    from kanfield.encodings.triton import kernels, launch

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

    for name in ("grid_forward", "grid_table", "table_from_sums", "grid_project"):
        monkeypatch.setattr(kernels, name, Kernel())
    monkeypatch.setattr(torch.cuda, "device_of", On)
    with FakeTensorMode():
        x, g = torch.empty(8, 2, device="cuda:1"), torch.empty(8, 6, device="cuda:1")
        table = torch.empty(50, 2, device="cuda:1")
        layout = torch.empty(3, 5, dtype=torch.int64, device="cuda:1")
        launch.grid_forward(x, table, layout, 1, 0, 0)
        launch.grid_table(x, g, layout, 50, 1, 0, 0)
        launch.grid_project(x, table, g, layout, 1, 0, 0)
    assert launched_on == [1, 1, 1, 1]
