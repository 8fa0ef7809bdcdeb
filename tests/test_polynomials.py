"""A polynomial inside an outer function, from samples with noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import sympy

from kanfield.symbolic import FUNCTIONS, discover, split
from kanfield.symbolic.proposals.polynomials import polynomial

OUTER: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "x": lambda t: t,
    "sqrt": np.sqrt,
    "1/x": lambda t: 1 / t,
    "1/sqrt": lambda t: -1 / np.sqrt(t),  # a target below zero
}


@pytest.mark.parametrize("name", OUTER)
def test_the_terms_are_those_of_the_truth(name: str) -> None:
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (600, 3))
    y = OUTER[name](2 + x[:, 0] * x[:, 1] - 0.5 * x[:, 2] ** 2)
    samples = split(x, y + 0.003 * y.std() * random.standard_normal(600), 0)[0]
    network = polynomial(samples, FUNCTIONS, ("a", "b", "c"))
    assert network is not None
    inside = network.nodes[-1 if name == "x" else -2]
    assert sorted(edge.function.constants[2] for edge in inside.edges) == pytest.approx([-0.5, 1], rel=0.02)
    assert inside.bias == pytest.approx(2, rel=0.01)
    np.testing.assert_allclose(network(x), y, atol=0.003 * y.std())


def test_noise_alone_and_too_many_inputs_have_none() -> None:
    random = np.random.default_rng(0)
    x, y = random.uniform(-1, 1, (400, 7)), random.standard_normal(400)
    assert polynomial(split(x, y, 0)[0], FUNCTIONS, tuple("abcdefg")) is None
    assert polynomial(split(x[:, :2], y - y.mean(), 0)[0], FUNCTIONS, ("a", "b")) is None


@pytest.mark.parametrize("size", [1e-60, 1e60])
def test_inputs_of_any_size(size: float) -> None:
    random = np.random.default_rng(0)
    x = random.uniform(1, 2, (300, 2))
    y = 3 + x[:, 0] * x[:, 1] + 0.003 * random.standard_normal(300)
    network = polynomial(split(x * [size, 1], y, 0)[0], FUNCTIONS, ("a", "b"))
    assert network is not None
    np.testing.assert_allclose(network(x * [size, 1]), 3 + x[:, 0] * x[:, 1], atol=0.01)


def test_a_table_without_powers_has_none() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    samples = split(x, x[:, 0] * x[:, 1], 0)[0]
    assert polynomial(samples, {name: FUNCTIONS[name] for name in ("x", "sin")}, ("a", "b")) is None


@pytest.mark.slow
def test_the_distance_of_two_points_within_noise() -> None:
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (1000, 4))
    y = np.hypot(x[:, 0] - x[:, 1], x[:, 2] - x[:, 3])
    found = discover(x, y + 0.01 * y.std() * random.standard_normal(1000), names=list("abcd"))
    a, b, c, d = sympy.symbols("a b c d", real=True)
    assert found.found
    assert sympy.simplify(found.chosen.expression - sympy.sqrt((a - b) ** 2 + (c - d) ** 2)) == 0
