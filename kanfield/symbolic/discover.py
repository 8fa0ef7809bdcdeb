"""From samples to a formula: networks are fitted, pruned and snapped until one explains the samples."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
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
from kanfield.symbolic.snap import FEW, snap

Array = NDArray[np.float64]
Proposal = tuple[Network, str, float]  # fitted, with its origin and relative validation error

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
        if formula.error <= EXACT or not np.isfinite(formula.error):
            return formula.error <= EXACT
        s = self.samples
        if self.noise is not None and formula.error * s.spread > 1.3 * self.noise:
            return False
        residual = formula.network(s.x_val) - s.y_val
        correlated = neighbour_correlation(s.x_val, residual) > 3 / np.sqrt(len(residual))
        return formula.error <= _AT_FLOOR * self.floor and not correlated

    def snapped(self, network: Network, origin: str, fitted: float) -> bool:
        """Snap a network and keep what comes out; True where that explains the samples."""
        self.floor = min(self.floor, fitted)
        formulas, outcome = [], "its constants cannot be fitted"
        with contextlib.suppress(np.linalg.LinAlgError):  # of one attempt, which must not end the search
            count = len(self.samples.x)
            for most in sorted({min(FEW, count), count}):  # a formula of few may have no value at the others
                results = snap(network, self.samples, self.functions, self.go_on, most)
                kept = len(results[0].network.spline_keys())
                outcome = f"{kept} edges fit no function of the table" if kept else "no value at some samples"
                whole = [s.network for s in results[:2] if not s.network.spline_keys()]
                formulas = self._formulas(whole, origin)
                if formulas or not whole:
                    break
        best = min(formulas, key=lambda f: f.error, default=None)
        explained = best is not None and best.explains
        if best is not None:
            outcome = "explains the samples" if explained else "a formula, but worse than the samples allow"
        if best is not None and explained and best.error > EXACT:
            with contextlib.suppress(np.linalg.LinAlgError):
                plainer = polynomial(self.samples, self.functions, self.names)
                formulas += self._formulas([] if plainer is None else [plainer], origin)
        self.formulas += formulas
        seconds = time.monotonic() - self.began
        error = None if best is None else best.error
        self.attempts.append(Attempt(self.seed, origin, fitted, error, outcome, network, seconds))
        after = "" if error is None else f", {error:.1e} as a formula"
        self.progress(
            f"seed {self.seed}, {origin}: relative error {fitted:.1e} with splines{after}; {outcome}"
        )
        return explained

    def _formulas(self, networks: Sequence[Network], origin: str) -> list[Formula]:
        """Networks as formulae, without those that have no value at some of the samples."""
        found = [self._formula(network, origin) for network in networks]
        x, y = self.samples.x, self.samples.y
        return [formula for formula in found if np.isfinite(rmse(formula.network, x, y))]

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
        formula = Formula(expression, network, complexity(expression), error, outside, self.seed, origin)
        return dataclasses.replace(formula, explains=self.explains(formula))


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
    are snapped to functions of the table. The search ends with the first formula that explains the samples,
    and with Ctrl-C once there is any formula.

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
    for seed in range(seeds):
        samples, *outside = split(x, y, seed)
        search = _Search(
            samples, (outside[0], outside[1]), functions, labels, noise, seed, began, seconds, progress
        )
        searches.append(search)
        search.floor = min(s.floor for s in searches)
        try:
            if any(search.snapped(*network) for network in _networks(search, widths)) or not search.go_on():
                break
        except KeyboardInterrupt:
            if not any(s.formulas for s in searches):
                raise
            progress("interrupted: what was found so far is kept")
            break
    return _conclude(searches, labels, target)


def _networks(search: _Search, widths: Sequence[int] | None) -> Iterator[Proposal]:
    """Fitted networks, the most promising first; proposals whose linear algebra fails are left out."""
    s = search.samples
    for origin, law in _laws(search):
        with contextlib.suppress(np.linalg.LinAlgError):
            network = law()
            if network is not None:
                yield network, origin, rmse(network, s.x_val, s.y_val) / (s.spread or 1.0)
    search.floor = min(search.floor, interpolation_error(s.x, s.y, s.x_val, s.y_val))
    if widths is not None:
        yield from _whole(_layered(search, widths))
    yield from _whole(_structures(search))
    several = s.x.shape[1] > 1  # of one input a layered KAN would only chain splines
    if widths is None and several and search.go_on():
        yield from _whole(_layered(search, _WIDTHS))


def _whole(networks: Iterator[Proposal]) -> Iterator[Proposal]:
    """Networks up to one whose linear algebra fails."""
    with contextlib.suppress(np.linalg.LinAlgError):
        yield from networks


def _laws(search: _Search) -> Iterator[tuple[str, Callable[[], Network | None]]]:
    """Proposals of one network each, by their origins."""
    task, go_on = (search.samples, search.functions, search.names), search.go_on
    x, y = task[0].x, task[0].y
    yield "a product of powers", lambda: power_law(*task)
    yield "a sum of products of powers", lambda: power_sum(*task, go_on)
    pairs = itertools.combinations(range(x.shape[1]), 2)
    joined = (each for pair in pairs for each in joined_pairs(pair, x, "1/x" in search.functions))
    for coordinate in (*plain(x.shape[1]), *joined):
        if go_on():
            text = f"powers times {coordinate.text(search.names)}"
            yield text, functools.partial(power_law_times, task[0], coordinate, *task[1:])
    if has_poles(y) and go_on():
        yield "one function over another", lambda: quotient(*task)


def _structures(search: _Search) -> Iterator[Proposal]:
    """Small networks on few coordinates."""
    s, divide = search.samples, "1/x" in search.functions
    sets = reduce_coordinates(s, search.go_on, divide)
    for chosen in sets:
        z, z_val = columns(chosen, s.x[:300]), columns(chosen, s.x_val)
        search.floor = min(search.floor, interpolation_error(z, s.y[:300], z_val, s.y_val))
    if s.x.shape[1] == 2 and len(sets) == 1:
        sets += [(joined, other) for joined in joined_pairs((0, 1), s.x, divide)[2:] for other in plain(2)]
    for chosen in dict.fromkeys((*sets[:1], *sets[-1:], *sets)):
        if not search.go_on():
            return
        proposals = propose(s, chosen, search.functions, search.names, search.seed, search.go_on)
        for structure in itertools.islice(proposals, _STRUCTURES):
            if structure.error > _HOPELESS or not search.go_on():
                break
            better = improve(structure, s)
            yield better.network, better.text, better.error


def _layered(search: _Search, widths: Sequence[int]) -> Iterator[Proposal]:
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
        better = formula.error < 0.99 * min((f.error for f in front), default=np.inf)
        # The first that explains stays, although a simpler one that does not may have so small an error.
        if better or (formula.explains and not any(f.explains for f in front)):
            front.append(formula)
    count = len(last.samples.y_val)

    def bits(formula: Formula) -> float:
        return count * float(np.log2(max(formula.error, 1e-10))) + 3.0 * formula.complexity

    chosen = min([f for f in front if f.explains] or front, key=bits, default=None)
    fitted = None
    if chosen is not None:
        origin = (chosen.seed, chosen.origin)
        fitted = next(a.network for a in attempts if (a.seed, a.origin) == origin)
    found = chosen is not None and chosen.explains
    seconds = time.monotonic() - last.began
    return Discovery(names, target, front, chosen, found, last.floor, attempts, fitted, seconds)
