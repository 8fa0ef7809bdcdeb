"""KAN fields on grids of features, alone and beside directions."""

from __future__ import annotations

import pytest
import torch

from kanfield import KAN
from kanfield.config.presets import encoding_of
from kanfield.splines import use_backend
from kanfield.training.optimizers import build_optimizers

GRIDS = {"resolutions": [(6, 4), (12, 8), (40, 27)], "features": 2, "entries": 150, "extent": (1.0, 0.67)}


def points(count: int = 40) -> torch.Tensor:
    return (torch.rand(count, 2) * 2 - 1) * torch.tensor([1.0, 0.67])


def on_grids(**others: object) -> KAN:
    return KAN(2, 3, [8], 5, **{"order": 2, **GRIDS, **others})


def beside_directions(**others: object) -> KAN:
    return KAN(2, 3, [4, 8], [16, 5, 5], order=2, num_directions=6, init_frequency=3.0, **{**GRIDS, **others})


def test_layers_see_the_features() -> None:
    field, x = on_grids(), points()
    assert field.encoding == "grid" and field.layers[0].in_features == 6
    torch.testing.assert_close(field(x), field.layers[1](field.layers[0](field.grid(x))))
    assert field(x.reshape(4, 10, 2)).shape == (4, 10, 3)


def test_beside_directions_the_second_layer_sees_both() -> None:
    field, x = beside_directions(), points()
    assert field.encoding == "both" and [layer.in_features for layer in field.layers] == [6, 4 + 6, 8]
    first = field.layers[0](x @ field.axes)
    torch.testing.assert_close(
        field(x), field.layers[2](field.layers[1](torch.cat([first, field.grid(x)], 1)))
    )
    before = field.layers[0].lower.clone()
    field.fit_ranges(x)
    assert torch.equal(field.layers[0].lower, before) and float(field.fraction_outside(x)) == 0


@pytest.mark.parametrize("build", [on_grids, beside_directions])
def test_ranges_follow_the_features(build) -> None:
    field, x = build(), points(400)
    with torch.no_grad():
        field.grid.table.mul_(30)
    assert float(field.fraction_outside(x)) > 0.05
    field.fit_ranges(x)
    assert float(field.fraction_outside(x)) == 0


def test_refinement_keeps_the_function() -> None:
    field, x = on_grids().double(), points().double()
    before = field(x)
    field.refine(2)
    torch.testing.assert_close(field(x), before, rtol=1e-10, atol=1e-12)


def test_fresh_parameters_are_others_of_the_same_size() -> None:
    field, x = on_grids(), points()
    before, table = field(x), field.grid.table.detach().clone()
    field.reset_parameters()
    assert not torch.equal(field(x), before)
    assert float(field.grid.table.detach().abs().max()) <= 0.1 and not torch.equal(field.grid.table, table)


@pytest.mark.parametrize("build", [on_grids, beside_directions])
def test_every_parameter_is_trained_and_muon_has_the_hidden_layers(build) -> None:
    torch.manual_seed(0)
    field, x = build(), points(300)
    field.fit_ranges(x)
    before = {name: p.detach().clone() for name, p in field.named_parameters()}
    optimizers = build_optimizers(field, "muon", 1e-2, 1e-2)
    hidden = field.layers[:-1] if build is on_grids else field.layers[1:-1]
    assert [id(p) for p in optimizers[0].param_groups[0]["params"]] == [id(layer.coef) for layer in hidden]
    assert optimizers[1].param_groups[0]["betas"] == (0.9, 0.99)
    field(x).square().mean().backward()
    for optimizer in optimizers:
        optimizer.step()
    assert all(not torch.equal(p, before[name]) for name, p in field.named_parameters())


def test_the_laplacian_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    field = on_grids(order=3, interpolation=3, init_noise=1.0).double()
    with torch.no_grad():
        field.grid.table.mul_(10)
    field.fit_ranges(points(400).double())
    x = points(20).double().requires_grad_()
    (slope,) = torch.autograd.grad(field(x)[:, 0].sum(), x, create_graph=True)
    bends = [torch.autograd.grad(slope[:, axis].sum(), x, retain_graph=True)[0][:, axis] for axis in (0, 1)]
    step = 1e-4
    for axis, bend in enumerate(bends):
        shift = torch.zeros(2, dtype=torch.float64)
        shift[axis] = step
        with torch.no_grad():
            centre = field(x)[:, 0]
            difference = (field(x + shift)[:, 0] - 2 * centre + field(x - shift)[:, 0]) / step**2
        torch.testing.assert_close(bend, difference, rtol=5e-3, atol=0.5)


@pytest.mark.needs("native core")
def test_backends_give_the_same_field_and_gradients() -> None:
    torch.manual_seed(0)
    field, x = beside_directions(), points(100)
    results = []
    for backend in ("native", "reference"):
        field.zero_grad()
        with use_backend(backend):
            y = field(x)
            y.square().sum().backward()
        results.append([y, *(p.grad for p in field.parameters())])
    for mine, true in zip(*results, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-4, atol=1e-5)


def test_half_precision_of_products_leaves_the_grids_alone() -> None:
    torch.manual_seed(0)
    field, rounded, x = on_grids(), on_grids(precision="bf16"), points()
    rounded.load_state_dict(field.state_dict())
    assert torch.equal(rounded.grid(x), field.grid(x))
    assert rounded(x).dtype == torch.float32 and not torch.equal(rounded(x), field(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_features": 3}, "resolutions: grids are of the plane"),
        ({"widths": [], "grids": 5, "num_directions": 4}, "directions beside grids need a hidden layer"),
        ({"resolutions": [(0, 4)]}, "resolutions are pairs of cells"),
        ({"grids": [20_000, 8]}, "grids of layers that see no coordinates take up to"),
        ({"features": 3}, "features is one of"),
        ({"entries": 0}, "entries lies between"),
        ({"interpolation": 4}, "order 4 is not one of"),
        ({"extent": (1.0, 0.0)}, "extent is two numbers above 0"),
    ],
)
def test_impossible_grids_are_errors(options: dict, message: str) -> None:
    arguments = {"in_features": 2, "out_features": 3, "widths": [8], "grids": 5, **GRIDS, **options}
    with pytest.raises(ValueError, match=message):
        KAN(**arguments)


@pytest.mark.parametrize(
    ("options", "encoding"),
    [
        ({}, None),
        ({"widths": [8]}, None),
        ({"num_directions": 0}, "none"),
        ({"num_directions": 4}, "directions"),
        ({"resolutions": [[4, 4]]}, "grid"),
        ({"resolutions": [[4, 4]], "num_directions": 4}, "both"),
    ],
)
def test_options_say_which_encoding_they_are_of(options: dict, encoding: str | None) -> None:
    assert encoding_of(options) == encoding


def test_smoothing_pulls_fine_levels_towards_zero() -> None:
    field = on_grids()
    before, layers = (
        field.grid.table.detach().clone(),
        [layer.coef.detach().clone() for layer in field.layers],
    )
    field.smooth_coefficients(0.01)
    sizes = field.grid.layout[:, 2].tolist()
    ratios = [
        float((after / old).mean())
        for after, old in zip(field.grid.table.detach().split(sizes), before.split(sizes), strict=True)
    ]
    assert ratios == sorted(ratios, reverse=True) and 1 > ratios[0] > 0.98
    assert ratios[-1] == pytest.approx(torch.exp(torch.tensor(-0.2)).item(), rel=1e-4)  # 20 times 0.01
    assert all(torch.equal(layer.coef, old) for layer, old in zip(field.layers, layers, strict=True))
