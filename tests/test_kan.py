"""KAN layers and the KAN field."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.autograd import grad
from torch.nn import functional
from torch.optim import Adam

from kanfield import KAN, KANLayer
from kanfield.splines import Grid, spline
from kanfield.training.optimizers import Muon


def assert_near(mine: Tensor, true: Tensor, tolerance: float) -> None:
    """Equal relative to the largest element; a NaN is never near."""
    mine, true = mine.detach(), true.detach()
    assert mine.shape == true.shape
    assert float((mine - true).abs().max()) <= tolerance * float(true.abs().max())


def some_layer(**settings: object) -> KANLayer:
    """A layer whose two ranges differ from each other and from a fresh layer's."""
    layer = KANLayer(2, 3, **settings)  # type: ignore[arg-type]
    layer.set_range(torch.tensor([-1.2, -0.5]), torch.tensor([0.9, 2.0]))
    return layer


# --- the layer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("leading", [(), (7,), (4, 5), (0,), (2, 0, 3)])
def test_leading_dimensions_are_kept(leading: tuple[int, ...]) -> None:
    layer, x = KANLayer(2, 3), torch.rand(*leading, 2)
    assert layer(x).shape == (*leading, 3)
    assert torch.equal(layer(x).reshape(-1, 3), layer(x.reshape(-1, 2)))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_parameters_have_the_documented_shapes(order: int) -> None:
    layer = KANLayer(2, 5, grid_size=[4, 12], order=order)
    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes == {
        "coef": (2 * (12 + order), 5),
        "coarse_coef.0": (2 * (4 + order), 5),
        "base_weight": (2, 5),
    }
    ranges = {"lower": (2,), "upper": (2,)}
    saved = {name: tuple(t.shape) for name, t in layer.state_dict().items() if name not in shapes}
    assert saved == ranges


def test_output_is_spline_plus_base() -> None:
    layer, x = some_layer(), torch.randn(20, 2)
    splines = spline(x, layer.coef, Grid(layer.lower, layer.upper, 10))
    assert_near(layer(x), splines + functional.silu(x) @ layer.base_weight, 1e-6)


def test_no_base_means_no_base() -> None:
    layer, x = some_layer(base=None), torch.randn(20, 2)
    assert layer.base_weight is None
    assert torch.equal(layer(x), spline(x, layer.coef, layer.grid))


def test_nested_levels_are_the_sum_of_separate_splines() -> None:
    layer, x = some_layer(grid_size=[4, 12, 6], base=None).double(), torch.randn(50, 2).double()
    assert layer.levels == [12, 6, 4] and layer.grid_size == 12
    levels = zip(layer.levels, (layer.coef, *layer.coarse_coef), strict=True)
    true = sum(spline(x, coef, Grid(layer.lower, layer.upper, size)) for size, coef in levels)
    assert isinstance(true, Tensor)
    assert_near(layer(x), true, 1e-13)


def test_every_level_gets_the_gradient_of_its_own_spline() -> None:
    layer, x = some_layer(grid_size=[4, 12], base=None).double(), torch.randn(50, 2).double()
    direction = torch.randn(50, 3).double()
    mine = grad((layer(x) * direction).sum(), list(layer.parameters()))
    for gradient, size, coef in zip(mine, layer.levels, layer.parameters(), strict=True):
        alone = spline(x, coef, Grid(layer.lower, layer.upper, size))
        assert_near(gradient, grad((alone * direction).sum(), coef)[0], 1e-12)


