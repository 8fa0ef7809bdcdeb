"""The families beside the KAN: shapes, initialisation, twins of their formulae, gradients, round trips."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from kanfield.comparison.equal_parameters import match_parameters
from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.encodings import grid_encode
from kanfield.errors import InputError
from kanfield.fields import Field, Recipe, build_field, family_names, find_family, register
from kanfield.fields.finer import Finer
from kanfield.fields.hashgrid import HashGrid
from kanfield.fields.kan_fourier import FourierLayer
from kanfield.fields.kan_rbf import RBFLayer
from kanfield.fields.mlp import MLP
from kanfield.fields.registry import forget, resize_widths
from kanfield.fields.rff import RFF
from kanfield.fields.siren import Siren
from kanfield.fields.wire import Wire
from kanfield.training.optimizers import build_optimizers

HERE = [name for name in family_names() if not name.startswith("tcnn")]
SMALL = {
    "kan": {"widths": [8, 8], "grids": [8, 4, 4]},
    "kan-rbf": {"widths": [8, 8], "grids": [8, 4, 4]},
    "kan-fourier": {"widths": [8, 8], "grids": [8, 4, 4]},
}


def small(name: str, outputs: int = 3) -> nn.Module:
    return build_field(name, 2, outputs, SMALL.get(name, {"widths": [8, 8]}))


@pytest.mark.parametrize("name", HERE)
def test_a_field_maps_coordinates_to_values(name):
    y = small(name)(torch.rand(50, 2) * 2 - 1)
    assert y.shape == (50, 3)
    assert y.dtype == torch.float32
    assert torch.isfinite(y).all()


@pytest.mark.parametrize("name", HERE)
def test_the_same_seed_gives_the_same_field(name):
    x, ys = torch.rand(10, 2), []
    for _ in range(2):
        torch.manual_seed(7)
        ys.append(small(name)(x))
    assert torch.equal(*ys)


# FINER's authors stop the gradient of a factor, so differences disagree: it has a test of its own.
@pytest.mark.parametrize("name", [name for name in HERE if name != "finer"])
def test_gradients_are_right_in_double_precision(name):
    field = small(name, outputs=1).double()
    x = torch.rand(5, 2, dtype=torch.float64)
    for parameter in field.parameters():
        parameter.requires_grad_(False)
    x.requires_grad_()
    assert torch.autograd.gradcheck(field, (x,), atol=1e-4)


@pytest.mark.parametrize("name", HERE)
def test_every_parameter_learns(name):
    field = small(name)
    field(torch.rand(256, 2) * 2 - 1).square().sum().backward()
    for key, parameter in field.named_parameters():
        if (name, key) == ("wire", "others.1.imaginary.bias"):
            continue  # only the real part is given
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", HERE)
@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_a_step_of_either_optimiser_lowers_the_loss(name, optimizer):
    field, x = small(name), torch.rand(256, 2) * 2 - 1
    target = torch.sin(3 * x.sum(1, keepdim=True)).expand(-1, 3)
    recipe = find_family(name).recipe(optimizer)
    optimizers = build_optimizers(field, optimizer, recipe.lr / 10, (recipe.adam_lr or recipe.lr) / 10)
    losses = []
    for _ in range(20):
        loss = (field(x) - target).square().mean()
        field.zero_grad()
        loss.backward()
        for one in optimizers:
            one.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", HERE)
def test_muon_trains_matrices_of_the_field(name):
    field = small(name)
    own = {id(p) for p in field.parameters()}
    matrices = field.muon_parameters()
    assert matrices
    assert all(id(m) in own and m.ndim == 2 for m in matrices)


@pytest.mark.parametrize("name", HERE)
def test_a_field_is_copied_pickled_and_cast(name):
    field, x = small(name), torch.rand(10, 2)
    for twin in (copy.deepcopy(field), pickle.loads(pickle.dumps(field))):
        assert torch.equal(twin(x), field(x))
    fresh = small(name)
    fresh.load_state_dict(field.state_dict())
    assert torch.equal(fresh(x), field(x))
    assert field.double()(x.double()).dtype == torch.float64


def test_siren_is_a_chain_of_sines():
    field = Siren(2, 1, widths=[16, 16], omega_0=40, hidden_omega_0=20)
    x = torch.rand(9, 2)
    first, second = field.hidden
    z = torch.sin(40 * (x @ first.weight.T + first.bias))
    z = torch.sin(20 * (z @ second.weight.T + second.bias))
    assert torch.allclose(field(x), z @ field.last.weight.T + field.last.bias, atol=1e-6)


def test_siren_starts_within_its_authors_bounds():
    field = Siren(2, 1, widths=[256, 256])
    first, second = (layer.weight.abs().max().item() for layer in field.hidden)
    assert 0.45 < first <= 1 / 2
    assert 0.95 < second / (math.sqrt(6 / 256) / 30) <= 1
    # Activations of every layer have the same spread, which is the point of that start.
    spreads, z = [], torch.rand(2000, 2) * 2 - 1
    for number, layer in enumerate(field.hidden):
        z = field.activate(layer(z), number)
        spreads.append(z.std().item())
    assert spreads == pytest.approx([math.sqrt(0.5)] * 2, abs=0.06)


def test_fourier_features_have_the_frequencies_that_sigma_says():
    field = RFF(2, 1, widths=[8], frequencies=4000, sigma=7.0)
    cycles = field.directions / torch.pi  # angles run over 2 in coordinates: cycles over the longer side
    assert cycles.std().item() == pytest.approx(7.0, rel=0.05)


def test_finer_is_its_formula_and_stops_the_gradient_of_the_factor():
    field = Finer(1, 1, widths=[3], omega_0=4.0, first_bias=2.0).double()
    x = torch.rand(6, 1, dtype=torch.float64, requires_grad=True)
    z = field.hidden[0](x)
    factor = 4.0 * (z.abs() + 1)
    y = torch.sin(factor * z) @ field.last.weight.T + field.last.bias
    assert torch.allclose(field(x), y)
    (got,) = torch.autograd.grad(field(x).sum(), x)
    expected = (torch.cos(factor * z) * factor * field.last.weight) @ field.hidden[0].weight
    assert torch.allclose(got, expected)


def test_wire_is_its_formula_in_complex_numbers():
    field = Wire(2, 1, widths=[6, 6], omega_0=11.0, scale=3.0).double()
    x = torch.rand(7, 2, dtype=torch.float64)
    z = field.first(x).to(torch.cdouble)
    for layer in field.others:
        z = torch.exp(1j * 11.0 * z - (3.0 * z.abs()) ** 2)
        weight = layer.real.weight + 1j * layer.imaginary.weight
        z = z @ weight.T + layer.real.bias + 1j * layer.imaginary.bias
    assert torch.allclose(field(x), z.real)


def test_levels_of_a_hash_grid_grow_and_are_hashed_where_they_outgrow_their_tables():
    encoding = HashGrid(2, 1, levels=4, log2_hashmap_size=8, base_resolution=5, per_level_scale=1.7).encoding
    sides = [math.ceil(5 * 1.7**level) for level in range(4)]
    assert (encoding.layout[:, :2] + 1).tolist() == [[side, side] for side in sides]
    assert encoding.layout[:, 2].tolist() == [25, 81, 225, 256] and sides[3] ** 2 > 256
    assert encoding.order == 1 and 0 < encoding.table.abs().max() <= 1e-4


def test_a_hash_grid_is_its_features_and_an_mlp():
    field, x = HashGrid(2, 3, levels=3, widths=[8]), torch.rand(20, 2) * 2 - 1
    assert torch.equal(
        field(x), field.network(grid_encode(x, field.encoding.table, field.encoding.layout, 1))
    )


@pytest.mark.parametrize("name", ["kan", "hashgrid"])
def test_a_field_with_kernels_names_what_computes_it(name, backend):
    assert small(name).backend == backend


def test_edges_of_the_other_kans_are_their_formulae():
    x = torch.rand(5, 2)
    layer = FourierLayer(2, 3, harmonics=4)
    a, b = layer.coef.reshape(2, 2, 4, 3).unbind(1)
    k = torch.arange(1, 5)
    expected = sum(
        a[i, j] * torch.cos(k[j] * x[:, i, None]) + b[i, j] * torch.sin(k[j] * x[:, i, None])
        for i in range(2)
        for j in range(4)
    )
    assert torch.allclose(layer(x), expected + layer.bias, atol=1e-5)
    layer = RBFLayer(2, 3, centres=5, normalize=False)
    bells = sum(
        layer.coef.reshape(2, 5, 3)[i, j] * torch.exp(-(((x[:, i, None] - layer.centres[j]) / 0.5) ** 2))
        for i in range(2)
        for j in range(5)
    )
    assert torch.allclose(layer(x), bells + layer.base(nn.functional.silu(x)), atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu", "gelu"])
def test_an_mlp_keeps_the_spread_of_its_inputs(activation):
    field = MLP(64, 1, widths=[512] * 3, activation=activation)
    z = torch.randn(1000, 64)
    for number, layer in enumerate(field.linear_layers()):
        z = field.activate(layer(z), number)
    assert 0.2 < z.square().mean().sqrt() < 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sirene", {}, "did you mean siren"),
        ("siren", {"omega": 1.0}, "did you mean omega_0"),
        ("mlp", {"activation": "sine"}, "activation sine is none of"),
        ("mlp", {"widths": []}, "units in every layer"),
        ("hashgrid", {"log2_hashmap_size": 99}, "between 1 and 30"),
        ("hashgrid", {"per_level_scale": 0.9}, "per_level_scale at 1"),
        ("hashgrid", {"per_level_scale": 1e300}, "more than 4,194,304 vertices"),
        ("hashgrid", {"features": 3}, r"features is one of \(1, 2, 4, 8\)"),
        ("rff", {"sigma": -1.0}, "above zero"),
        ("wire", {"widths": [0]}, "units in every layer"),
        ("kan-rbf", {"widths": [8], "grids": [8]}, "1 hidden layers need 2 grids"),
        ("kan-fourier", {"widths": [8], "grids": [8, 0]}, "starts at 1"),
        ("posenc", {"levels": 0}, "levels must be 1 or more"),
        ("gauss", {"scale": 0.0}, "scale must be above zero"),
        ("finer", {"first_bias": -1.0}, "first_bias must be zero or more"),
    ],
)
def test_impossible_fields_are_refused_in_words(name, options, message):
    with pytest.raises(InputError, match=message):
        build_field(name, 2, 1, options)


@pytest.mark.parametrize("inputs", [1, 3])
def test_a_hash_grid_is_of_the_plane(inputs):
    with pytest.raises(InputError, match=f"--model hashgrid: a hash grid takes 2 coordinates, got {inputs}"):
        build_field("hashgrid", inputs, 1, {})


def test_a_registered_class_is_a_family():
    @register("flat", "one colour", [Recipe("adam", 1e-2)])
    class Flat(Field):
        def __init__(self, in_features: int, out_features: int, scale: float = 2.0) -> None:
            super().__init__()
            self.colour = nn.Parameter(torch.full((out_features,), scale))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.colour.expand(len(x), -1)

    try:
        assert "flat" in family_names()
        assert find_family("flat").options == {"scale": 2.0}
        assert build_field("flat", 2, 1, {"scale": 3.0})(torch.rand(4, 2)).tolist() == [[3.0]] * 4
    finally:
        forget("flat")
    assert "flat" not in family_names()


def test_hooks_that_a_family_does_not_have_do_nothing():
    field, x = Siren(2, 1, widths=[4]), torch.rand(5, 2)
    before = copy.deepcopy(field.state_dict())
    field.fit_ranges(x)
    field.smooth_coefficients(0.1)
    assert all(torch.equal(value, before[name]) for name, value in field.state_dict().items())
    assert field.fraction_outside(x) == 0 and field.backend == "torch" and not field.adam_options


@pytest.fixture
def plug_in():
    """Registers a builder under a name that is taken back afterwards."""
    names = []

    def add(build, **keywords):
        names.append(build.__name__)
        register(build.__name__, "for a test", **keywords)(build)
        return build.__name__

    yield add
    for name in names:
        forget(name)


def test_what_is_no_module_is_refused_in_words(plug_in):
    def stranger(in_features: int, out_features: int):
        return [in_features, out_features]

    with pytest.raises(InputError, match=r"--model stranger builds a list: derive it from kanfield.*Field"):
        build_field(plug_in(stranger), 2, 1, {})


def test_a_plain_module_is_a_field(plug_in):
    def stranger(in_features: int, out_features: int):
        return nn.Linear(in_features, out_features)

    field = build_field(plug_in(stranger), 2, 1, {})
    assert isinstance(field, Field) and field(torch.zeros(7, 2)).shape == (7, 1)


def test_annotations_that_cannot_be_read_leave_options_untyped(plug_in):
    def waves(in_features: int, out_features: int, count: NotImported = 3):  # noqa: F821
        return Siren(in_features, out_features, widths=[count])

    name = plug_in(waves)
    assert find_family(name).hints == {} and find_family(name).options == {"count": 3}
    stats = ImageStats(8, 8, seen=64, channels=1)
    settings = resolve(Settings(model=name, options={"count": 5}), stats)
    assert settings.options == {"count": 5}


def test_a_family_without_resize_is_refused_under_equal_parameters(plug_in):
    def waves(in_features: int, out_features: int, count: int = 3):
        return Siren(in_features, out_features, widths=[count])

    settings = Settings(model=plug_in(waves), options={"count": 3})
    with pytest.raises(InputError, match=r"--equal-parameters: waves does not say how to resize it"):
        match_parameters(settings, 1, 1000)


@pytest.mark.parametrize("factor", [0.3, 0.5, 2.5])
def test_tinycudanns_families_are_resized_to_what_it_can_build(factor):
    widths = find_family("tcnn-mlp").resize({"widths": [128, 128, 128]}, factor)["widths"]
    assert len(set(widths)) == 1 and widths[0] == pytest.approx(128 * factor**0.5, rel=0.01)
    size = find_family("tcnn-hashgrid").resize({"log2_hashmap_size": 15}, factor)["log2_hashmap_size"]
    assert isinstance(size, int) and abs(size - 15 - math.log2(factor)) <= 0.5


@pytest.mark.parametrize("factor", [0.1, 0.5, 3.0])
def test_scaled_widths_scale_the_parameters(factor):
    widths = [100, 100, 100]
    before = sum(p.numel() for p in MLP(2, 1, widths).parameters())
    after = sum(p.numel() for p in MLP(2, 1, **resize_widths({"widths": widths}, factor)).parameters())
    assert after / before == pytest.approx(factor, rel=0.1)


def test_finer_has_its_true_derivatives_in_evaluation_mode_and_the_authors_in_training():
    torch.manual_seed(0)
    field = build_field("finer", 2, 1, {"widths": [8, 8], "omega_0": 2.0}).double()
    points = torch.rand(20, 2, dtype=torch.float64, requires_grad=True)
    shift = torch.tensor([1e-5, 0.0], dtype=torch.float64)
    true = (field(points + shift) - field(points - shift))[:, 0] / 2e-5
    slopes = {}
    for training in (True, False):
        (slopes[training],) = torch.autograd.grad(field.train(training)(points).sum(), points)
    torch.testing.assert_close(slopes[False][:, 0], true.detach(), rtol=1e-6, atol=1e-6)
    assert (slopes[True][:, 0] - true).abs().max() > 0.02
