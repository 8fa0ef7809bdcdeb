"""Muon: its orthogonalisation, its step, and what it is given to train."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from kanfield import KAN
from kanfield.fields import Field
from kanfield.fields.mlp import MLP
from kanfield.training.optimizers import Muon, build_optimizers, orthogonalize

A, B, C = 3.4445, -4.7750, 2.0315


def assert_near(mine: Tensor, true: Tensor, tolerance: float) -> None:
    """Equal relative to the largest element."""
    assert mine.shape == true.shape
    assert float((mine - true).abs().max()) <= tolerance * float(true.abs().max())


def newton_schulz(matrix: Tensor) -> Tensor:
    """The iteration as published, on the matrix itself."""
    x = matrix / matrix.norm()
    for _ in range(5):
        gram = x @ x.T
        x = A * x + (B * gram + C * gram @ gram) @ x
    return x


def with_singular_values(values: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    """A matrix, and the singular vectors that it was built of."""
    u = torch.linalg.qr(torch.randn(rows, len(values), dtype=values.dtype))[0]
    v = torch.linalg.qr(torch.randn(columns, len(values), dtype=values.dtype))[0]
    return u * values @ v.T, u, v


@pytest.mark.parametrize(("rows", "columns"), [(60, 8), (8, 60), (12, 12), (5, 1), (1, 5)])
def test_it_is_the_published_iteration(rows: int, columns: int) -> None:
    matrix = torch.randn(rows, columns)
    assert_near(orthogonalize(matrix), newton_schulz(matrix), 1e-4)


@pytest.mark.parametrize(("rows", "columns"), [(60, 8), (8, 60)])
def test_matrices_of_one_shape_do_not_mix(rows: int, columns: int) -> None:
    matrices = torch.randn(3, rows, columns)
    matrices[1] = 0
    together = orthogonalize(matrices)
    assert float(together[1].abs().max()) == 0
    for each, matrix in zip(together, matrices, strict=True):
        torch.testing.assert_close(each, orthogonalize(matrix), rtol=1e-4, atol=1e-5)


def test_it_is_the_published_iteration_on_a_matrix_of_condition_1000() -> None:
    # The Gram matrix squares the condition: in float32 three or four digits are left, bfloat16 has two.
    matrix, _, _ = with_singular_values(torch.logspace(-3, 0, 16, dtype=torch.float64), 200, 16)
    assert_near(orthogonalize(matrix), newton_schulz(matrix), 1e-10)
    assert_near(orthogonalize(matrix.float()).double(), newton_schulz(matrix), 2e-3)


@pytest.mark.parametrize(("rows", "columns"), [(60, 8), (8, 60)])
def test_singular_vectors_stay_and_singular_values_come_near_one(rows: int, columns: int) -> None:
    values = torch.linspace(0.1, 1, 8, dtype=torch.float64)
    matrix, u, v = with_singular_values(values, rows, columns)
    core = u.T @ orthogonalize(matrix) @ v
    assert float((core - core.diag().diag()).abs().max()) < 1e-10
    assert 0.65 < float(core.diag().min()) < float(core.diag().max()) < 1.25


def test_size_of_the_gradient_does_not_matter() -> None:
    matrix = torch.randn(30, 4)
    assert_near(orthogonalize(1e-4 * matrix), orthogonalize(1e3 * matrix), 1e-4)


def test_zero_stays_zero() -> None:
    assert torch.equal(orthogonalize(torch.zeros(6, 3)), torch.zeros(6, 3))


@pytest.mark.parametrize(("rows", "columns"), [(120, 8), (8, 24), (16, 16)])
def test_steps_are_torchs_muon(rows: int, columns: int) -> None:
    weight = torch.randn(rows, columns)
    mine, theirs = (nn.Parameter(weight.clone()) for _ in range(2))
    optimizers = [Muon([mine], lr=0.02), torch.optim.Muon([theirs], lr=0.02, weight_decay=0)]
    for _ in range(4):
        gradient = torch.randn(rows, columns)
        before = mine.detach().clone(), theirs.detach().clone()
        for parameter, optimizer in zip((mine, theirs), optimizers, strict=True):
            parameter.grad = gradient.clone()
            optimizer.step()
        a, b = (p.detach() - old for p, old in zip((mine, theirs), before, strict=True))
        # torch iterates in bfloat16, whose numbers have 8 bits.
        assert float(torch.cosine_similarity(a.flatten(), b.flatten(), dim=0)) > 0.999
        assert 0.98 < float(a.norm() / b.norm()) < 1.02


def test_a_step_leaves_parameters_without_gradient_alone() -> None:
    used, unused = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.ones(4, 3))
    optimizer = Muon([used, unused])
    used.square().sum().backward()
    optimizer.step()
    assert torch.equal(unused, torch.ones(4, 3))


def test_the_gradient_is_not_changed() -> None:
    weight = nn.Parameter(torch.randn(4, 3))
    optimizer = Muon([weight])
    weight.grad = torch.ones(4, 3)
    optimizer.step()
    assert torch.equal(weight.grad, torch.ones(4, 3))


def test_its_state_goes_into_a_checkpoint_and_back() -> None:
    weight = nn.Parameter(torch.randn(9, 3))
    optimizer = Muon([weight], lr=0.05, momentum=0.9)
    gradients = torch.randn(3, 9, 3)
    weight.grad = gradients[0]
    optimizer.step()
    other = nn.Parameter(weight.detach().clone())
    resumed = Muon([other])
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for gradient in gradients[1:]:
        for p, o in ((weight, optimizer), (other, resumed)):
            p.grad = gradient.clone()
            o.step()
    assert torch.equal(weight, other)


def test_step_evaluates_its_closure() -> None:
    # The contract of torch.optim.Optimizer.step.
    weight = nn.Parameter(torch.randn(4, 3))
    optimizer = Muon([weight])

    def closure() -> float:
        with torch.enable_grad():
            loss = weight.square().sum()
            loss.backward()
        return float(loss)

    before = float(weight.detach().square().sum())
    loss = optimizer.step(closure)
    assert loss == pytest.approx(before)
    assert float(weight.detach().square().sum()) < before


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_what_is_no_matrix_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="matrices only"):
        Muon([nn.Parameter(torch.zeros(shape))])


# --- build_optimizers ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["muon", "adam"])
@pytest.mark.parametrize("widths", [[], [8], [8, 8, 8]])
def test_every_parameter_is_trained_once(name: str, widths: list[int]) -> None:
    field = KAN(2, 1, widths, [[4, 8]] * (len(widths) + 1))
    optimizers = build_optimizers(field, name, lr=0.1, adam_lr=0.01)
    trained = [id(p) for o in optimizers for group in o.param_groups for p in group["params"]]
    assert sorted(trained) == sorted(id(p) for p in field.parameters())


def test_muon_trains_hidden_coefficients_and_adam_the_rest() -> None:
    field = KAN(2, 1, [8, 8], [10, [5, 10], 10])
    muon, adam = build_optimizers(field, "muon", lr=0.1, adam_lr=0.01)
    assert isinstance(muon, Muon) and isinstance(adam, torch.optim.Adam)
    hidden = field.layers[1]
    assert {id(p) for p in muon.param_groups[0]["params"]} == {
        id(p) for p in (hidden.coef, *hidden.coarse_coef)
    }
    assert muon.param_groups[0]["lr"] == 0.1
    assert adam.param_groups[0]["lr"] == 0.01


def test_adam_alone_gets_the_rate_that_is_named() -> None:
    (adam,) = build_optimizers(KAN(2, 1, [8, 8]), "adam", lr=0.1, adam_lr=0.01)
    assert adam.param_groups[0]["lr"] == 0.1


def test_fields_that_name_no_matrices_are_adams() -> None:
    (adam,) = build_optimizers(MLP(2, 3, widths=[4]), "muon", lr=0.1, adam_lr=0.01)
    assert isinstance(adam, torch.optim.Adam)
    assert adam.param_groups[0]["lr"] == 0.01


class Stranger(Field):
    """A plug-in's field: complex weights, or options of its own for Adam."""

    def __init__(self, dtype: torch.dtype, adam_options: dict[str, object]) -> None:
        super().__init__()
        self.weight, self.adam_options = nn.Parameter(torch.ones(3, dtype=dtype)), adam_options

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


@pytest.mark.parametrize(
    ("dtype", "options"),
    [(torch.complex64, {}), (torch.float32, {"foreach": True}), (torch.float32, {"eps": 1e-15})],
)
def test_adam_takes_fields_that_its_one_call_cannot(dtype: torch.dtype, options: dict[str, object]) -> None:
    field = Stranger(dtype, options)
    (adam,) = build_optimizers(field, "adam", 1e-2, 1e-2)
    field.weight.abs().square().sum().backward()
    adam.step()
    assert float(field.weight.detach().abs().max()) < 1