def test_nested_levels_are_merged_in_float32_under_autocast() -> None:
    layer, x = some_layer(grid_size=[4, 12], base=None), torch.rand(50, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert_near(y, layer(x), 1e-6)


def test_extra_repr_shows_the_settings() -> None:
    one = "in_features=2, out_features=3, grid_size=10, order=3, base='silu'"
    assert KANLayer(2, 3).extra_repr() == one
    nested = KANLayer(2, 3, [8, 4], order=2, base=None).extra_repr()
    assert nested == "in_features=2, out_features=3, grid_size=[4, 8], order=2, base=None"


def test_fresh_splines_have_the_spread_that_noise_names() -> None:
    # Unit variance of the sum: the spread is over the root of inputs times levels.
    layer = KANLayer(50, 40, grid_size=[5, 10], init_noise=0.3)
    for coef in (layer.coef, *layer.coarse_coef):
        assert coef.std().item() == pytest.approx(0.3 / (50 * 2) ** 0.5, rel=0.05)


def test_reset_parameters_draws_afresh_and_resets_the_ranges() -> None:
    layer = some_layer(grid_size=[4, 8])
    old = [p.detach().clone() for p in layer.parameters()]
    layer.reset_parameters()
    assert not any(torch.equal(p, before) for p, before in zip(layer.parameters(), old, strict=True))
    assert layer.lower.tolist() == [-1, -1] and layer.upper.tolist() == [1, 1]


def test_same_seed_same_layer() -> None:
    layers = []
    for _ in range(2):
        torch.manual_seed(7)
        layers.append(KANLayer(2, 3))
    assert all(torch.equal(a, b) for a, b in zip(*(x.parameters() for x in layers), strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_features": 0}, "needs inputs and outputs, got 0 -> 3"),
        ({"out_features": 0}, "needs inputs and outputs, got 2 -> 0"),
        ({"grid_size": 0}, "grid sizes must be at least 1"),
        ({"grid_size": []}, "grid sizes must be at least 1"),
        ({"grid_size": [4, 6]}, r"divide the largest, got \[4, 6\]"),
        ({"order": 6}, "order 6 is not one of"),
        ({"base": "relu"}, "base 'relu' is not 'silu' or None"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        KANLayer(**({"in_features": 2, "out_features": 3} | settings))  # type: ignore[arg-type]


# --- ranges -------------------------------------------------------------------------------------


def smooth_layer(grid_size: int | list[int]) -> KANLayer:
    """Coefficients that change little from cell to cell, as a trained layer's do."""
    layer = KANLayer(2, 3, grid_size)
    for coef in (layer.coef, *layer.coarse_coef):
        rows = len(coef) // 2
        waves = torch.linspace(-2, 2, rows)[:, None] * torch.tensor([1.0, 1.5, 0.7])
        coef.data = torch.cat([waves.sin(), waves.cos()])
    return layer


@pytest.mark.parametrize("grid_size", [20, [10, 20]])
def test_set_range_keeps_the_function_on_the_old_range(grid_size: int | list[int]) -> None:
    layer, x = smooth_layer(grid_size), torch.rand(100, 2) * 2 - 1
    before = layer(x)
    layer.set_range(torch.tensor([-1.2, -1.0]), torch.tensor([1.1, 1.4]))
    assert layer.lower.tolist() == pytest.approx([-1.2, -1.0])
    assert layer.upper.tolist() == pytest.approx([1.1, 1.4])
    assert_near(layer(x), before, 5e-3)


def test_the_same_range_again_changes_nothing() -> None:
    layer, x = some_layer().double(), torch.randn(50, 2).double()
    before = layer(x)
    layer.set_range(layer.lower.clone(), layer.upper.clone())
    assert_near(layer(x), before, 1e-10)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [([0.0, 0.0], [1.0, 0.0]), ([0.0, 1.0], [1.0, 0.0]), ([0.0, float("nan")], [1.0, 1.0])],
)
def test_empty_ranges_are_errors_and_change_nothing(lower: list[float], upper: list[float]) -> None:
    layer = some_layer()
    before = copy.deepcopy(layer.state_dict())
    with pytest.raises(ValueError, match="finite borders, the lower below the upper"):
        layer.set_range(torch.tensor(lower), torch.tensor(upper))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_outside_is_the_fraction_of_numbers_beyond_their_range() -> None:
    layer = some_layer()
    x = torch.tensor([[0.0, 0.0], [-1.3, 0.0], [0.9, 2.0], [1.0, 2.1]])
    assert layer.fraction_outside(x).item() == pytest.approx(3 / 8)
    assert layer.fraction_outside(x[None]).item() == pytest.approx(3 / 8)


def test_ranges_get_no_gradient_and_are_no_parameters() -> None:
    layer = some_layer()
    layer(torch.randn(5, 2)).sum().backward()
    assert layer.lower.grad is None and not layer.lower.requires_grad
    assert "lower" in layer.state_dict() and "upper" in layer.state_dict()


# --- modules as torch knows them ----------------------------------------------------------------


def some_field() -> KAN:
    field = KAN(2, 1, [5, 4], [8, [3, 6], 5])
    field.fit_ranges(torch.rand(64, 2) * 2 - 1)
    return field


def test_state_dict_into_a_fresh_field() -> None:
    field, x = some_field(), torch.randn(10, 2)
    fresh = KAN(2, 1, [5, 4], [8, [3, 6], 5])
    fresh.load_state_dict(field.state_dict())
    assert torch.equal(fresh(x), field(x))


@pytest.mark.parametrize("copies", [copy.deepcopy, lambda field: pickle.loads(pickle.dumps(field))])
def test_copies_compute_the_same_and_are_independent(copies: object) -> None:
    field, x = some_field(), torch.randn(10, 2)
    before = field(x)
    other = copies(field)  # type: ignore[operator]
    assert torch.equal(other(x), before)
    other.refine(2)
    other.layers[0].coef.data.zero_()
    assert torch.equal(field(x), before)


def test_double_moves_everything() -> None:
    field, x = some_field(), torch.rand(10, 2)
    before = field(x)
    field.double()
    assert {t.dtype for t in field.state_dict().values()} == {torch.float64}
    assert field(x.double()).dtype == torch.float64
    assert_near(field(x.double()).float(), before, 1e-5)


def test_bfloat16_layer_still_trains() -> None:
    layer, x = some_layer().bfloat16(), torch.rand(10, 2).bfloat16()
    y = layer(x)
    y.sum().backward()
    assert y.dtype == torch.bfloat16
    assert layer.coef.grad is not None and layer.coef.grad.dtype == torch.bfloat16


def test_buffers_move_with_the_field_to_a_device() -> None:
    field = some_field().to("meta")
    assert {t.device.type for t in (*field.parameters(), *field.buffers())} == {"meta"}
    assert field(torch.empty(10, 2, device="meta")).shape == (10, 1)


@pytest.mark.slow
@pytest.mark.needs("C++ compiler")
def test_compiled_layer_gives_the_same_values_and_gradients() -> None:
    layer, x = some_layer(grid_size=6), torch.randn(40, 2).requires_grad_()
    leaves = [x, *layer.parameters()]
    compiled = torch.compile(layer, fullgraph=True)
    results = [(y, *grad(y.sin().sum(), leaves)) for y in (layer(x), compiled(x))]
    for mine, true in zip(results[1], results[0], strict=True):
        assert_near(mine, true, 1e-5)


def test_per_sample_gradients_with_torch_func_are_autograds() -> None:
    field, x = some_field().double(), torch.randn(6, 2).double()
    parameters = dict(field.named_parameters())
    fixed = {name: p.detach() for name, p in parameters.items()}

    def loss(parameters: dict[str, Tensor], row: Tensor) -> Tensor:
        return torch.func.functional_call(field, parameters, (row,)).sin().sum()

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(fixed, x)
    for n, row in enumerate(x):
        true = grad(field(row).sin().sum(), list(parameters.values()))
        for name, gradient in zip(parameters, true, strict=True):
            torch.testing.assert_close(each[name][n], gradient, rtol=1e-9, atol=1e-12)


# --- the field ----------------------------------------------------------------------------------


def test_field_is_its_layers_one_after_another() -> None:
    field, x = KAN(2, 3, [5, 4], [8, [3, 6], 5], order=2, base=None), torch.rand(4, 7, 2)
    assert [layer.levels for layer in field.layers] == [[8], [6, 3], [5]]
    assert all(layer.order == 2 and layer.base is None for layer in field.layers)
    assert field(x).shape == (4, 7, 3)
    assert torch.equal(field(x), field.layers[2](field.layers[1](field.layers[0](x))))


def test_directions_are_projections_of_the_plane() -> None:
    field = KAN(2, 3, [5], [8, 5], num_directions=4)
    x = torch.rand(50, 2) * 2 - 1
    half = 0.5**0.5
    seen = torch.stack([x[:, 0], half * (x[:, 0] + x[:, 1]), x[:, 1], half * (x[:, 1] - x[:, 0])], 1)
    torch.testing.assert_close(field(x), field.layers[1](field.layers[0](seen)))
    reach = torch.tensor([1.0, 2 * half, 1.0, 2 * half])  # from corner to corner
    torch.testing.assert_close(field.layers[0].upper, reach)
    torch.testing.assert_close(field.layers[0].lower, -reach)
    assert float(field.layers[0].fraction_outside(seen)) == 0
    field.fit_ranges(x)
    assert float(field.fraction_outside(x)) == 0
    field.reset_parameters()
    torch.testing.assert_close(field.layers[0].upper, reach)


def test_smoothing_moves_coefficients_towards_their_neighbours() -> None:
    layer = KANLayer(2, 1, 4, order=1)
    before = layer.coef.detach().clone().reshape(2, 5)
    layer.smooth_coefficients(0.2)
    after = layer.coef.detach().reshape(2, 5)
    for i in range(2):
        assert after[i, 0] == before[i, 0] and after[i, 4] == before[i, 4]
        for j in range(1, 4):
            wanted = before[i, j] + 0.2 * (before[i, j - 1] - 2 * before[i, j] + before[i, j + 1])
            torch.testing.assert_close(after[i, j], wanted)


def test_smoothing_leaves_straight_lines_and_flattens_ripples() -> None:
    layer = KANLayer(1, 1, 20, order=2)
    line = torch.linspace(-1, 3, 22)[:, None]
    layer.coef.data.copy_(line)
    layer.smooth_coefficients(0.25)
    torch.testing.assert_close(layer.coef.data, line)
    layer.coef.data.copy_(line + 0.1 * (-1.0) ** torch.arange(22)[:, None])
    for _ in range(200):
        layer.smooth_coefficients(0.25)
    bend = layer.coef.data[2:] - 2 * layer.coef.data[1:-1] + layer.coef.data[:-2]
    assert float(bend.abs().max()) < 0.02  # 0.4 before


def test_a_field_smooths_all_its_layers() -> None:
    field = KAN(2, 1, [4], [9, 5])
    before = [layer.coef.detach().clone() for layer in field.layers]
    field.smooth_coefficients(0.1)
    assert all(not torch.equal(a, layer.coef) for a, layer in zip(before, field.layers, strict=True))


def test_two_directions_are_the_axes() -> None:
    torch.manual_seed(0)
    plain = KAN(2, 1, [5], [8, 5], init_frequency=3.0)
    torch.manual_seed(0)
    turned = KAN(2, 1, [5], [8, 5], init_frequency=3.0, num_directions=2)
    x = torch.rand(20, 2) * 2 - 1
    torch.testing.assert_close(plain(x), turned(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("directions", [2, 8, 32])
def test_the_spread_of_the_first_waves_does_not_depend_on_directions(directions: int) -> None:
    torch.manual_seed(0)
    field = KAN(
        2, 1, [400], [100, 5], init_noise=0.0, init_frequency=5.0, base=None, num_directions=directions
    )
    values = field.layers[0]((torch.rand(400, 2) * 2 - 1) @ field.axes)
    assert 0.45 < values.std().item() < 0.55


@pytest.mark.parametrize(("inputs", "directions"), [(1, 4), (3, 4), (2, -1)])
def test_directions_elsewhere_are_errors(inputs: int, directions: int) -> None:
    with pytest.raises(ValueError, match="num_directions is 0 or more"):
        KAN(inputs, 1, [3], 5, num_directions=directions)


@pytest.mark.parametrize(
    ("widths", "grids", "message"),
    [
        ([3], [5], "1 widths need 2 grids, got 1"),
        ([3], [5, 5, 5], "1 widths need 2 grids, got 3"),
        ([0], 5, "needs inputs and outputs, got 2 -> 0"),
        ([3], [5, [4, 6]], "divide the largest"),
        ([3], [5, 5000], "up to 2000 cells, got 5000"),
    ],
)
def test_widths_and_grids_that_do_not_fit_are_errors(
    widths: list[int], grids: int | list[object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        KAN(2, 1, widths, grids)  # type: ignore[arg-type]


def test_matrices_are_the_hidden_layers_coefficients() -> None:
    field = KAN(2, 1, [5, 4, 3], [8, [3, 6], 5, 4])
    hidden = [field.layers[1].coef, field.layers[1].coarse_coef[0], field.layers[2].coef]
    assert [id(p) for p in field.muon_parameters()] == [id(p) for p in hidden]


def test_fit_ranges_cover_the_data_with_a_margin() -> None:
    field, x = KAN(2, 1, [5, 4], 10), torch.rand(200, 2) * 2 - 1
    with torch.no_grad():
        for layer in field.layers[:-1]:
            layer.base_weight.mul_(5)  # hidden values leave [-1, 1]
    assert field.fraction_outside(x) > 0
    first = field.layers[0]
    field.fit_ranges(x, margin=0.1)
    assert first.lower.tolist() == [-1, -1] and first.upper.tolist() == [1, 1]
    assert field.fraction_outside(x) == 0
    hidden = first(x)
    low, high = hidden.amin(0), hidden.amax(0)
    torch.testing.assert_close(field.layers[1].lower, low - 0.1 * (high - low))
    torch.testing.assert_close(field.layers[1].upper, high + 0.1 * (high - low))


@pytest.mark.parametrize("constant", [0.0, 1e4, -1e4])
def test_constant_units_get_a_range_around_their_number(constant: float) -> None:
    field = KAN(1, 1, [3], 5)
    with torch.no_grad():
        field.layers[0].coef.fill_(constant)
        field.layers[0].base_weight.zero_()
    x = torch.rand(50, 1)
    field.fit_ranges(x)
    layer = field.layers[1]
    assert bool((layer.lower < layer.upper).all())
    assert field.fraction_outside(x) == 0
    assert field(x).isfinite().all()


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_odd_data_leave_the_ranges_alone(odd: float) -> None:
    field, x = KAN(2, 1, [5, 4], 10), torch.rand(20, 2)
    x[3, 1] = odd
    field.fit_ranges(x)
    for layer in field.layers:
        assert layer.lower.eq(-1).all() and layer.upper.eq(1).all()
    assert field(torch.rand(5, 2)).isfinite().all()


def test_outside_of_a_field_is_the_mean_over_its_hidden_layers() -> None:
    field, x = KAN(2, 1, [5, 4], 10), torch.randn(50, 2)
    with torch.no_grad():
        field.layers[0].base_weight.mul_(5)
    hidden = field.layers[0](x)
    fractions = [
        field.layers[1].fraction_outside(hidden),
        field.layers[2].fraction_outside(field.layers[1](hidden)),
    ]
    assert field.fraction_outside(x).item() == pytest.approx(sum(f.item() for f in fractions) / 2)
    assert field.fraction_outside(x) > 0
    assert KAN(2, 1, [])(x).shape == (50, 1) and KAN(2, 1, []).fraction_outside(x) == 0


def test_reset_parameters_reaches_every_layer() -> None:
    field = some_field()
    old = [p.detach().clone() for p in field.parameters()]
    field.reset_parameters()
    assert not any(torch.equal(p, before) for p, before in zip(field.parameters(), old, strict=True))
    assert all(layer.upper.eq(1).all() for layer in field.layers)


def test_refining_a_field_in_training_keeps_it_and_its_optimisers() -> None:
    field = KAN(2, 1, [6, 6], [8, [4, 8], 8])
    matrices = field.muon_parameters()
    others = [p for p in field.parameters() if not any(p is m for m in matrices)]
    optimizers = [Muon(matrices, lr=1e-2), Adam(others, lr=1e-3)]
    x = torch.rand(200, 2) * 2 - 1
    target = (3 * x[:, :1]).sin() * x[:, 1:]

    def step() -> float:
        loss = (field(x) - target).square().mean()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    for _ in range(60):
        last = step()
    before = field(x).detach()
    field.refine(2, iter(optimizers))  # an iterator serves all layers, not the first alone
    assert [layer.levels for layer in field.layers] == [[16], [16, 4], [16]]
    assert_near(field(x), before, 1e-5)
    assert max(step() for _ in range(5)) < 1.3 * last


@pytest.mark.parametrize("name", ["init_noise", "init_frequency"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_starts_are_errors(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="finite and 0 or more"):
        KAN(2, 1, [3], 5, **{name: value})


def test_straight_lines_come_without_a_base() -> None:
    torch.manual_seed(0)
    layer = KANLayer(30, 40, 8, order=2, base=None, init_noise=0.0, init_slope=2.0)
    x = torch.rand(5, 30) * 2 - 1
    steps = [layer(x + shift) for shift in (-0.1, 0.0, 0.1)]  # also beyond the grids, which go on straight
    torch.testing.assert_close(steps[0] + steps[2], 2 * steps[1], rtol=1e-4, atol=1e-4)
    slopes = torch.autograd.functional.jacobian(layer, x[:1]).reshape(40, 30)
    assert slopes.std().item() == pytest.approx(2.0 / 30**0.5, rel=0.1)
