"""The table of functions that edges may become: named one-variable functions with their constants."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sympy
import yaml
from numpy.typing import NDArray

from kanfield.errors import InputError, suggest

Array = NDArray[np.float64]

X = sympy.Symbol("x", real=True)
CONSTANTS = "abcd"  # of c * f(a * x + b) + d


@dataclass(frozen=True)
class Function:
    """A function of one variable, as an edge uses it: ``c * f(a * x + b) + d``.

    Attributes:
        name: in tables and drawings.
        formula: SymPy expression in :data:`X`.
        domain: open interval where it is defined and smooth.
        complexity: what choosing it costs, in units of the identity's.
        free: constants out of ``"abcd"`` that are not the others in disguise; others stay at 1, 0, 1, 0. The
            sign of ``a`` is chosen even where its size is not free.
        pole: whether the domain begins at a pole beyond which there are values too; it is looked for on one
            side of it alone.
    """

    name: str
    formula: sympy.Expr
    domain: tuple[float, float] = (-math.inf, math.inf)
    complexity: float = 2.0
    free: str = CONSTANTS
    pole: bool = False

    @functools.cached_property
    def symmetric(self) -> bool:
        """Whether ``f(-x)`` is ``f(x)`` or ``-f(x)``, so that a negative ``a`` gives nothing new."""
        mirrored = self.formula.subs(X, -X)
        return mirrored in (self.formula, -self.formula) and self.domain[0] == -self.domain[1]

    @functools.cached_property
    def _numeric(self) -> tuple[Callable[[Array], Any], Callable[[Array], Any]]:
        modules = ["scipy", "numpy"]
        return (
            sympy.lambdify(X, self.formula, modules),
            sympy.lambdify(X, sympy.diff(self.formula, X), modules),
        )

    def __call__(self, u: Array) -> Array:
        """Values at ``u``; NaN outside the domain, or at its pole."""
        return self._masked(self._numeric[0], u)

    def slope(self, u: Array) -> Array:
        """Derivatives at ``u``; NaN outside the domain."""
        return self._masked(self._numeric[1], u)

    def _masked(self, function: Callable[[Array], Any], u: Array) -> Array:
        low, high = self.domain
        inside = (u != low) if self.pole else (u > low) & (u < high)
        with np.errstate(all="ignore"):
            values = np.broadcast_to(np.asarray(function(u), dtype=np.float64), u.shape)
        return np.where(inside, values, np.nan)


def _table() -> dict[str, Function]:
    positive, unit, everywhere = (0.0, math.inf), (-1.0, 1.0), (-math.inf, math.inf)
    half = (-math.pi / 2, math.pi / 2)
    rows = [
        ("x", X, everywhere, 1, "cd"),
        ("x^2", X**2, everywhere, 2, "bcd"),
        ("x^3", X**3, everywhere, 3, "bcd"),
        ("x^4", X**4, everywhere, 3, "bcd"),
        ("1/x", 1 / X, positive, 2, "bcd"),
        ("1/x^2", X**-2, positive, 2, "bcd"),
        ("sqrt", sympy.sqrt(X), positive, 2, "bcd"),
        ("1/sqrt", 1 / sympy.sqrt(X), positive, 2, "bcd"),
        ("x^1.5", X ** sympy.Rational(3, 2), positive, 4, "bcd"),
        ("exp", sympy.exp(X), everywhere, 2, "acd"),
        ("log", sympy.log(X), positive, 2, "bcd"),
        ("sin", sympy.sin(X), everywhere, 2, "abcd"),
        ("tan", sympy.tan(X), half, 3, "abcd"),
        ("tanh", sympy.tanh(X), everywhere, 3, "abcd"),
        ("cosh", sympy.cosh(X), everywhere, 3, "abcd"),
        ("gaussian", sympy.exp(-(X**2)), everywhere, 3, "abcd"),
        ("arcsin", sympy.asin(X), unit, 4, "abcd"),
        ("arctan", sympy.atan(X), everywhere, 4, "abcd"),
        ("arctanh", sympy.atanh(X), unit, 4, "abcd"),
        ("abs", sympy.Abs(X), everywhere, 3, "bcd"),
    ]
    poles = ("1/x", "1/x^2")
    return {
        name: Function(name, formula, domain, float(cost), free, name in poles)
        for name, formula, domain, cost, free in rows
    }


FUNCTIONS: Mapping[str, Function] = _table()

_CALLS: dict[str, Any] = {
    **{name: getattr(sympy, name) for name in ("sin", "cos", "tan", "exp", "log", "sqrt", "sinh", "cosh")},
    **{name: getattr(sympy, name) for name in ("tanh", "asin", "acos", "atan", "asinh", "acosh", "atanh")},
    **{name: getattr(sympy, name) for name in ("erf", "gamma", "besselj", "bessely", "airyai", "airybi")},
    "abs": sympy.Abs,
}
_NAMES = {"x": X, "pi": sympy.pi, "E": sympy.E}


def parse_formula(text: str) -> sympy.Expr:
    """A formula in ``x`` from text, by a parser that knows arithmetic and a list of functions and no more.

    Args:
        text: such as ``"besselj(0, x) / 2"``; nothing in it is run as Python.

    Raises:
        ValueError: it holds anything else; the message says what.

    >>> parse_formula("exp(-x**2 / 2)")
    exp(-x**2/2)
    >>> parse_formula("__import__('os')")
    Traceback (most recent call last):
    ValueError: '__import__' is no function of the table's files
    """
    try:
        tree = ast.parse(text.replace("^", "**"), mode="eval")
        return sympy.sympify(_expression(tree.body))
    except (SyntaxError, RecursionError, MemoryError):
        raise ValueError(f"'{text[:40]}' is no formula in x") from None


def _expression(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return sympy.Integer(node.value) if isinstance(node.value, int) else sympy.Rational(str(node.value))
    if isinstance(node, ast.Name):
        if node.id not in _NAMES:
            raise ValueError(f"'{node.id}' is no name of a formula: use x, pi and E")
        return _NAMES[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _expression(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        left, right = _expression(node.left), _expression(node.right)
        if isinstance(node.op, ast.Pow):
            if right.is_number and abs(right) > 100:  # 9**9**9 would not end
                raise ValueError("an exponent above 100 is no function to look for")
            return left**right
        actions: dict[type, Any] = {
            ast.Add: lambda: left + right,
            ast.Sub: lambda: left - right,
            ast.Mult: lambda: left * right,
            ast.Div: lambda: left / right,
        }
        if type(node.op) in actions:
            return actions[type(node.op)]()
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        if node.func.id not in _CALLS:
            raise ValueError(f"'{node.func.id}' is no function of the table's files")
        try:
            return _CALLS[node.func.id](*map(_expression, node.args))
        except TypeError:
            raise ValueError(f"'{node.func.id}' takes another number of arguments") from None
    raise ValueError("a formula has numbers, x, + - * / **, and functions such as sin")


def read_functions(path: Path) -> dict[str, Function]:
    """The table, with what a user's YAML file adds to it.

    Args:
        path: a file with a list of entries ``{name, formula, domain, complexity, free}``; the last three may
            be left out. A name of the table is replaced.

    Returns:
        Functions by name.

    Raises:
        InputError: the file cannot be read, or an entry cannot be used.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "more.yaml"
    ...     _ = file.write_text("- {name: J0, formula: 'besselj(0, x)', complexity: 4}")
    ...     read_functions(file)["J0"].formula
    besselj(0, x)
    """
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"--functions {path}: {error.strerror}; give a YAML file of functions") from None
    except (yaml.YAMLError, UnicodeError):
        raise InputError(f"--functions {path} is no YAML: list entries such as {_EXAMPLE}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"--functions {path}: give a list of entries such as {_EXAMPLE}")
    return {**FUNCTIONS, **{f.name: f for f in (_read_entry(path, entry) for entry in entries)}}


_EXAMPLE = "- {name: J0, formula: 'besselj(0, x)', domain: [-.inf, .inf], complexity: 4}"


def _read_entry(path: Path, entry: dict[str, Any]) -> Function:
    known = ("name", "formula", "domain", "complexity", "free")
    for key in entry:
        if key not in known:
            raise InputError(f"--functions {path}: '{key}' is unknown{suggest(key, known)}")
    if not all(isinstance(entry.get(key), str) and entry[key] for key in known[:2]):
        raise InputError(f"--functions {path}: every entry needs a name and a formula, as {_EXAMPLE}")
    name = entry["name"]
    try:
        formula = parse_formula(entry["formula"])
        domain, complexity = entry.get("domain", [-math.inf, math.inf]), entry.get("complexity", 3)
        free = str(entry.get("free", CONSTANTS))
        if name == "x":
            raise ValueError("x is the straight line, which every search needs: give it another name")
        if not isinstance(domain, list) or len(domain) != 2 or not all(map(_is_number, domain)):
            raise ValueError("its domain is no pair of numbers, such as [0, .inf]")
        low, high = map(float, domain)
        if not low < high:
            raise ValueError("its domain is empty")
        if not _is_number(complexity) or not 0 < complexity < math.inf:
            raise ValueError("its complexity is no number above zero")
        if not free or set(free) - set(CONSTANTS):
            raise ValueError("free names constants out of abcd")
        if formula.free_symbols != {X}:
            raise ValueError("its formula does not depend on x")
        function = Function(name, formula, (low, high), float(complexity), free)
        inner = np.linspace(max(low, -3.0), min(high, 3.0), 9)[1:-1]
        if not np.isfinite([function(inner), function.slope(inner)]).any():
            raise ValueError("it has no finite value; give its domain")
    except (TypeError, ValueError, NameError) as error:
        raise InputError(f"--functions {path}, entry {name}: {error}") from None
    return function


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
