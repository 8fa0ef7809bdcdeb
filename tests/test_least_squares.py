"""Levenberg-Marquardt against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import least_squares

from kanfield.least_squares import levenberg_marquardt


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


def test_a_step_out_of_the_domain_is_refused() -> None:
    found = levenberg_marquardt(lambda p: np.log(p) + 3, lambda p: 1 / p[:, None], [5.0], tolerance=0)
    assert found.parameters[0] == pytest.approx(np.exp(-3), rel=1e-12)


def test_a_parameter_without_effect_stays() -> None:
    found = levenberg_marquardt(lambda p: p[:1] - 2, lambda p: np.array([[1.0, 0.0]]), [0.0, 7.0])
    np.testing.assert_allclose(found.parameters, [2, 7])


def test_a_start_without_a_value_is_given_back() -> None:
    found = levenberg_marquardt(lambda p: np.log(p), lambda p: 1 / p[:, None], [-1.0])
    assert found.parameters.tolist() == [-1.0] and found.iterations == 0
