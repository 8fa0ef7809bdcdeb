"""Other grids for the same function, and optimisers that are carried along."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from kanfield import KAN, KANLayer
from kanfield.splines import ORDERS, Grid, refine, refit, spline
from kanfield.splines.refine import design_matrix, gram_matrix, two_scale_matrix
from kanfield.training.optimizers import Muon

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-13}


def assert_near(mine: Tensor, true: Tensor, tolerance: float) -> None:
    """Equal relative to the largest element."""
    mine, true = mine.detach(), true.detach()
    assert mine.shape == true.shape
    assert float((mine - true).abs().max()) <= tolerance * float(true.abs().max())


# --- the two-scale relation ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "factor", "mask"),
    [
        (1, 2, [1 / 2, 2 / 2, 1 / 2]),
        (2, 2, [1 / 4, 3 / 4, 3 / 4, 1 / 4]),
        (3, 2, [1 / 8, 4 / 8, 6 / 8, 4 / 8, 1 / 8]),
        (1, 3, [1 / 3, 2 / 3, 3 / 3, 2 / 3, 1 / 3]),
        (2, 3, [1 / 9, 3 / 9, 6 / 9, 7 / 9, 6 / 9, 3 / 9, 1 / 9]),
        (3, 3, [1 / 27, 4 / 27, 10 / 27, 16 / 27, 19 / 27, 16 / 27, 10 / 27, 4 / 27, 1 / 27]),
    ],
)
def test_a_coarse_spline_is_the_mask_of_finer_ones(order: int, factor: int, mask: list[float]) -> None:
    column = two_scale_matrix(20, factor, order)[:, 10]
    assert column[column != 0].tolist() == mask


def test_cubic_rows_are_those_of_the_textbook() -> None:
    c = torch.randn(8, 1, dtype=torch.float64)
    fine = refine(c, 5, 2, 3)
    assert_near(fine[0::2], (c[:-1] + c[1:])[: len(fine[0::2])] / 2, 1e-15)
    assert_near(fine[1::2], (c[:-2] + 6 * c[1:-1] + c[2:]) / 8, 1e-15)


@pytest.mark.parametrize("factor", [1, 2, 3, 5])
@pytest.mark.parametrize("order", ORDERS)
def test_constants_stay_constant(order: int, factor: int) -> None:
    rows = two_scale_matrix(4, factor, order).sum(1)
    torch.testing.assert_close(rows, torch.ones(factor * 4 + order, dtype=torch.float64), rtol=0, atol=1e-15)


@pytest.mark.parametrize("size", [1, 6])
@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_refine_keeps_the_function_inside_and_outside(
    dtype: torch.dtype, order: int, factor: int, size: int
) -> None:
    grid = Grid(torch.tensor([-1.0, 0.2], dtype=dtype), torch.tensor([1.0, 0.9], dtype=dtype), size)
    x = grid.lower + (1.6 * torch.rand(200, 2, dtype=dtype) - 0.3) * (grid.upper - grid.lower)
    coef = torch.randn(2 * (size + order), 3, dtype=dtype)
    fine = spline(x, refine(coef, size, factor, order), grid._replace(size=factor * size), order)
    assert_near(fine, spline(x, coef, grid, order), TOLERANCE[dtype])


def test_refine_is_differentiable() -> None:
    coef = torch.randn(14, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: refine(c, 4, 2, 3), coef)


# --- refit --------------------------------------------------------------------------------------


def two_inputs(low: float, high: float, size: int) -> Grid:
    return Grid(
        torch.tensor([low, 2 * low], dtype=torch.float64),
        torch.tensor([high, 2 * high], dtype=torch.float64),
        size,
    )


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("order", ORDERS)
def test_refit_to_a_multiple_of_the_cells_is_refinement(order: int, factor: int) -> None:
    old = two_inputs(-1, 1, 5)
    coef = torch.randn(2 * (5 + order), 3, dtype=torch.float64)
    new = old._replace(size=factor * 5)
    assert_near(refit(coef, old, new, order), refine(coef, 5, factor, order), 1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_refit_to_a_part_with_the_same_knots_is_exact(order: int) -> None:
    old, new = two_inputs(-1, 1, 8), two_inputs(-0.5, 0.75, 5)
    coef = torch.randn(2 * (8 + order), 3, dtype=torch.float64)
    x = new.lower + torch.rand(50, 2, dtype=torch.float64) * (new.upper - new.lower)
    assert_near(spline(x, refit(coef, old, new, order), new, order), spline(x, coef, old, order), 1e-10)


@pytest.mark.parametrize("order", ORDERS)
def test_refit_keeps_a_straight_line_on_any_range(order: int) -> None:
    # Equal steps between coefficients are a line, and the tangents outside continue it.
    old, new = two_inputs(-1, 1, 8), two_inputs(-1.37, 2.11, 7)
    steps = torch.arange(8 + order, dtype=torch.float64)[:, None]
    coef = torch.cat([2 * steps - 5, 3 - steps])
    x = 10 * torch.randn(50, 2, dtype=torch.float64)
    assert_near(spline(x, refit(coef, old, new, order), new, order), spline(x, coef, old, order), 1e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_refit_to_another_range_is_close(dtype: torch.dtype) -> None:
    size = 20
    old = Grid(torch.tensor([-1.0], dtype=dtype), torch.tensor([1.0], dtype=dtype), size)
    new = Grid(torch.tensor([-1.1], dtype=dtype), torch.tensor([1.03], dtype=dtype), size)
    coef = torch.linspace(-3, 3, size + 3, dtype=dtype)[:, None].sin()
    x = torch.linspace(-1, 1, 101, dtype=dtype)[:, None]
    assert_near(spline(x, refit(coef, old, new, 3), new), spline(x, coef, old), 3e-3)


# --- a layer with its optimisers ----------------------------------------------------------------


def target(x: Tensor) -> Tensor:
    return torch.stack([(3 * x[:, 0]).sin() * x[:, 1], x.square().sum(1), (x[:, 0] - x[:, 1]).tanh()], 1)


def batch() -> tuple[Tensor, Tensor]:
    x = torch.rand(256, 2, dtype=torch.float64) * 2 - 1
    return x, target(x)


def step(layer: KANLayer, optimizer: Optimizer, x: Tensor, y: Tensor) -> float:
    loss = (layer(x) - y).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def trained(kind: str, steps: int) -> tuple[KANLayer, Optimizer]:
    """A layer in the middle of its training, its optimiser's moments well filled."""
    layer = KANLayer(2, 3, grid_size=8, base=None).double()
    parameters = [layer.coef]
    optimizer: Optimizer = {
        "adam": lambda: Adam(parameters, lr=1e-2),
        "amsgrad": lambda: Adam(parameters, lr=1e-2, amsgrad=True),
        "muon": lambda: Muon(parameters, lr=1e-2),
    }[kind]()
    for _ in range(steps):
        step(layer, optimizer, *batch())
    return layer, optimizer


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("kind", ["adam", "amsgrad", "muon"])
def test_layer_refines_without_changing_its_output(kind: str, factor: int) -> None:
    layer, optimizer = trained(kind, steps=5)
    parameter, (x, _) = layer.coef, batch()
    before = layer(1.2 * x)
    layer.refine(factor, [optimizer])
    assert layer.grid_size == 8 * factor
    assert layer.coef is parameter  # or the optimiser would train a tensor that nobody reads
    assert_near(layer(1.2 * x), before, 1e-13)


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("kind", ["adam", "amsgrad", "muon"])
def test_moments_are_carried_as_gradients_are(kind: str, factor: int) -> None:
    layer, optimizer = trained(kind, steps=5)
    power = {"exp_avg": 1, "exp_avg_sq": 2, "max_exp_avg_sq": 2, "momentum_buffer": 1}
    before = {k: v.clone() for k, v in optimizer.state[layer.coef].items() if k in power}
    assert before
    layer.refine(factor, [optimizer])
    for name, moment in before.items():
        finer = refine(moment, 8, factor, 3) / factor ** power[name]
        assert_near(optimizer.state[layer.coef][name], finer, 1e-15)


