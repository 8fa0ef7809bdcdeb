"""Levenberg-Marquardt against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from kanfield import least_squares as module
from kanfield.least_squares import levenberg_marquardt

choose = module._method


@pytest.fixture(params=[module._orthogonal, module._normal, module._dual], autouse=True)
def factorisation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How steps are found, whatever the number of parameters and residuals."""
    monkeypatch.setattr(module, "_method", lambda matrix: request.param)


def rosenbrock(p: np.ndarray) -> np.ndarray:
    return np.array([10 * (p[1] - p[0] ** 2), 1 - p[0]])


def rosenbrock_jacobian(p: np.ndarray) -> np.ndarray:
    return np.array([[-20 * p[0], 10.0], [-1.0, 0.0]])


def test_it_ends_where_scipy_does() -> None:
    random = np.random.default_rng(0)
    t = np.linspace(0, 2, 40)
    y = 2 * np.exp(-1.3 * t) + 0.3 + 0.05 * random.standard_normal(40)

    def residual(p: np.ndarray) -> np.ndarray:
        return p[0] * np.exp(p[1] * t) + p[2] - y

    def jacobian(p: np.ndarray) -> np.ndarray:
        return np.stack([np.exp(p[1] * t), p[0] * t * np.exp(p[1] * t), np.ones_like(t)], 1)

    found = levenberg_marquardt(residual, jacobian, [1.0, -0.5, 0.0])
    theirs = least_squares(residual, [1.0, -0.5, 0.0], jacobian, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    np.testing.assert_allclose(found.parameters, theirs.x, rtol=1e-6)
    assert found.cost == pytest.approx(2 * theirs.cost, rel=1e-10)


def test_a_curved_valley_is_followed_to_round_off() -> None:
    found = levenberg_marquardt(rosenbrock, rosenbrock_jacobian, [-1.2, 1.0], tolerance=0)
    np.testing.assert_allclose(found.parameters, [1, 1], atol=1e-12)
    assert found.evaluations >= found.iterations > 0


def test_geodesic_steps_follow_a_valley_s_turns() -> None:
    """One residual is zero along a circle; the other, a thousandth of its size, falls along it."""

    def residual(p: np.ndarray) -> np.ndarray:
        return np.array([100 * (p[0] ** 2 + p[1] ** 2 - 1), (p[0] - 1) / 10])

    def jacobian(p: np.ndarray) -> np.ndarray:
        return np.array([[200 * p[0], 200 * p[1]], [0.1, 0.0]])

    start, count = [-0.9, 0.44], {}
    for geodesic in (False, True):
        found = levenberg_marquardt(residual, jacobian, start, iterations=999, geodesic=geodesic)
        assert abs(found.parameters[0] - 1) < 1e-3
        count[geodesic] = found.iterations
    assert 2 * count[True] < count[False]


def test_geodesic_steps_end_in_a_minimum() -> None:
    found = levenberg_marquardt(exponentials, exponentials_jacobian, START, geodesic=True, tolerance=0)
    assert found.cost < 1e-28
    assert sorted(map(tuple, found.parameters.reshape(2, 2).round(9))) == [(1, 3), (2, 1)]


@pytest.mark.parametrize("geodesic", [False, True])
def test_a_step_out_of_the_domain_is_refused(geodesic: bool) -> None:
    found = levenberg_marquardt(
        lambda p: np.log(p) + 3, lambda p: 1 / p[:, None], [5.0], tolerance=0, geodesic=geodesic
    )
    assert found.parameters[0] == pytest.approx(np.exp(-3), rel=1e-12)


def test_a_parameter_without_effect_stays() -> None:
    found = levenberg_marquardt(lambda p: p[:1] - 2, lambda p: np.array([[1.0, 0.0]]), [0.0, 7.0])
    np.testing.assert_allclose(found.parameters, [2, 7])


def test_a_start_without_a_value_is_given_back() -> None:
    found = levenberg_marquardt(lambda p: np.log(p), lambda p: 1 / p[:, None], [-1.0])
    assert found.parameters.tolist() == [-1.0] and found.iterations == 0


def exponentials(p: np.ndarray) -> np.ndarray:
    t = np.linspace(0, 2, 30)
    return p[0] * np.exp(-p[1] * t) + p[2] * np.exp(-p[3] * t) - 2 * np.exp(-t) - np.exp(-3 * t)


def exponentials_jacobian(p: np.ndarray) -> np.ndarray:
    t = np.linspace(0, 2, 30)
    first, second = np.exp(-p[1] * t), np.exp(-p[3] * t)
    return np.stack([first, -p[0] * t * first, second, -p[2] * t * second], 1)


START = np.array([1.0, 0.5, 0.5, 2.0])


def test_the_units_of_a_parameter_change_no_step() -> None:
    units = 2.0 ** np.array([3.0, 9.0, -8.0, 4.0])
    plain = levenberg_marquardt(exponentials, exponentials_jacobian, START, iterations=4)
    scaled = levenberg_marquardt(
        lambda p: exponentials(p * units),
        lambda p: exponentials_jacobian(p * units) * units,
        START / units,
        iterations=4,
    )
    np.testing.assert_allclose(scaled.parameters * units, plain.parameters, rtol=1e-9)


def test_it_is_watched_step_by_step_and_can_be_stopped() -> None:
    class Enough(Exception):
        pass

    seen: list[module.Minimum] = []

    def watch(reached: module.Minimum) -> None:
        seen.append(reached)
        if reached.iterations == 4:
            raise Enough

    with pytest.raises(Enough):
        levenberg_marquardt(exponentials, exponentials_jacobian, START, watch=watch)
    assert [each.iterations for each in seen] == [1, 2, 3, 4]
    costs = [each.cost for each in seen]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] == pytest.approx(float(np.sum(exponentials(seen[-1].parameters) ** 2)))


@pytest.mark.parametrize("rows", [50, 4])
def test_all_factorisations_give_the_same_steps(rows: int) -> None:
    random = np.random.default_rng(3)
    matrix, r = random.standard_normal((rows, 7)), random.standard_normal(rows)
    scale = np.linalg.norm(matrix, axis=0)
    for damping in (1e-4, 1e-2, 10.0):
        methods = (module._orthogonal, module._normal, module._dual)
        steps = [method(matrix, scale)(damping)(r) for method in methods]
        np.testing.assert_allclose(steps[1], steps[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(steps[2], steps[0], rtol=1e-9, atol=1e-12)
        j = matrix / scale
        np.testing.assert_allclose(j.T @ (j @ steps[0] + r) + damping * steps[0], 0, atol=1e-12)


def test_a_step_solves_as_few_equations_as_can_be() -> None:
    shapes = {(9, 7): module._orthogonal, (500, 300): module._normal, (100, 300): module._dual}
    assert all(choose(np.empty(shape)) is method for shape, method in shapes.items())


@pytest.mark.parametrize(("rows", "columns"), [(1, 3), (5, 2), (8, 8), (23, 40)])
def test_the_lower_triangle_of_a_gram_matrix_is_that_of_the_product(rows: int, columns: int) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(rows, columns, dtype=torch.float64)
    for each in (matrix, matrix.T):
        torch.testing.assert_close(module.gram_matrix(each).tril(), (each @ each.T).tril())
