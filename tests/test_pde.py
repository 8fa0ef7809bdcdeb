"""Derivatives, Jacobians, Levenberg-Marquardt, points, references and checks of ``kanfield.pde``."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from kanfield.errors import InputError, RunFailed
from kanfield.fields import build_field
from kanfield.fields.kan import KAN
from kanfield.pde import Condition, Problem, Reference
from kanfield.pde.checks import check_problem, check_reference, prescribed
from kanfield.pde.floor import difference, fit_reference
from kanfield.pde.growth import growth_weights
from kanfield.pde.jacobian import jacobian, reference_jacobian
from kanfield.pde.jets import field_jet, jet_of
from kanfield.pde.outer import solve_outer_layer
from kanfield.pde.plan import build
from kanfield.pde.problem import solution
from kanfield.pde.problems import spectral
from kanfield.pde.problems.cache import cache_folder, cached
from kanfield.pde.problems.catalogue import PROBLEMS, darcy_solution
from kanfield.pde.problems.references import find_reference, until
from kanfield.pde.sampling import adaptive_points, face_points, inside_points
from kanfield.pde.settings import SolveSettings
from kanfield.pde.system import System
from kanfield.splines import use_backend

BACKENDS = ["reference", pytest.param("native", marks=pytest.mark.needs("native core"))]


def fields():
    """Fields of two inputs in double precision, with splines far from straight."""
    torch.manual_seed(0)
    small = {"init_noise": 0.5}
    return {
        "deep": KAN(2, 1, widths=[4, 3], grids=[5, 8, 6], **small),
        "directions": KAN(2, 1, widths=[4], grids=[5, 8], num_directions=3, order=5, **small),
        "no base": KAN(2, 1, widths=[4], grids=5, base=None, order=2, **small),
        "nested": KAN(2, 1, widths=[3], grids=[[3, 6], 4], **small),
        "mlp": build_field("mlp", 2, 1, {"widths": [7, 7], "activation": "tanh"}),
        "siren": build_field("siren", 2, 1, {"widths": [7]}),
        "finer": build_field("finer", 2, 1, {"widths": [7, 6], "omega_0": 2.0}).eval(),
        "gauss": build_field("gauss", 2, 1, {"widths": [7], "scale": 1.0}),
        "rff": build_field("rff", 2, 1, {"widths": [6, 5], "activation": "tanh", "sigma": 0.5}),
        "posenc": build_field("posenc", 2, 1, {"widths": [6], "levels": 2}),
        "wire": build_field("wire", 2, 1, {"widths": [5], "omega_0": 3.0, "scale": 2.0}),
    }


DENSE = "mlp", "siren", "finer", "gauss", "rff", "posenc"


def waves(points):
    """Features that are curved, and reach past the grids, which end at 1."""
    return torch.stack([1.2 * torch.cos(2 * points[:, 0]) * points[:, 1], points[:, 1]], 1)


def nonlinear():
    return Problem(
        box={"x": (-1, 1), "t": (-1, 1)},
        residual=lambda u, x, t: u.dt - u**3 + u * u.dxx + torch.sin(x) * u.dx,
        conditions=[Condition(lambda u, x, t: u.dx + u, on="boundary")],
        constraint=lambda x, t: (torch.exp(x * t), (1 + t) * (2 - x**2)),
        features=lambda x, t: waves(torch.stack([x, t], 1)).unbind(1),
    )


# ---- derivatives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["deep", "directions", "no base", "nested", *DENSE, "wire"])
def test_jets_are_those_of_double_backward(name, backend):
    field = fields()[name].double()
    points = 2 * torch.rand(40, 2, dtype=torch.float64) - 1
    with use_backend(backend):
        ours = field_jet(field, jet_of(waves, points))
        twin = jet_of(lambda p: field(waves(p)), points)
        for mine, theirs in zip(ours, twin, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)
        weights = [torch.rand_like(part) for part in ours]
        gradients = [
            torch.autograd.grad(
                sum((w * part).sum() for w, part in zip(weights, jet, strict=True)), list(field.parameters())
            )
            for jet in (ours, twin)
        ]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_torch_still_gets_the_third_derivative_of_layer_norm_wrong():
    """Once it does not, ``kanfield.pde.plan.build`` need not refuse families with one."""
    torch.manual_seed(0)
    norm, last = torch.nn.LayerNorm(4).double(), torch.randn(4, dtype=torch.float64)
    x = torch.randn(2, dtype=torch.float64)

    def bend(scale):
        """Second derivative along x at scale * x."""
        first = torch.outer(x, torch.arange(1.0, 5.0, dtype=torch.float64)).sin()
        at = (scale * x).requires_grad_()
        (slope,) = torch.autograd.grad(torch.sin(norm(at @ first)) @ last, at, create_graph=True)
        return torch.autograd.grad(slope @ x, at, create_graph=True)[0] @ x

    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(bend(scale), scale)
    true = (bend(scale.detach() + 1e-5) - bend(scale.detach() - 1e-5)) / 2e-5
    assert abs(float(found.detach()) - float(true)) > 1e-3


def test_jets_of_points_alone_do_not_need_gradients_switched_on():
    points = torch.tensor([[3.0, 2.0]])
    with torch.no_grad():
        assert jet_of(lambda p: p[:, :1] ** 2, points).first.flatten().tolist() == [6.0, 0.0]


def test_the_jet_of_a_constrained_solution_is_that_of_the_formula():
    problem, field = nonlinear(), fields()["mlp"].double()
    points = inside_points(problem, 20, 0)
    samples = problem.samples(points)
    ours = solution(field_jet(field, samples.features), samples)

    def formula(p):
        lift, mask = problem.hold(p).unbind(1)
        return (lift + mask * field(problem.see(p))[:, 0])[:, None]

    for mine, theirs in zip(ours, jet_of(formula, points), strict=True):
        torch.testing.assert_close(mine, theirs)


# ---- Jacobians -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deep", "directions", "no base", "nested", *DENSE, "wire"])
def test_jacobians_are_those_of_torch_func_and_of_backward(name):
    problem, field = nonlinear(), fields()[name].double()
    points = inside_points(problem, 30, 1)
    system = System(problem, field, points, [face_points(problem, problem.conditions[0], 8, 2)])
    r, matrix = system.jacobian(system.parameters)
    assert matrix.shape == (38, sum(p.numel() for p in field.parameters()))
    torch.testing.assert_close(r, system.rows().detach())
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(system.loss(), field.parameters())])
    torch.testing.assert_close(matrix.T @ r, gradient, rtol=1e-9, atol=1e-11)
    samples = problem.samples(points)
    for mine, theirs in zip(
        jacobian(field, samples, lambda u, s: (u.value * u.second[0])[:, 0] + s.points[:, 0]),
        reference_jacobian(field, samples, lambda u, s: (u.value * u.second[0])[:, 0] + s.points[:, 0]),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


def test_a_family_that_torch_cannot_differentiate_sample_by_sample_is_refused():
    class Products(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.rand(2, 2, dtype=torch.float64))

        def forward(self, x):
            for _ in range(2):
                x = torch.nn.functional.linear(torch.exp(1j * x), torch.complex(self.weight, self.weight))
            return x.real.sum(1, keepdim=True)

    problem = PROBLEMS["poisson-2d"]
    with pytest.raises(InputError, match=r"sample by sample.*give lbfgs or adam"):
        System(problem, Products(), inside_points(problem, 5, 0)).jacobian(torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("model", [*DENSE, "wire"])
def test_equations_see_the_true_derivatives_of_every_family(model):
    problem = PROBLEMS["poisson-2d"]
    field = build(problem, SolveSettings("poisson-2d", model=model), {"widths": [6, 5]})
    points = torch.rand(20, 2, dtype=torch.float64)
    shift = torch.tensor([1e-7, 0.0], dtype=torch.float64)
    true = (field(points + shift) - field(points - shift)) / 2e-7
    first = field_jet(field, jet_of(lambda p: p, points)).first[0]
    torch.testing.assert_close(first, true, rtol=1e-4, atol=1e-5)


# ---- Levenberg-Marquardt -------------------------------------------------------------------------


def test_the_outer_layer_of_a_linear_problem_is_one_least_squares_problem():
    torch.manual_seed(0)
    problem, field = PROBLEMS["poisson-2d"], KAN(2, 1, widths=[20], grids=5, init_noise=0.3).double()
    system = System(problem, field, inside_points(problem, 400, 0), [])
    before = system.parameters
    r, matrix = system.jacobian(before)
    outer = sum(p.numel() for p in list(field.parameters())[-2:])
    columns = matrix[:, -outer:]
    best = torch.linalg.lstsq(columns, -r[:, None], driver="gelsd").solution[:, 0]
    solve_outer_layer(system)
    assert float(system.rows().detach().norm()) < 1.001 * float((r + columns @ best).norm())
    assert torch.equal(system.parameters[:-outer], before[:-outer])


@pytest.mark.parametrize("name", ["deep", "directions", "no base", "nested"])
def test_the_outer_layer_s_columns_alone_are_those_of_the_whole_jacobian(name):
    problem, field = nonlinear(), fields()[name].double()
    points = inside_points(problem, 30, 1)
    system = System(problem, field, points, [face_points(problem, problem.conditions[0], 8, 2)])
    r, matrix = system.jacobian(system.parameters)
    rows, columns = (torch.cat(parts) for parts in zip(*system.outer_blocks(100), strict=True))
    size = sum(p.numel() for p in field.layers[-1].parameters())
    assert columns.shape == (38, size)
    assert torch.equal(rows, r) and torch.equal(columns, matrix[:, -size:])


def test_a_residual_that_branches_on_values_is_refused_in_words():
    problem, field = nonlinear(), fields()["wire"].double()

    def branches(u, samples):
        return u.value[:, 0] if samples.points.max() > 0 else -u.value[:, 0]

    with pytest.raises(InputError, match=r"torch\.where in place of if"):
        jacobian(field, problem.samples(inside_points(problem, 8, 1)), branches)


def test_the_outer_layer_is_solved_in_blocks_where_its_matrix_is_too_large(monkeypatch):
    def solved(most):
        torch.manual_seed(0)
        field = KAN(2, 1, widths=[4], grids=5, init_noise=0.3).double()
        problem = nonlinear()
        monkeypatch.setattr("kanfield.pde.outer._MOST", most)
        monkeypatch.setattr("kanfield.pde.system.jacobian", counted)
        system = System(PROBLEMS["poisson-2d"], field, inside_points(problem, 400, 0))
        solve_outer_layer(system)
        return float(system.rows().detach().norm())

    def counted(field, samples, residual, outer=False):
        r, matrix = jacobian(field, samples, residual, outer)
        seen.append(matrix.numel())
        return r, matrix

    seen = []
    whole = solved(2**27)
    assert seen == [400 * 36]  # and not the columns of all parameters
    seen.clear()
    assert solved(4000) == pytest.approx(whole, rel=1e-9)
    assert len(seen) > 5 and max(seen) <= 4000
    seen.clear()
    solved(1000)  # not even a triangle has room
    assert not seen


# ---- points --------------------------------------------------------------------------------------


def test_points_fill_the_box_and_the_faces():
    problem = Problem(box={"x": (2, 5), "t": (0, 4)}, residual=lambda u, x, t: u)
    points = inside_points(problem, 256, 3, until=0.25)
    assert points.min(0).values.tolist() == pytest.approx([2, 0], abs=0.05)
    assert points.max(0).values.tolist() == pytest.approx([5, 1], abs=0.05)
    halves = (points[:, 0] < 3.5).sum()
    assert abs(int(halves) - 128) <= 2  # Sobol's are more even than random ones
    assert torch.equal(points, inside_points(problem, 256, 3, until=0.25))
    ends = face_points(problem, Condition(lambda u, x, t: u), 20, 0)
    assert set(ends[:, 0].tolist()) == {2.0, 5.0} and len(ends) == 20
    start = face_points(problem, Condition(lambda u, x, t: u, on="start"), 20, 0)
    assert set(start[:, 1].tolist()) == {0.0}


def test_adaptive_points_go_where_the_residual_is():
    problem = Problem(box={"x": (0, 1), "y": (0, 1)}, residual=lambda u, x, y: u)
    points = adaptive_points(problem, 1000, 0, 1.0, lambda p: (p[:, 0] < 0.1).double())
    share = float((points[:, 0] < 0.1).double().mean())
    assert share == pytest.approx(0.1 / 2 + 1 / 2, abs=0.25) and share > 0.3
    assert len(points.unique(dim=0)) == 1000


def test_adaptive_points_name_the_place_where_the_residual_is_no_number():
    problem = Problem(box={"x": (0, 1), "t": (0, 1)}, residual=lambda u, x, t: u, name="mine")
    with pytest.raises(RunFailed, match=r"mine: the residual is not finite at x = 0\.\d+, t = .*--seed"):
        adaptive_points(problem, 10, 0, 1.0, lambda p: torch.log(p[:, 0] - 0.5))


# ---- weights -------------------------------------------------------------------------------------


def test_weights_are_the_norms_of_what_residuals_do_to_the_solution_later():
    """u_t = 5 u - 5 u^3 has a formula: its derivative in an early value is what a disturbance becomes."""
    problem = Problem(box={"x": (0, 1), "t": (0, 1)}, residual=lambda u, x, t: 2 * (u.dt - 5 * u + 5 * u**3))

    def flow(start, span):
        growth = torch.exp(5 * span)
        return start * growth / torch.sqrt(1 + start**2 * (growth**2 - 1))

    def jet_at(points):
        return jet_of(lambda p: flow(0.9 * p[:, :1], p[:, 1:]), points)

    points = torch.tensor([[0.01, 0.0], [0.3, 0.0], [0.9, 0.0], [0.01, 0.5], [0.9, 0.7]], dtype=torch.float64)
    found = growth_weights(problem, jet_at, points)
    norms = []
    for x, t in points.tolist():
        spans = torch.linspace(0, 1 - t, 2001, dtype=torch.float64)
        early = flow(*torch.tensor([0.9 * x, t], dtype=torch.float64)).repeat(2001).requires_grad_()
        (slope,) = torch.autograd.grad(flow(early, spans).sum(), early)
        norms.append(float(torch.trapezoid(slope**2, spans)))
    expected = torch.tensor(norms, dtype=torch.float64)
    expected = (expected / expected.mean() + 0.01).sqrt()
    expected /= expected.square().mean().sqrt()
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)
    assert float(found[0] / found[2]) > 10


@pytest.mark.parametrize(
    "residual", [lambda u, x, t: u.dtt - u.dxx + u, lambda u, x, t: u.dxx + u, lambda u, x, t: x * u.dt - u]
)
def test_equations_without_a_rate_of_growth_are_not_weighted(residual):
    problem = Problem(box={"x": (0, 1), "t": (0, 1)}, residual=residual)
    points = torch.tensor([[0.0, 0.5], [0.5, 0.1]], dtype=torch.float64)
    found = growth_weights(problem, lambda p: jet_of(lambda q: q[:, :1] * q[:, 1:], p), points)
    assert found.tolist() == [1, 1]


def test_weights_of_a_system_scale_rows_and_jacobian_alike():
    problem, field = nonlinear(), fields()["deep"].double()
    points, face = inside_points(problem, 10, 1), face_points(problem, problem.conditions[0], 4, 2)
    weights = torch.linspace(0.5, 2, 10, dtype=torch.float64)
    plain, scaled = (
        System(problem, field, points, [face]),
        System(problem, field, points, [face], None, weights),
    )
    factors = torch.cat([weights, torch.ones(4, dtype=torch.float64)])
    (r, matrix), (s, other) = (system.jacobian(plain.parameters) for system in (plain, scaled))
    torch.testing.assert_close(s, factors * r)
    torch.testing.assert_close(other, factors[:, None] * matrix)


def test_a_system_with_decay_has_a_row_for_every_parameter():
    problem, field = nonlinear(), fields()["deep"].double()
    points, face = inside_points(problem, 10, 1), face_points(problem, problem.conditions[0], 4, 2)
    plain, pulled = (System(problem, field, points, [face], decay=decay) for decay in (0.0, 0.25))
    parameters = plain.parameters
    (r, matrix), (s, other) = (system.jacobian(parameters) for system in (plain, pulled))
    torch.testing.assert_close(s, torch.cat([r, parameters / 2]))
    torch.testing.assert_close(other, torch.cat([matrix, torch.eye(len(parameters), dtype=r.dtype) / 2]))
    torch.testing.assert_close(pulled.residual(parameters), s)
    torch.testing.assert_close(pulled.loss(), plain.loss() + parameters.square().sum() / 8)


# ---- representation floors -----------------------------------------------------------------------


def test_a_solution_that_a_field_can_represent_is_fitted():
    problem = Problem(
        box={"x": (0, 1), "y": (0, 2)},
        residual=lambda u, x, y: u.dxx + u.dyy - 2,
        constraint=lambda x, y: (y, x * (1 - x)),
        exact=lambda x, y: y + x * (1 - x) * (1 + x),
    )
    settings = SolveSettings("made", widths=[2], grids=[4], points=300, steps=60)
    reference = find_reference(problem).thinned(41)
    l2, h1, rows = fit_reference(problem, settings, reference)
    assert l2 < 1e-5 and h1 < 1e-4 and rows[-1].l2 is None
    left = difference(problem, reference)
    points = reference.points()
    lift, mask = left.hold(points).unbind(1)
    torch.testing.assert_close(lift + mask * (1 + points[:, 0]), torch.zeros(len(points)).double())


# ---- references ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, problem in PROBLEMS.items() if problem.exact is not None])
def test_exact_solutions_solve_their_equations_and_hold_the_constraint(name):
    problem = PROBLEMS[name]
    points = inside_points(problem, 50, 0)
    exact = jet_of(lambda p: problem.exact(*p.T)[:, None], points)
    assert float(problem.apply(problem.residual, exact, points).abs().max()) < 1e-9
    check_reference(problem, find_reference(problem))


def test_the_periodic_lift_is_the_start_and_has_no_slope_at_the_ends_later():
    lift = PROBLEMS["allen-cahn-periodic"].constraint
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)
    at_start, mask = lift(x, 0 * x)
    torch.testing.assert_close(at_start, x**2 * torch.cos(math.pi * x), atol=1e-7, rtol=0)
    assert not mask.any()
    ends = torch.tensor([[end, t] for end in (-1, 1) for t in (1e-9, 0.01, 0.5, 1)], dtype=torch.float64)
    assert float(jet_of(lambda p: lift(*p.T)[0][:, None], ends).first[0].abs().max()) < 1e-12
    points = torch.cartesian_prod(x, torch.tensor([0, 1e-6, 0.1, 1], dtype=torch.float64))
    assert all(bool(part.isfinite().all()) for part in jet_of(lambda p: lift(*p.T)[0][:, None], points))


def test_a_part_of_a_reference_has_enough_times_for_differences():
    reference = Reference([np.linspace(0, 1, 5), np.linspace(0, 1, 11)], np.ones((5, 11)))
    assert [until(reference, 1, share).values.shape[1] for share in (0.01, 0.125, 0.5, 1)] == [3, 3, 6, 11]


def relative(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("ends", ["periodic", "dirichlet"])
def test_allen_cahn_converges_in_modes_and_in_steps(ends):
    coarse = spectral.allen_cahn(ends, 192, 200, times=3)
    more_steps = spectral.allen_cahn(ends, 192, 400, times=3)
    more_modes = spectral.allen_cahn(ends, 3 * 192, 200, times=3)
    assert relative(coarse.values, more_steps.values) < 1e-7
    # The middles of cells are those of every third cell of the finer grid.
    np.testing.assert_allclose(more_modes.axes[0][1::3], coarse.axes[0], atol=1e-12)
    assert relative(coarse.values, more_modes.values[1::3]) < 2e-5


def test_allen_cahn_keeps_its_conditions_at_the_ends():
    periodic, dirichlet = (spectral.allen_cahn(ends, 192, 200, times=5) for ends in ("periodic", "dirichlet"))
    x = dirichlet.axes[0]
    outer = dirichlet.values[-2:, 1:]  # a straight line through the last two points, to x = 1
    at_end = outer[1] + (outer[1] - outer[0]) / (x[-1] - x[-2]) * (1 - x[-1])
    np.testing.assert_allclose(at_end, -1, atol=1e-5)
    slopes = np.diff(periodic.values[-2:, 1:], axis=0) / (x[-1] - x[-2])
    assert np.abs(slopes).max() < np.abs(np.diff(periodic.values[-2:, 0]) / (x[-1] - x[-2])).max() / 10
    assert relative(periodic.values, dirichlet.values) < 1e-3


def test_burgers_converges_and_solves_its_equation():
    fine, coarse = (spectral.burgers(0.01 / math.pi, 16, 6, nodes) for nodes in (4000, 2000))
    assert relative(coarse.values, fine.values) < 1e-12
    dense = spectral.burgers(0.05, 100, 51, nodes=300)
    x, t = dense.axes
    u = dense.values
    slope, bend = np.gradient(u, x, axis=0), np.gradient(np.gradient(u, x, axis=0), x, axis=0)
    r = np.gradient(u, t, axis=1) + u * slope - 0.05 * bend
    assert np.abs(r[3:-3, 3:-3]).max() < 0.2 < np.abs(0.05 * bend[3:-3, 3:-3]).max()


def test_darcy_converges():
    low, middle, high = (darcy_solution(degree).values for degree in (16, 20, 24))
    assert relative(middle, high) < 1e-7
    assert relative(middle, high) < relative(low, high)


def test_references_are_kept_and_survive_a_cache_that_is_broken_or_read_only(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def compute():
        calls.append(1)
        return Reference([np.linspace(0, 1, 3)], np.arange(3.0))

    for _ in range(2):
        assert cached("a", compute).values.tolist() == [0, 1, 2]
    assert len(calls) == 1
    for number, content in enumerate((b"half a fi", b""), 2):
        (cache_folder() / "a.npz").write_bytes(content)
        assert cached("a", compute).values.tolist() == [0, 1, 2] and len(calls) == number
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))  # a folder cannot be made there, by nobody
    assert cached("a", compute).values.tolist() == [0, 1, 2] and len(calls) == 4


# ---- checks --------------------------------------------------------------------------------------

BOX = {"x": (0.0, 1.0), "t": (0.0, 1.0)}
HEAT = Problem(box=BOX, residual=lambda u, x, t: u.dt - u.dxx, name="heat")


def changed(**parts):
    return dataclasses.replace(HEAT, **parts)


def of_numpy(function, x):
    return torch.from_numpy(function(x.detach().numpy()))


@pytest.mark.parametrize(
    ("problem", "phrase"),
    [
        (changed(residual=lambda u, x, t: torch.sin(x)), "does not depend on u"),
        (changed(residual=lambda u, x, t: u.dy), "u.dy, which is not there: use u.dx, u.dxx, u.dt, u.dtt"),
        (changed(residual=lambda u, x, t: u.dxt), "u.dxt"),
        (changed(residual=lambda u, x, t: (u**2).dx), "only u itself has derivatives: write 2 * u * u.dx"),
        (changed(residual=lambda u, x, t: u.dt + torch.sqrt(-torch.abs(u) - 1)), "not finite at x = "),
        (changed(constraint=lambda x, t: (of_numpy(np.sin, x), t)), "its constraint changes with x"),
        (changed(constraint=lambda x, t: (x, x * of_numpy(np.exp, t))), "must be computed with torch"),
        (changed(features=lambda x, t: [x, t.detach()]), "its features changes with t"),
        (changed(residual=lambda u, x, t: u.dt + torch.sqrt(x - 0.5)), "not finite at x = "),
        (changed(residual=lambda u, x, t: (u * x).sum()), "gives () for 64 points"),
        (changed(residual=lambda u, x, t: u + colour), "NameError: name 'colour' is not defined"),  # noqa: F821
        (changed(residual=lambda u, x: u), "fails: TypeError"),
        (changed(constraint=lambda x, t: (torch.log(x - 2), t)), "its constraint has a NaN"),
        (changed(features=lambda x: [x]), "its constraint or features fails: TypeError"),
        (changed(residual=lambda u, x, t: u.laplacian), "has no attribute 'laplacian'"),
        (changed(residual=lambda u, x, t: u * 1j), "torch.complex128: compute in torch.float64"),
        (changed(residual=lambda u, x, t: u.float()), "torch.float32: compute in torch.float64"),
        (
            changed(
                conditions=[
                    Condition(lambda u, x, t: u - 1, on="start"),
                    Condition(lambda u, x, t: 2 * u, on={"x": 1.0}),
                ]
            ),
            "where x = 1 meets t = 0, one condition asks for u = 0 and another for 1",
        ),
        (changed(conditions=[Condition(lambda u, x, t: u, on={"x": 0.5})]), "a face of the box"),
    ],
)
def test_mistakes_in_a_problem_are_named(problem, phrase):
    with pytest.raises(InputError) as error:
        check_problem(problem)
    said = str(error.value)
    assert "\n" not in said
    if "meets" in phrase:
        assert "meets" in said and "make them agree" in said
    else:
        assert phrase in said


@pytest.mark.parametrize(
    "residual",
    [
        lambda u, x, t: u.dt - torch.sqrt(u) * u.dxx,
        lambda u, x, t: u.dt + torch.log(u),
        lambda u, x, t: u.dt - u**1.5,
    ],
)
def test_equations_that_need_a_positive_solution_pass(residual):
    check_problem(changed(residual=residual))


def test_constraints_with_kinks_and_jumps_pass():
    check_problem(changed(constraint=lambda x, t: (torch.where(x < 0.3, 1.0, 0.0), t * (x - 0.6).abs())))
    check_problem(changed(constraint=lambda x, t: (torch.tanh(2000 * (x - 0.5)), torch.sqrt(t))))


def test_a_condition_that_is_not_linear_prescribes_no_value():
    points = torch.full((3, 2), 0.5, dtype=torch.float64)
    for residual in (lambda u, x, t: u**2 - 1, lambda u, x, t: torch.log(u), lambda u, x, t: u + 0.1 * u**3):
        assert prescribed(HEAT, Condition(residual, on="start"), points) is None
    linear = Condition(lambda u, x, t: 1e6 + 3 * u - x, on="start")
    assert prescribed(HEAT, linear, points).tolist() == pytest.approx([(0.5 - 1e6) / 3] * 3)


def test_conditions_that_agree_or_ask_for_slopes_pass():
    agreeing = [
        Condition(lambda u, x, t: u - torch.sin(math.pi * x), on="start"),
        Condition(lambda u, x, t: u, on={"x": 0.0}),
        Condition(lambda u, x, t: u.dx - 7, on={"x": 1.0}),
    ]
    check_problem(changed(conditions=agreeing))


@pytest.mark.parametrize(
    "box",
    [
        {},
        [(0, 1)],
        {"xx": (0, 1)},
        {1: (0, 1)},
        {"x": 1},
        {"x": ("a", 1)},
        {"x": (0, 1, 2)},
        {"x": (1, 0)},
        {"x": (0, math.inf)},
        {"x": (math.nan, 1)},
    ],
)
def test_boxes_that_cannot_be_are_refused(box):
    with pytest.raises(InputError, match="box"):
        Problem(box=box, residual=lambda u, *_: u)


@pytest.mark.parametrize(
    ("parts", "phrase"),
    [
        ({"residual": None}, "residual is None: give a function"),
        ({"reference": 3}, "reference is 3: give a function"),
        ({"conditions": Condition(lambda u, x, t: u)}, "conditions are no list"),
        ({"conditions": [lambda u, x, t: u]}, "conditions are no list"),
        ({"windows": 0}, "windows is 0: give a whole number above zero"),
        ({"windows": 1.5}, "windows is 1.5"),
    ],
)
def test_arguments_of_another_kind_are_refused(parts, phrase):
    with pytest.raises(InputError, match=phrase):
        changed(**parts)


def test_errors_beside_a_reference_of_zero_are_absolute():
    x = np.linspace(0, 1, 5)
    assert Reference([x], 0 * x).errors(3 + 0 * x) == (3, 0)
    assert Reference([x], 2 + 0 * x).errors(2 + 3 * x)[1] == pytest.approx(3)


@pytest.mark.parametrize("weight", [-1, 0, math.nan, math.inf, "5"])
def test_weights_that_cannot_be_are_refused(weight):
    with pytest.raises(InputError, match=r"weight is .*: give a number above zero"):
        Condition(lambda u, x: u, weight=weight)


@pytest.mark.parametrize(
    ("axes", "values", "phrase"),
    [
        ([[0, 0.5, 1]], [1, 2], "do not have the shape of its axes"),
        ([[0, 1, 0.5]], [1, 2, 3], "increasing order"),
        ([[0, 1]], [1, 2], "three numbers or more"),
        ([[0, 0.5, 1]], ["a", 2, 3], "are no numbers"),
    ],
)
def test_references_that_cannot_be_are_refused(axes, values, phrase):
    with pytest.raises(InputError, match=phrase):
        Reference(axes, values)


@pytest.mark.parametrize(
    ("parts", "phrase"),
    [
        ({"exact": lambda x, t: nupy.sin(x)}, "its exact solution fails: NameError"),  # noqa: F821
        ({"exact": lambda x, t: None}, "its exact solution fails"),
        ({"exact": lambda x, t: x[:3]}, "its exact solution"),
        ({"reference": lambda: 1 / 0}, "its reference fails: ZeroDivisionError"),
        ({"reference": lambda: 3}, "its reference gives a int: give a Reference"),
    ],
)
def test_solutions_that_fail_are_named(parts, phrase):
    with pytest.raises(InputError, match=phrase):
        find_reference(changed(**parts))


def test_an_exact_solution_may_be_a_constant_or_come_from_numpy():
    assert find_reference(changed(exact=lambda x, t: 2)).values[3, 4] == 2
    found = find_reference(changed(exact=lambda x, t: np.sin(x.numpy())))
    assert found.values[-1, 0] == pytest.approx(math.sin(1))


def test_a_reference_that_does_not_match_is_refused():
    axes = [np.linspace(0, 1, 11)] * 2
    x, t = np.meshgrid(*axes, indexing="ij")
    good = np.sin(math.pi * x) * np.exp(-t)
    constrained = changed(constraint=lambda x, t: (torch.sin(math.pi * x), t))
    asked = changed(conditions=[Condition(lambda u, x, t: u - torch.sin(math.pi * x), on="start")])
    for problem in (constrained, asked):
        check_reference(problem, Reference(axes, good))
        with pytest.raises(InputError, match=r"does not match: at x = .*, t = 0"):
            check_reference(problem, Reference(axes, good + 0.1))
    with pytest.raises(InputError, match="NaN"):
        check_reference(HEAT, Reference(axes, good * math.nan))
    with pytest.raises(InputError, match="x = 0 to 2, which is outside the box"):
        check_reference(HEAT, Reference([2 * axes[0], axes[1]], good))
    with pytest.raises(InputError, match="1 axes and the box 2 coordinates"):
        check_reference(HEAT, Reference(axes[:1], good[0]))
    with pytest.raises(InputError, match="shape"):
        check_reference(HEAT, Reference(axes, good[:-1]))
