"""From samples to a formula: networks are fitted, pruned and snapped until one explains the samples."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kanfield.symbolic.constants import polish
from kanfield.symbolic.convert import layered
from kanfield.symbolic.discovery import Attempt, Discovery, Formula, neighbour_correlation
from kanfield.symbolic.expressions import complexity, shortest, with_simple_numbers
from kanfield.symbolic.fit import follow, refit, rmse
from kanfield.symbolic.functions import FUNCTIONS, Function
from kanfield.symbolic.network import Network
from kanfield.symbolic.proposals.coordinates import (
    columns,
    interpolation_error,
    joined_pairs,
    plain,
    reduce_coordinates,
)
from kanfield.symbolic.proposals.monomials import power_sum
from kanfield.symbolic.proposals.polynomials import polynomial
from kanfield.symbolic.proposals.powers import power_law, power_law_times
from kanfield.symbolic.proposals.quotients import has_poles, quotient
from kanfield.symbolic.proposals.structure import improve, propose
from kanfield.symbolic.prune import STRENGTHS, prune, sparsify
from kanfield.symbolic.samples import Samples, check, split
from kanfield.symbolic.snap import snap

Array = NDArray[np.float64]

EXACT = 1e-7  # relative error on validation samples of a formula that needs no test of its residuals
_AT_FLOOR = 1.15  # how far above the best smooth model's error a formula may be
_STRUCTURES = 3  # of a set of coordinates, that are snapped
_HOPELESS = 0.1  # relative error of a structure that is not worth snapping
_SNAPPABLE = 9  # edges of a layered KAN; more of them stand for no formula that anybody reads
_CELLS = 5
_WIDTHS = (5,)


@dataclass
class _Search:
    """What a search knows so far."""

    samples: Samples
    outside: tuple[Array, Array]
    functions: Mapping[str, Function]
    names: tuple[str, ...]
    noise: float | None
    seed: int
    began: float
    seconds: float | None
    progress: Callable[[str], None]
    floor: float = np.inf
    formulas: list[Formula] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    def go_on(self) -> bool:
        return self.seconds is None or time.monotonic() - self.began < self.seconds

    def explains(self, formula: Formula) -> bool:
        """Whether what a formula leaves looks like noise."""
        if formula.error <= EXACT:
            return True
        s = self.samples
        if self.noise is not None and formula.error * s.spread > 1.3 * self.noise:
            return False
        residual = formula.network(s.x_val) - s.y_val
        correlated = neighbour_correlation(s.x_val, residual) > 3 / np.sqrt(len(residual))
        return formula.error <= _AT_FLOOR * self.floor and not correlated

    def snapped(self, network: Network, origin: str, fitted: float) -> bool:
        """Snap a network and keep what comes out; True where that explains the samples."""
        self.floor = min(self.floor, fitted)
        results = snap(network, self.samples, self.functions, self.go_on)
        formulas = [self._formula(s.network, origin) for s in results[:2] if not s.network.spline_keys()]
        best = min(formulas, key=lambda f: f.error, default=None)
        explained = best is not None and self.explains(best)
        if best is None:
            outcome = f"{len(results[0].network.spline_keys())} edges fit no function of the table"
        else:
            outcome = "explains the samples" if explained else "a formula, but worse than the samples allow"
        if best is not None and explained and best.error > EXACT:
            plainer = polynomial(self.samples, self.functions, self.names)
            formulas += [] if plainer is None else [self._formula(plainer, origin)]
        self.formulas += formulas
        seconds = time.monotonic() - self.began
        error = None if best is None else best.error
        self.attempts.append(Attempt(self.seed, origin, fitted, error, outcome, network, seconds))
        after = "" if error is None else f", {error:.1e} as a formula"
        self.progress(
            f"seed {self.seed}, {origin}: relative error {fitted:.1e} with splines{after}; {outcome}"
        )
        return explained

    def _formula(self, network: Network, origin: str) -> Formula:
        network = polish(network, self.samples)
        expression = network.expression()
        if rmse(network, self.samples.x, self.samples.y) < EXACT * self.samples.spread:
            # Before constants are multiplied, whose rounding errors would stay; and their products.
            expression = with_simple_numbers(shortest(with_simple_numbers(expression)))
        expression = shortest(expression)
        x, y = self.outside
        spread = self.samples.spread or 1.0
        outside = rmse(network, x, y) / spread if len(y) else None
        error = rmse(network, self.samples.x_val, self.samples.y_val) / spread
        return Formula(expression, network, complexity(expression), error, outside, self.seed, origin)


def discover(
    x: Any,
    y: Any,
    *,
    names: Sequence[str] | None = None,
    target: str = "y",
    functions: Mapping[str, Function] = FUNCTIONS,
    widths: Sequence[int] | None = None,
    seeds: int = 1,
    seconds: float | None = None,
    noise: float | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> Discovery:
    """Look for a formula of samples.

    Small KANs of the shapes of textbook formulae are fitted, see
    :mod:`kanfield.symbolic.proposals.structure`, and a layered one, sparsified and pruned; then their edges
    are snapped to functions of the table. The search ends with the first formula that explains the samples.

    Args:
        x: inputs, ``(N, n)``; a single column may be ``(N,)``.
        y: target, ``(N,)``.
        names: of the inputs; by default x0, x1 and so on.
        target: name of the target.
        functions: the table, see :func:`kanfield.symbolic.read_functions`.
        widths: hidden widths of a layered KAN that is tried first; by default one of width 5 is tried last.
        seeds: how many splits and starts are tried, one after the other.
        seconds: after which no new step begins; None for no limit.
        noise: standard deviation of the target's noise, or None to judge it by what smooth models reach.
        progress: is given a line for every network that was snapped.

    Returns:
        Formulae, attempts, and whether the samples are explained.

    Raises:
        InputError: the samples cannot be used; the message says why.

    >>> x = np.random.default_rng(0).uniform(1, 2, (60, 1))
    >>> discover(x, 3 * np.log(x[:, 0])).chosen.expression
    3*log(x0)
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    x = x[:, None] if x.ndim == 1 else x
    labels = tuple(names) if names is not None else tuple(f"x{number}" for number in range(x.shape[1]))
    check(x, y, labels, target)
    began, searches = time.monotonic(), []
    found = False
    for seed in range(seeds):
        samples, *outside = split(x, y, seed)
        search = _Search(
            samples, (outside[0], outside[1]), functions, labels, noise, seed, began, seconds, progress
        )
        searches.append(search)
        search.floor = min(s.floor for s in searches)
        found = any(search.snapped(*network) for network in _networks(search, widths))
        if found or not search.go_on():
            break
    return _conclude(searches, labels, target)


