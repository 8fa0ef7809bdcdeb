"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import kanfield

MODULES = [m.name for m in pkgutil.walk_packages(kanfield.__path__, "kanfield.") if "__main__" not in m.name]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    if name.endswith("._native"):
        pytest.skip("compiled")
    outcome = doctest.testmod(importlib.import_module(name))
    assert outcome.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name)) if t.examples]
    assert len(found) > 30
