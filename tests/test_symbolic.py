"""Networks of splines and named functions: derivatives, changes that leave the old one alone, snapping."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import sympy
import torch
from scipy.interpolate import BSpline
from scipy.special import j0

from kanfield import KAN
from kanfield.errors import InputError
from kanfield.symbolic import (
    FUNCTIONS,
    Network,
    Samples,
    Snapped,
    attributions,
    candidates,
    discover,
    from_kan,
    layered,
    prune,
    refit,
    snap,
    sparsify,
    split,
)
from kanfield.symbolic.candidates import pairs, single, unit
from kanfield.symbolic.constants import polish
from kanfield.symbolic.discover import _conclude, _Search
from kanfield.symbolic.discovery import Attempt, Formula, neighbour_correlation
from kanfield.symbolic.edges import Named, Spline, spline_basis
from kanfield.symbolic.expressions import as_function, shortest
from kanfield.symbolic.fit import rmse
from kanfield.symbolic.functions import Function
from kanfield.symbolic.functions import X as VARIABLE
from kanfield.symbolic.network import Edge, Node
from kanfield.symbolic.numbers import simple_number
from kanfield.symbolic.proposals.coordinates import Coordinate, plain, reduce_coordinates
from kanfield.symbolic.proposals.monomials import power_sum
from kanfield.symbolic.proposals.polynomials import polynomial
from kanfield.symbolic.proposals.powers import power_law, power_law_times

DISCOVER = importlib.import_module("kanfield.symbolic.discover")  # the package has the function there
random = np.random.default_rng(0)
X = random.uniform(0.2, 1.8, (60, 2))


def spline(scale: float = 1.0) -> Spline:
    return Spline(0.0, 2.0, 1 + scale * random.standard_normal(9))


def product_network() -> Network:
    """``sin(s(x) * named(y)) + s(y)``, with every kind of edge and node."""
    product = Node(
        (Edge(0, spline(0.2)), Edge(1, Named(FUNCTIONS["sqrt"], np.array([1, 0.5, 2, 1]), "bcd"))), True
    )
    sine = Named(FUNCTIONS["sin"], np.array([0.7, 0.1, 1.5, 0.0]), "abc")
    return Network(("x", "y"), (product, Node((Edge(2, sine), Edge(1, spline())), bias=0.3)))


def test_splines_are_scipys() -> None:
    s = spline()
    knots = np.linspace(0, 2, 7)[0] + (np.arange(13) - 3) * (2 / 6)
    theirs = BSpline(knots, s.coef, 3)
    x = np.linspace(0, 2, 31)
    np.testing.assert_allclose(s(x), theirs(x), atol=1e-12)
    np.testing.assert_allclose(s.slope(x), theirs(x, 1), atol=1e-12)
    np.testing.assert_allclose(
        spline_basis(np.array([3.0]), 0, 2, 6) @ s.coef, s(np.array([2.0])) + s.slope(np.array([2.0]))
    )


@pytest.mark.parametrize("network", [product_network(), layered("xy", [3], X, 4, 0)], ids=["graph", "layers"])
def test_jacobian_is_the_derivative(network: Network) -> None:
    p, step = network.parameters, 1e-6
    direction = random.standard_normal(len(p))
    ahead, behind = (network.with_parameters(p + s * direction)(X) for s in (step, -step))
    # Where a hidden value passes a grid's border within the step, the second derivative jumps.
    np.testing.assert_allclose(network.jacobian(X) @ direction, (ahead - behind) / (2 * step), atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_of_the_table_has_its_derivatives(name: str) -> None:
    f = FUNCTIONS[name]
    x = np.linspace(0.2, 0.8, 9)
    named = Named(f, np.array([0.9, 0.05, 1.5, -0.5]), "abcd")
    step = 1e-6
    for place in range(4):
        shift = step * np.eye(4)[place]
        numeric = named.with_parameters(named.constants + shift)(x) - named.with_parameters(
            named.constants - shift
        )(x)
        np.testing.assert_allclose(named.jacobian(x)[:, place], numeric / (2 * step), atol=1e-6)
    np.testing.assert_allclose(named.slope(x), (named(x + step) - named(x - step)) / (2 * step), atol=1e-6)
    (symbol,) = named.expression(sympy.Symbol("t", real=True)).free_symbols
    values = [float(named.expression(symbol).subs(symbol, v)) for v in x[:2]]
    np.testing.assert_allclose(values, named(x[:2]), rtol=1e-12)


def test_outside_its_domain_a_function_has_no_value() -> None:
    assert np.isnan(FUNCTIONS["log"](np.array([-1.0, 1.0]))).tolist() == [True, False]


def test_refining_keeps_the_function() -> None:
    network = layered("xy", [3], X, 4, 0)
    finer = network.refine(3)
    np.testing.assert_allclose(finer(X), network(X), atol=1e-12)
    assert len(finer.parameters) > 2 * len(network.parameters)


def test_a_chain_in_an_edge_leaves_the_rest_where_it_was() -> None:
    network = product_network()
    inner = (Node((Edge(-1, unit(FUNCTIONS["exp"])),)), Node((Edge(-2, unit(FUNCTIONS["x"])),)))
    changed = network.with_chain((0, 1), inner, network.edge((0, 1)).function)
    explicit = network.edge((0, 1)).function
    s = network.edge((0, 0)).function(X[:, 0])
    sine, last = (edge.function for edge in network.nodes[1].edges)
    expected = sine(s * explicit(np.exp(X[:, 1]))) + last(X[:, 1]) + 0.3
    np.testing.assert_allclose(changed(X), expected, atol=1e-12)


def test_edges_left_out_take_nodes_with_them() -> None:
    network = layered("xy", [3], X, 4, 0)
    smaller = network.without({(0, 0), (0, 1), (3, 1)})
    assert len(smaller.nodes) == 2 and len(list(smaller.edges())) == 3
    assert len(network.nodes) == 4


def test_a_trained_kan_keeps_its_values() -> None:
    x = torch.rand(40, 2, dtype=torch.float64) * 2 - 1
    for base, bound in ((None, 1e-6), ("silu", 1e-3)):
        kan = KAN(2, 1, widths=[3], grids=5, base=base)
        kan.fit_ranges(x.float())
        truth = kan.double()(x)[:, 0].detach().numpy()
        np.testing.assert_allclose(from_kan(kan, ["a", "b"])(x.numpy()), truth, atol=bound)


def test_an_image_field_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="no formula of named functions is an image"):
        from_kan(KAN(2, 1, widths=[4], num_directions=6), ["x", "y"])


@pytest.mark.parametrize("name", ["x^2", "1/x", "exp", "sin", "tanh", "arctan", "gaussian", "sqrt"])
def test_a_function_is_recognised_by_its_values(name: str) -> None:
    x = np.linspace(0.3, 2.5, 90)
    a = 1.0 if "a" not in FUNCTIONS[name].free else 1.7
    b = 0.4 if "b" in FUNCTIONS[name].free else 0.0
    truth = Named(FUNCTIONS[name], np.array([a, b, -2.0, 0.7]))
    best = single(x, truth(x), FUNCTIONS.values(), np.ones(90), floor=1e-9)[0]
    assert best.name == name and best.error < 1e-5
    np.testing.assert_allclose(best.function(x), truth(x), atol=1e-4)


def test_two_functions_in_a_chain_or_a_product_are_recognised() -> None:
    x = np.linspace(0.5, 3, 90)
    found = pairs(x, np.sin(x / 2) ** 2 / x**2, FUNCTIONS, np.ones(90))
    assert found[0].name == "1/x^2 * sin" and found[0].error < 1e-5


def samples_of(function, low: float = 0.5, high: float = 2.0, count: int = 140, inputs: int = 2) -> Samples:
    x = np.random.default_rng(3).uniform(low, high, (count, inputs))
    return Samples(x[:100], function(x[:100]), x[100:], function(x[100:]))


def quotient(samples: Samples) -> Network:
    """A product of two splines, fitted."""
    product = Node((Edge(0, spline(0.1)), Edge(1, spline(0.1))), product=True)
    network = Network(("x", "y"), (product, Node((Edge(2, unit(FUNCTIONS["x"])),), bias=0.0)))
    return refit(network, samples.x, samples.y, iterations=40)


def test_snapping_finds_the_formula_and_leaves_the_network() -> None:
    samples = samples_of(lambda x: x[:, 0] ** 2 / x[:, 1])
    network = quotient(samples)
    before = network.parameters
    best = {key: found[0].name for key, found in candidates(network, samples.x).items()}
    assert best == {(0, 0): "x^2", (0, 1): "1/x"}
    snapped = snap(network, samples)[0]
    assert not snapped.kept and snapped.error < 1e-8
    formula = shortest(polish(snapped.network, samples).expression())
    x, y = sympy.symbols("x y", real=True)
    assert sympy.simplify(formula - x**2 / y) == 0
    assert np.array_equal(network.parameters, before)


def test_sparsifying_and_pruning_leave_out_what_does_not_matter() -> None:
    samples = samples_of(lambda x: np.sin(2 * x[:, 0]), inputs=2)
    network = refit(layered("xy", [2], samples.x, 3, 0), samples.x, samples.y, iterations=10)
    sparse = sparsify(network, samples, 1e-2)
    weak, strong = (attributions(n, samples.x) for n in (sparse, network))
    assert max(weak[key] for key in ((0, 1), (1, 1))) <= max(strong[key] for key in ((0, 1), (1, 1)))
    pruned = prune(sparse, samples)
    assert not any(edge.source == 1 for _, edge in pruned.edges())  # the second input is gone
    assert rmse(pruned, samples.x_val, samples.y_val) < 0.02


def test_a_symmetry_and_a_useless_input_are_seen() -> None:
    samples = samples_of(lambda x: np.exp(-((x[:, 0] - x[:, 1]) ** 2)), inputs=3)
    assert reduce_coordinates(samples)[0] == (Coordinate("x-y", (0, 1)),)


def test_a_symmetry_is_seen_although_its_corners_are_hard_to_predict() -> None:
    x = np.random.default_rng(1000).uniform([0.5, 4, 0], [2, 7, 3], (1000, 3))
    half = (x[:, 1] - x[:, 2]) / 2
    samples, *_ = split(x, x[:, 0] * np.sin(half) ** 2 / half**2, 0)
    assert set(reduce_coordinates(samples)[0]) == {Coordinate("x-y", (1, 2)), Coordinate("x", (0,))}


@pytest.mark.parametrize(
    ("value", "tolerance", "number"),
    [
        (0.3333333333, 1e-8, sympy.Rational(1, 3)),
        (6.283185307, 1e-8, 2 * sympy.pi),
        (0.39894228040, 1e-9, 1 / sympy.sqrt(2 * sympy.pi)),
        (1e-12, 1e-9, sympy.Integer(0)),
        (1.2345678, 1e-9, None),
        (0.737, 0.05, None),  # too many numbers are so near
    ],
)
def test_simple_numbers(value: float, tolerance: float, number: sympy.Expr | None) -> None:
    assert simple_number(value, tolerance) == number


def test_constants_that_can_be_exchanged_are_one_less() -> None:
    samples = samples_of(lambda x: 1.5 * x[:, 1] / np.sqrt(4 - x[:, 0] ** 2), high=1.9)
    square = Named(FUNCTIONS["x^2"], np.array([1.0, 0.0, -0.7, 0.0]), "c")
    root = Named(FUNCTIONS["1/sqrt"])
    slope = Named(FUNCTIONS["x"], np.array([1.0, 0.0, 0.9, 0.0]), "c")
    network = Network(
        ("x", "y"),
        (Node((Edge(0, square),), bias=2.8), Node((Edge(2, root), Edge(1, slope)), product=True)),
    )
    formula = polish(network, samples).expression()
    x, y = sympy.symbols("x y", real=True)
    assert not formula.has(sympy.Float)
    assert sympy.simplify(formula**2 - (sympy.Rational(3, 2) * y) ** 2 / (4 - x**2)) == 0


def test_python_code_of_a_formula_computes_it() -> None:
    a, b = sympy.symbols("a b", real=True)
    names: dict[str, object] = {}
    exec(as_function(sympy.sin(sympy.pi * a) / b + sympy.besselj(0, a), ("a", "b")), names)
    function = names["formula"]
    assert callable(function)
    assert function(0.3, 2.0) == pytest.approx(np.sin(np.pi * 0.3) / 2 + j0(0.3))


def test_python_code_has_arguments_that_python_can_name() -> None:
    words = ("mass (kg)", "x0", "lambda", "numpy")
    symbols = [sympy.Symbol(word, real=True) for word in words]
    names: dict[str, object] = {}
    exec(as_function(symbols[0] - 2 * symbols[1] + sympy.exp(symbols[2]) * symbols[3], words), names)
    function = names["formula"]
    assert callable(function)
    assert function(5.0, 1.0, 0.0, 7.0) == 10.0


@pytest.mark.slow
def test_the_toy_of_the_kan_paper() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    found = discover(x, np.exp(np.sin(np.pi * x[:, 0]) + x[:, 1] ** 2), names=["x", "y"])
    symbols = sympy.symbols("x y", real=True)
    truth = sympy.exp(sympy.sin(sympy.pi * symbols[0]) + symbols[1] ** 2)
    assert found.found and sympy.simplify(found.chosen.expression - truth) == 0
    assert found.chosen.outside < 1e-12


@pytest.mark.slow
def test_noise_ends_the_search_at_its_floor() -> None:
    x = np.random.default_rng(0).uniform(1, 3, (200, 1))
    y = 2 / x[:, 0] + 0.02 * np.random.default_rng(1).standard_normal(200)
    found = discover(x, y)
    assert found.found and 0.5 < found.chosen.error * y.std() / 0.02 < 1.5
    np.testing.assert_allclose(found.chosen.network(np.array([[1.5], [2.5]])), [2 / 1.5, 2 / 2.5], atol=0.03)


@pytest.mark.slow
def test_no_formula_is_an_answer() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (200, 1))
    found = discover(x, j0(20 * x[:, 0]))
    assert not found.found and found.attempts


def test_the_split_keeps_the_outermost_apart() -> None:
    x = np.random.default_rng(0).uniform(size=(300, 2))
    samples, outside, y = split(x, x[:, 0], 0)
    assert len(samples.x) + len(samples.x_val) + len(outside) == 300 and len(outside) == len(y)
    inner = np.concatenate([samples.x, samples.x_val])
    beyond = (outside < inner.min(0)) | (outside > inner.max(0))
    assert beyond.any(1).all()


@pytest.mark.parametrize("exponents", [(1, -2), (2, 0.5), (-0.5, 3), (1.5, -1)])
def test_a_product_of_powers_over_many_decades(exponents: tuple[float, float]) -> None:
    random = np.random.default_rng(0)
    x = 10 ** random.uniform(-30, -24, (200, 2))
    x[:, 0] *= 1 if exponents[0] != 1 else random.choice([-1, 1], 200)
    y = 6.626e34 * x[:, 0] ** exponents[0] * x[:, 1] ** exponents[1]
    found = discover(x, y)
    assert found.found and found.attempts[0].origin == "a product of powers"
    assert np.allclose(found.chosen.network(x), y, rtol=1e-12, atol=0)


def test_other_samples_are_no_product_of_powers() -> None:
    x = np.random.default_rng(0).uniform(1, 2, (100, 2))
    for y in (x[:, 0] + x[:, 1], np.sin(x[:, 0]) * x[:, 1], x[:, 0] ** 2.3, x[:, 0] - 1.5):
        samples, *_ = split(x, y, 0)
        assert power_law(samples, FUNCTIONS, ("a", "b")) is None


def test_a_sum_of_powers_in_a_fraction_over_decades() -> None:
    x = 10 ** np.random.default_rng(0).uniform([-3, -1, -3], [-1, 1, 1], (300, 3))
    found = discover(x, 1 / (1 / x[:, 0] + x[:, 1] / x[:, 2]), names=["a", "n", "b"])
    a, n, b = sympy.symbols("a n b", real=True)
    assert found.attempts[0].origin == "a sum of products of powers"
    assert sympy.simplify(found.chosen.expression - 1 / (1 / a + n / b)) == 0


def test_samples_that_are_no_sum_of_powers_are_left_to_the_networks() -> None:
    x = np.random.default_rng(0).uniform(1, 2, (200, 2))
    noise = 1e-4 * np.random.default_rng(1).standard_normal(200)
    for y in (np.sin(x[:, 0]) * x[:, 1], np.exp(x[:, 0]) + x[:, 1], x[:, 0] + x[:, 1] ** 2 + noise):
        assert power_sum(split(x, y, 0)[0], FUNCTIONS, ("a", "b")) is None


@pytest.mark.parametrize("function", [np.sin, lambda t: 1 / np.sin(t)], ids=["smooth", "with poles"])
def test_powers_times_a_function_of_a_difference(function) -> None:
    random = np.random.default_rng(0)
    x = np.column_stack([10 ** random.uniform(-2, 2, 600), random.uniform(0, 3, (600, 2))])
    y = x[:, 0] ** 2 * function(x[:, 1] - x[:, 2])
    samples, *_ = split(x, y, 0)
    network = power_law_times(samples, Coordinate("x-y", (1, 2)), FUNCTIONS, ("a", "s", "t"))
    assert network is not None
    errors = np.abs(network(samples.x_val) / samples.y_val - 1)  # large beside zeros and poles
    assert np.quantile(errors, 0.9) < 0.01


def test_a_reciprocal_has_values_on_both_sides_of_its_pole() -> None:
    values = FUNCTIONS["1/x"](np.array([-2.0, 0.0, 4.0]))
    assert values[[0, 2]].tolist() == [-0.5, 0.25] and np.isnan(values[1])


@pytest.mark.slow
def test_a_quotient_of_functions_with_poles() -> None:
    random = np.random.default_rng(1000)
    x = np.stack([random.uniform(0, 2 * np.pi, 1000) for _ in range(2)], 1)
    found = discover(x, np.sin(x[:, 0]) / np.sin(x[:, 1]), names=["a", "b"])
    a, b = sympy.symbols("a b", real=True)
    assert found.attempts[-1].origin == "one function over another"
    assert sympy.simplify(found.chosen.expression - sympy.sin(a) / sympy.sin(b)) == 0


# ---- attempts that fail --------------------------------------------------------------------------


def root_network(shift: float) -> Network:
    """``c sqrt(x + shift) + bias``."""
    root = Named(FUNCTIONS["sqrt"], np.array([1.0, shift, 1.0, 0.0]), "bc")
    return Network(("x0",), (Node((Edge(0, root),), bias=0.0),))


def root_samples(count: int = 900) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).uniform(0, 1, (count, 1))
    return x, 2 * np.sqrt(x[:, 0] + 0.1) + 3


def test_a_formula_that_ends_before_later_samples_is_snapped_on_all_of_them(monkeypatch) -> None:
    seen: list[int] = []

    def snap_badly(network, samples, functions, go_on, most):
        seen.append(most)
        if most < len(samples.x):
            return [Snapped(root_network(-float(samples.x.min()) - 1e-9), 0.0)]
        return snap(network, samples, functions, go_on, most)

    monkeypatch.setattr(DISCOVER, "snap", snap_badly)
    x, y = root_samples()
    found = discover(x, y)
    assert found.found and seen == [500, 567]
    broken = root_network(-0.5)
    assert polish(broken, split(x, y, 0)[0]) is broken  # it has no value to fit


def test_an_attempt_whose_linear_algebra_fails_does_not_end_the_search(monkeypatch) -> None:
    failed: list[str] = []

    def fail(*_: object) -> None:
        failed.append("a proposal")
        raise np.linalg.LinAlgError

    def fail_once(*arguments: object):
        if len(failed) == 1:
            fail()
        return snap(*arguments)

    monkeypatch.setattr(DISCOVER, "power_law", fail)
    monkeypatch.setattr(DISCOVER, "snap", fail_once)
    x = np.random.default_rng(0).uniform(1, 2, (60, 2))
    found = discover(x, x[:, 0] / x[:, 1])
    assert found.found and len(failed) == 2
    assert found.attempts[0].outcome == "its constants cannot be fitted"


def test_powers_too_large_to_be_numbers_are_no_law() -> None:
    x = 10 ** np.random.default_rng(0).uniform(85, 90, (60, 3))
    y = np.exp(np.log(x) @ [4, -2, -2])
    samples = Samples(x[:40], y[:40], x[40:], y[40:])
    assert power_law(samples, FUNCTIONS, ("a", "b", "c")) is None


def test_an_input_that_is_zero_in_all_samples_to_fit_is_no_term() -> None:
    random = np.random.default_rng(0)
    x = np.column_stack([random.uniform(1, 2, 80), np.where(np.arange(80) < 60, 0.0, 1.0)])
    y = x[:, 0] ** 2 + 0.01 * random.standard_normal(80)
    network = polynomial(Samples(x[:60], y[:60], x[60:], y[60:]), FUNCTIONS, ("a", "b"))
    assert network is not None and rmse(network, x, y) < 0.05


# ---- what is chosen ------------------------------------------------------------------------------


def test_a_sample_is_not_its_own_neighbour_where_two_are_at_one_place() -> None:
    x = np.repeat(np.random.default_rng(0).uniform(size=(50, 2)), 2, axis=0)
    assert neighbour_correlation(x, np.tile([1.0, -1.0], 50)) == pytest.approx(-1)


@pytest.mark.parametrize("error", [0.0101, 0.00995, 0.0099])
def test_a_formula_that_explains_is_chosen_before_a_simpler_one_that_does_not(error: float) -> None:
    x, y = root_samples(60)
    search = _Search(split(x, y, 0)[0], (x, y), FUNCTIONS, ("x0",), None, 0, 0.0, None, print)
    network = root_network(0.1)

    def made(complexity: int, error: float, explains: bool) -> Formula:
        return Formula(VARIABLE, network, complexity, error, None, 0, "made", explains)

    search.formulas = [made(3, 0.01, False), made(9, error, True), made(20, 0.009, False)]
    search.attempts = [Attempt(0, "made", 0.01, 0.01, "", network, 0.0)]
    found = _conclude([search], ("x0",), "y")
    assert found.found and found.chosen.complexity == 9 and len(found.formulas) == 3
    search.formulas = search.formulas[::2]
    assert not _conclude([search], ("x0",), "y").found


# ---- tables of functions, time, Ctrl-C -----------------------------------------------------------


@pytest.mark.parametrize("free", ["ab", "abd", "abc", "b"])
def test_constants_that_are_not_free_stay(free: str) -> None:
    x = np.linspace(-1, 2, 80)
    bend = Function("bend", VARIABLE**3 + VARIABLE, free=free)
    truth = Named(bend, np.array([-1.0, 0.3, 2.0 if "c" in free else 1.0, 0.5 if "d" in free else 0.0]))
    (best,) = single(x, truth(x), [bend], np.ones(80))
    assert best.function.free == free and best.error < 1e-4
    np.testing.assert_allclose(best.function(x), truth(x), atol=1e-3)
    assert ("c" in free or best.function.constants[2] == 1) and (
        "d" in free or best.function.constants[3] == 0
    )
    other = single(x, 5 * truth(x) + 9, [bend], np.ones(80))
    assert "c" in free or not other or other[0].error > 0.01


def test_a_table_without_a_reciprocal_has_no_quotients() -> None:
    functions = {name: FUNCTIONS[name] for name in ("x", "x^2", "exp")}
    samples = samples_of(lambda x: np.exp(x[:, 0] - x[:, 1]))
    assert Coordinate("x-y", (0, 1)).node(functions, samples.x).bias is None
    quotients = samples_of(lambda x: np.sin(3 * x[:, 0] / x[:, 1]))
    assert any(c.kind == "x/y" for some in reduce_coordinates(quotients) for c in some)
    assert not any(c.kind == "x/y" for some in reduce_coordinates(quotients, divide=False) for c in some)
    x = np.concatenate([samples.x, samples.x_val])
    assert discover(x, np.exp(x[:, 0] - x[:, 1]), functions=functions).found


def test_coordinates_are_not_looked_for_once_the_time_is_over() -> None:
    samples = samples_of(lambda x: np.exp(-((x[:, 0] - x[:, 1]) ** 2)), inputs=3)
    assert reduce_coordinates(samples, lambda: False) == [plain(3)]


def test_ctrl_c_keeps_what_was_found(monkeypatch) -> None:
    x = np.random.default_rng(0).uniform(1, 3, (120, 1))
    y = 2 / x[:, 0] + 0.02 * np.random.default_rng(1).standard_normal(120)
    lines: list[str] = []

    def progress(line: str) -> None:
        lines.append(line)
        if "as a formula" in line:
            raise KeyboardInterrupt

    found = discover(x, y, noise=1e-9, progress=progress)  # no formula explains the noise
    assert found.formulas and not found.found and lines[-1].startswith("interrupted")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(DISCOVER, "power_law", interrupt)
    with pytest.raises(KeyboardInterrupt):  # nothing is found yet
        discover(x, y)
