"""SymPy expressions: how long they are, a shorter form in bounded time, and what they are written as."""

from __future__ import annotations

import itertools
import keyword
from typing import Any

import sympy

from kanfield.symbolic.numbers import simple_number

_CALL = 6  # nodes that a form may have more for every function that it does without
_SHORT = 120  # nodes of a tree that expanding cannot blow up


def complexity(expression: Any) -> int:
    """Nodes of an expression's tree: operators, functions, symbols and numbers.

    >>> complexity(sympy.Symbol("x") ** 2 + 1)
    5
    """
    return sum(1 for _ in sympy.preorder_traversal(expression))


def shortest(expression: Any) -> Any:
    """The shortest of some equal forms, by steps that take time in proportion to the expression.

    ``sympy.simplify`` may take hours, and nothing in this process can stop it.

    >>> x = sympy.Symbol("x", real=True)
    >>> shortest(sympy.Integer(2) * (x + 1) - 2)
    2*x
    """
    forms = [expression, sympy.factor_terms(expression), sympy.powsimp(expression)]
    if complexity(expression) <= _SHORT:
        forms.append(sympy.expand_trig(expression))  # tanh(atanh(a) + atanh(b)) is a fraction
    if expression.has(sympy.atanh):  # so is exp(2 * atanh(a))
        forms.append(sympy.factor_terms(sympy.expand(expression.rewrite(sympy.log))))
    if complexity(expression) <= _SHORT and not _has_large_power(expression):
        expanded = sympy.expand(expression, trig=False, power_base=False, power_exp=False, log=False)
        forms += [expanded, sympy.factor_terms(expanded), sympy.powsimp(expanded)]
    return min(forms, key=lambda form: complexity(form) + _CALL * len(form.atoms(sympy.Function)))


def with_simple_numbers(expression: Any) -> Any:
    """The expression with simple numbers for those of its floats that they match to ten digits.

    >>> with_simple_numbers(sympy.Float(0.25) * sympy.Symbol("x"))
    x/4
    """
    found = {
        number: simple_number(float(number), 1e-10 * abs(float(number)))
        for number in expression.atoms(sympy.Float)
    }
    return expression.xreplace({number: simple for number, simple in found.items() if simple is not None})


def _has_large_power(expression: Any) -> bool:
    return any(p.exp.is_Integer and p.exp > 4 for p in expression.atoms(sympy.Pow))


def as_function(expression: Any, inputs: tuple[str, ...], name: str = "formula") -> str:
    """Python code of a function of NumPy arrays.

    Args:
        expression: of symbols named as the inputs.
        inputs: its arguments, in their order; one that Python cannot name, or that a module is called, gets a
            number.
        name: of the function.

    >>> print(as_function(sympy.exp(sympy.Symbol("a", real=True)), ("a",)))
    import numpy
    <BLANKLINE>
    <BLANKLINE>
    def formula(a):
        return numpy.exp(a)
    """
    from sympy.printing.numpy import SciPyPrinter

    known = list(inputs)
    for number, word in enumerate(inputs):
        if not word.isidentifier() or keyword.iskeyword(word) or word in ("numpy", "scipy"):
            free = (f"x{count}" for count in itertools.count(number))
            known[number] = next(each for each in free if each not in known)
    renamed = expression.xreplace(  # all at once: a new name may be another's old one
        {
            sympy.Symbol(word, real=True): sympy.Symbol(k, real=True)
            for word, k in zip(inputs, known, strict=True)
        }
    )
    code = SciPyPrinter({"fully_qualified_modules": True}).doprint(renamed)
    code = code.replace("scipy.constants.", "numpy.")  # they have pi under the same name
    modules = [m for m in ("numpy", "scipy.special") if f"{m}." in code]
    imports = "\n".join(f"import {module}" for module in modules)
    return f"{imports}\n\n\ndef {name}({', '.join(known)}):\n    return {code}".lstrip()