def _networks(search: _Search, widths: Sequence[int] | None) -> Iterator[tuple[Network, str, float]]:
    """Fitted networks with their origin and relative validation error, the most promising first."""
    s = search.samples
    law = power_law(s, search.functions, search.names)
    if law is not None:
        yield law, "a product of powers", rmse(law, s.x_val, s.y_val) / (s.spread or 1.0)
    law = power_sum(s, search.functions, search.names, search.go_on)
    if law is not None:
        yield law, "a sum of products of powers", rmse(law, s.x_val, s.y_val) / (s.spread or 1.0)
    pairs = itertools.combinations(range(s.x.shape[1]), 2)
    for coordinate in (*plain(s.x.shape[1]), *(each for pair in pairs for each in joined_pairs(pair, s.x))):
        law = power_law_times(s, coordinate, search.functions, search.names) if search.go_on() else None
        if law is not None:
            text = f"powers times {coordinate.text(search.names)}"
            yield law, text, rmse(law, s.x_val, s.y_val) / (s.spread or 1.0)
    law = quotient(s, search.functions, search.names) if has_poles(s.y) and search.go_on() else None
    if law is not None:
        yield law, "one function over another", rmse(law, s.x_val, s.y_val) / (s.spread or 1.0)
    search.floor = min(search.floor, interpolation_error(s.x, s.y, s.x_val, s.y_val))
    if widths is not None:
        yield from _layered(search, widths)
    count = s.x.shape[1]
    sets = reduce_coordinates(s)
    for chosen in sets:
        z, z_val = columns(chosen, s.x[:300]), columns(chosen, s.x_val)
        search.floor = min(search.floor, interpolation_error(z, s.y[:300], z_val, s.y_val))
    if count == 2 and len(sets) == 1:
        sets += [(joined, other) for joined in joined_pairs((0, 1), s.x)[2:] for other in plain(2)]
    for chosen in dict.fromkeys((*sets[:1], *sets[-1:], *sets)):
        if not search.go_on():
            return
        proposals = propose(s, chosen, search.functions, search.names, search.seed, search.go_on)
        for structure in itertools.islice(proposals, _STRUCTURES):
            if structure.error > _HOPELESS or not search.go_on():
                break
            better = improve(structure, s)
            yield better.network, better.text, better.error
    if widths is None and count > 1 and search.go_on():  # of one input a layered KAN would only chain splines
        yield from _layered(search, _WIDTHS)


def _layered(search: _Search, widths: Sequence[int]) -> Iterator[tuple[Network, str, float]]:
    s = search.samples
    spread = s.spread or 1.0
    origin = f"KAN {[s.x.shape[1], *widths, 1]}".replace(" ", "").replace("KAN", "KAN ")
    network = layered(search.names, widths, s.x, _CELLS, search.seed)
    network = follow(refit(network, s.x, s.y, iterations=8, tolerance=1e-5), s.x)
    for strength in STRENGTHS:
        if not search.go_on():
            return
        smaller = prune(sparsify(network, s, strength), s)
        smaller = follow(refit(smaller.refine(2), s.x, s.y, iterations=15, tolerance=1e-6), s.x)
        smaller = refit(smaller, s.x, s.y, iterations=15, tolerance=1e-6)
        if len(smaller.spline_keys()) <= _SNAPPABLE:
            yield smaller, f"{origin}, strength {strength:g}", rmse(smaller, s.x_val, s.y_val) / spread
        else:
            edges = len(smaller.spline_keys())
            search.progress(
                f"seed {search.seed}, {origin}: {edges} edges left at strength {strength:g}, too many"
            )


def _conclude(searches: Sequence[_Search], names: tuple[str, ...], target: str) -> Discovery:
    formulas = [formula for search in searches for formula in search.formulas]
    attempts = [attempt for search in searches for attempt in search.attempts]
    last = searches[-1]
    last.floor = min(s.floor for s in searches)
    front: list[Formula] = []
    for formula in sorted(formulas, key=lambda f: (f.complexity, f.error)):
        if np.isfinite(formula.error) and (not front or formula.error < 0.99 * front[-1].error):
            front.append(formula)
    count = len(last.samples.y_val)

    def bits(formula: Formula) -> float:
        return count * float(np.log2(max(formula.error, 1e-10))) + 3.0 * formula.complexity

    chosen = min(front, key=bits, default=None)
    fitted = None
    if chosen is not None:
        origin = (chosen.seed, chosen.origin)
        fitted = next(a.network for a in attempts if (a.seed, a.origin) == origin)
    found = chosen is not None and last.explains(chosen)
    seconds = time.monotonic() - last.began
    return Discovery(names, target, front, chosen, found, last.floor, attempts, fitted, seconds)