def test_adams_count_of_steps_is_left_alone() -> None:
    layer, optimizer = trained("adam", steps=5)
    layer.refine(2, [optimizer])
    assert optimizer.state[layer.coef]["step"].item() == 5


@pytest.mark.parametrize("factor", [2, 3])
def test_a_carried_gradient_has_the_size_of_the_finer_layers_own(factor: int) -> None:
    # Why moments shrink: the same loss is shared out among factor times as many coefficients.
    layer, _ = trained("adam", steps=0)
    x = torch.rand(20_000, 2, dtype=torch.float64) * 2 - 1
    gradients = []
    for _ in range(2):
        layer.coef.grad = None
        (layer(x) * target(x)).mean().backward()
        assert layer.coef.grad is not None
        gradients.append(layer.coef.grad.clone())
        if len(gradients) == 1:
            layer.refine(factor)
    carried, own = refine(gradients[0], 8, factor, 3) / factor, gradients[1]
    assert torch.cosine_similarity(carried.flatten(), own.flatten(), dim=0) > 0.95
    assert 0.8 < float(carried.norm() / own.norm()) < 1.25


@torch.no_grad()
def loss_of(layer: KANLayer) -> float:
    side = torch.linspace(-1, 1, 21, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    return (layer(x) - target(x)).square().mean().item()


def losses_around_refining(kind: str, forget: bool) -> tuple[float, float]:
    """Loss before refinement, and after two steps on batches whose gradients point the wrong way."""
    torch.manual_seed(0)
    layer, optimizer = trained(kind, steps=20)
    before = loss_of(layer)
    layer.refine(2, [optimizer])
    if forget:
        for value in optimizer.state[layer.coef].values():
            if value.ndim == 2:
                value.zero_()
    for _ in range(2):
        x, y = batch()
        step(layer, optimizer, x, 2 * layer(x).detach() - y)
    return before, loss_of(layer)


@pytest.mark.parametrize("kind", ["adam", "muon"])
def test_loss_does_not_jump_where_moments_are_carried(kind: str) -> None:
    # Two misleading batches cannot turn what the moments remember; an optimiser that forgot follows them.
    before, carried = losses_around_refining(kind, forget=False)
    _, forgotten = losses_around_refining(kind, forget=True)
    assert carried < before < 0.98 * forgotten


def test_refining_while_an_older_loss_is_still_held() -> None:
    # An ordinary loop keeps the last loss, and with it the last graph, until the next one replaces it.
    layer = KANLayer(2, 3, grid_size=4, base=None).double()
    x, y = batch()
    for _ in range(2):
        loss = (layer(x) - y).square().mean()
        loss.backward()
        layer.refine(2)
    assert loss.isfinite()


def test_the_refined_layer_goes_on_learning() -> None:
    layer, optimizer = trained("muon", steps=30)
    layer.refine(2, [optimizer])
    first = step(layer, optimizer, *batch())
    for _ in range(30):
        last = step(layer, optimizer, *batch())
    assert last < 0.7 * first


def test_nested_levels_refine_their_finest() -> None:
    layer = KANLayer(2, 3, grid_size=[4, 8])
    coarse = copy.deepcopy(layer.coarse_coef)
    x = torch.rand(50, 2) * 2.4 - 1.2
    before = layer(x)
    layer.refine(2)
    assert layer.levels == [16, 4]
    assert_near(layer(x), before, 1e-6)
    assert torch.equal(layer.coarse_coef[0], coarse[0])


@pytest.mark.parametrize("factor", [0, -2, 1.5])
def test_factors_that_are_not_whole_are_errors(factor: float) -> None:
    layer = KANLayer(2, 3, grid_size=4)
    with pytest.raises(ValueError, match="factor must be a positive whole number"):
        layer.refine(factor)  # type: ignore[arg-type]


# ---- extension to any size, and the splines' Gram matrix ---------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("old", "new"), [(3, 6), (4, 12), (5, 5)])
def test_extension_to_a_multiple_is_exact(order, old, new):
    layer = KANLayer(3, 4, old, order).double()
    x = 3 * torch.rand(50, 3, dtype=torch.float64) - 1.5
    before, parameter = layer(x), layer.coef
    layer.extend(new)
    assert layer.coef is parameter and layer.grid_size == new
    assert torch.allclose(layer(x), before, atol=1e-12)


def test_extension_to_any_size_is_as_good_as_least_squares():
    torch.manual_seed(1)
    field = KAN(2, 1, [3], 8).double()
    x = 2 * torch.rand(200, 2, dtype=torch.float64) - 1
    field.fit_ranges(x)
    before = field(x)
    field.extend(50)
    assert [layer.grid_size for layer in field.layers] == [50, 50]
    assert (field(x) - before).abs().max() < 1e-3 * before.std()
    field(x).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in field.parameters())


def test_extension_refuses_levels():
    with pytest.raises(ValueError, match="one level"):
        KANLayer(1, 1, [4, 8]).extend(16)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_gram_matrix_is_the_mean_over_many_points(order):
    points = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    basis = design_matrix(points, 7, order)
    assert torch.allclose(basis.sum(1), torch.ones_like(points))
    assert torch.allclose(gram_matrix(7, order), basis.T @ basis / len(points), atol=1e-9)
