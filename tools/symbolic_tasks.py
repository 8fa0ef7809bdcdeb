"""Formulae that a search for formulae should recover, their samples, and the definition of *exact*.

Toys, the 27 dimensionless Feynman rows of the KAN paper, and the easy set of SRSD-Feynman without and with
dummy variables. A formula is *exact* if SymPy proves that its difference to the truth, or their ratio, is a
constant, and both agree to 1e-6 on points outside the range of training; where SymPy does not end within a
minute the second test alone decides.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy
from numpy.typing import NDArray
from scipy.special import j0
from symbolic_srsd import SRSD_EASY, Range, with_dummies

Array = NDArray[np.float64]

PROOF_SECONDS = 60
SAMPLES = 1000

# Name: formula and the ranges of its inputs, in the order of its symbols. Ranges are this file's own: the
# table of the paper (arXiv:2404.19756, table 2) does not print them.
TOYS: dict[str, tuple[str, dict[str, tuple[float, float]]]] = {
    "exp-sin": ("exp(sin(pi*x) + y**2)", {"x": (-1, 1), "y": (-1, 1)}),
    "product": ("x*y", {"x": (-1, 1), "y": (-1, 1)}),
    "quotient": ("x/y", {"x": (-1, 1), "y": (0.5, 2)}),
    "velocities": ("(x + y)/(1 + x*y)", {"x": (-0.9, 0.9), "y": (-0.9, 0.9)}),
    "distance": ("sqrt((x1 - x2)**2 + (x3 - x4)**2)", {f"x{i}": (-1, 1) for i in range(1, 5)}),
    "bessel": ("besselj(0, 20*x)", {"x": (-1, 1)}),
}
FEYNMAN: dict[str, tuple[str, dict[str, tuple[float, float]]]] = {
    "I.6.2": ("exp(-t**2/(2*s**2))/sqrt(2*pi*s**2)", {"t": (-1, 1), "s": (0.5, 2)}),
    "I.6.2b": (
        "exp(-(t - u)**2/(2*s**2))/sqrt(2*pi*s**2)",
        {"t": (-1.5, 1.5), "u": (-1.5, 1.5), "s": (0.5, 2)},
    ),
    "I.9.18": (
        "a/((b - 1)**2 + (c - d)**2 + (e - f)**2)",
        {"a": (0.5, 2), "b": (2, 4), "c": (-1, 1), "d": (-1, 1), "e": (-1, 1), "f": (-1, 1)},
    ),
    "I.12.11": ("1 + a*sin(t)", {"a": (0, 1), "t": (0, 6.283)}),
    "I.13.12": ("a*(1/b - 1)", {"a": (0.5, 2), "b": (0.5, 2)}),
    "I.15.3x": ("(1 - a)/sqrt(1 - b**2)", {"a": (0, 2), "b": (-0.9, 0.9)}),
    "I.16.6": ("(a + b)/(1 + a*b)", {"a": (-0.9, 0.9), "b": (-0.9, 0.9)}),
    "I.18.4": ("(1 + a*b)/(1 + a)", {"a": (0, 2), "b": (0, 2)}),
    "I.26.2": ("asin(n*sin(t))", {"n": (0, 0.95), "t": (0, 1.5)}),
    "I.27.6": ("1/(1 + a*b)", {"a": (0, 2), "b": (0, 2)}),
    "I.29.16": ("sqrt(1 + a**2 - 2*a*cos(t - u))", {"a": (0, 0.9), "t": (-1.5, 1.5), "u": (-1.5, 1.5)}),
    "I.30.3": ("sin(n*t/2)**2/sin(t/2)**2", {"n": (1, 3), "t": (0.5, 2.5)}),
    "I.30.5": ("asin(a/n)", {"a": (-0.9, 0.9), "n": (1, 3)}),
    "I.37.4": ("1 + a + 2*sqrt(a)*cos(t)", {"a": (0.2, 2), "t": (0, 6.283)}),
    "I.40.1": ("n*exp(-a)", {"n": (0.5, 2), "a": (0, 3)}),
    "I.44.4": ("n*log(a)", {"n": (0.5, 2), "a": (0.5, 3)}),
    "I.50.26": ("cos(a) + b*cos(a)**2", {"a": (0, 6.283), "b": (0, 2)}),
    "II.2.42": ("(a - 1)*b", {"a": (0, 3), "b": (0.5, 2)}),
    "II.6.15a": ("c*sqrt(a**2 + b**2)/(4*pi)", {"c": (0.5, 2), "a": (0.5, 2), "b": (0.5, 2)}),
    "II.11.7": ("n*(1 + a*cos(t))", {"n": (0.5, 2), "a": (0, 1), "t": (0, 6.283)}),
    "II.11.27": ("n*a/(1 - n*a/3)", {"n": (0, 1), "a": (0, 2)}),
    "II.35.18": ("n/(exp(a) + exp(-a))", {"n": (0.5, 2), "a": (-2, 2)}),
    "II.36.38": ("a + c*b", {"a": (-1, 1), "c": (0.5, 2), "b": (0.5, 2)}),
    "II.38.3": ("a/b", {"a": (0.5, 2), "b": (0.5, 2)}),
    "III.9.52": ("a*sin((b - c)/2)**2/((b - c)/2)**2", {"a": (0.5, 2), "b": (4, 7), "c": (0, 3)}),
    "III.10.19": ("sqrt(1 + a**2 + b**2)", {"a": (0, 2), "b": (0, 2)}),
    "III.17.37": ("b*(1 + a*cos(t))", {"b": (0.5, 2), "a": (0, 1), "t": (0, 6.283)}),
}
TABLES = ("toys", "feynman", "srsd-easy", "srsd-easy-dummy")


@dataclass(frozen=True)
class Task:
    """A formula and how its inputs are drawn.

    Attributes:
        name: in tables.
        text: the formula.
        ranges: of all inputs, also of those that the formula does not have.
    """

    name: str
    text: str
    ranges: dict[str, Range]

    @property
    def symbols(self) -> list[Any]:
        """The inputs in their order."""
        return [sympy.Symbol(each, real=True) for each in self.ranges]

    def parse(self, text: str) -> Any:
        """A formula of the inputs."""
        return sympy.sympify(text, locals={str(symbol): symbol for symbol in self.symbols})

    def values(self, x: Array) -> Array:
        """The truth at ``x``, shape ``(N,)``."""
        if self.name == "bessel":
            return np.asarray(j0(20 * x[:, 0]))
        return np.asarray(sympy.lambdify(self.symbols, self.parse(self.text), ["scipy", "numpy"])(*x.T))

    def samples(self, seed: int, noise: float = 0.0) -> tuple[Array, Array, Array, Array]:
        """Inputs and target of training, noise relative to its standard deviation, and the same of a test."""
        random = np.random.default_rng(1000 + seed)
        x, x_test = (np.stack([r.draw(random, SAMPLES) for r in self.ranges.values()], 1) for _ in range(2))
        y, y_test = self.values(x), self.values(x_test)
        return x, y + noise * y.std() * random.standard_normal(len(y)), x_test, y_test


def tasks_of(table: str) -> list[Task]:
    """The tasks of one of :data:`TABLES`."""
    if table in ("toys", "feynman"):
        return [
            Task(name, text, {each: Range(*ends, log=False) for each, ends in ranges.items()})
            for name, (text, ranges) in (TOYS if table == "toys" else FEYNMAN).items()
        ]
    if table == "srsd-easy":
        return [Task(f"SRSD {name}", *task) for name, task in SRSD_EASY.items()]
    random = np.random.default_rng(0)  # the columns are a part of the set, whatever the seed of its samples
    return [
        Task(f"SRSD dummy {name}", text, with_dummies(ranges, random))
        for name, (text, ranges) in SRSD_EASY.items()
    ]


def judge(formula: Any, task: Task) -> tuple[bool, str]:
    """Whether a formula agrees with the truth outside the range of training, and what SymPy says.

    Returns:
        The first answer; ``yes``, ``no`` or ``none`` for the second, not asked where the first is no.
    """
    outside = agrees_outside(formula, task)
    return outside, proof(formula, task) if outside else "no"


def agrees_outside(formula: Any, task: Task) -> bool:
    """Whether a formula agrees to 1e-6 up to a quarter beyond the ranges, where the truth has a value."""
    random = np.random.default_rng(7)
    high = np.array([each.high for each in task.ranges.values()])
    low = np.array([-each.high if each.signed else each.low for each in task.ranges.values()])
    reach = 0.25 * (high - low)
    x = random.uniform(low - reach, high + reach, (2000, len(low)))
    x = x[((x < low) | (x > high)).any(1)]
    with np.errstate(all="ignore"):
        a = np.broadcast_to(sympy.lambdify(task.symbols, formula, ["scipy", "numpy"])(*x.T), len(x))
        b = task.values(x)
    good = np.isfinite(b)
    a, b = a[good], b[good]
    return bool(b.size and (np.abs(a - b) <= 1e-6 * (np.median(np.abs(b)) + np.abs(b))).all())


def proof(formula: Any, task: Task) -> str:
    """``yes`` or ``no``, or ``none`` where SymPy has not said within its time."""
    signs = {
        sympy.Symbol(name, real=True): sympy.Symbol(name, positive=True)
        if each.low >= 0 and not each.signed
        else sympy.Symbol(name, real=True)
        for name, each in task.ranges.items()
    }
    # sqrt(s^2) is s where s is positive
    formula, truth = (each.subs(signs) for each in (formula, task.parse(task.text)))
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    child = context.Process(target=_prove, args=(there, formula, truth))
    child.start()
    answer = here.recv() if here.poll(PROOF_SECONDS) else "none"
    child.kill()
    child.join()
    return str(answer)


def _prove(pipe: Any, formula: Any, truth: Any) -> None:
    forms = [formula]
    if formula.has(sympy.Float):
        forms.append(sympy.nsimplify(formula, tolerance=1e-9, rational=False))
    for each in forms:
        if each == 0:  # constants below the tolerance
            continue
        ratio = each / truth
        # A ratio whose square is constant is so too where it is continuous; without roots SymPy sees it.
        for combined in (each - truth, ratio, (ratio**2).rewrite(sympy.exp)):
            if sympy.simplify(combined).is_number:
                pipe.send("yes")
                return
    pipe.send("no")
