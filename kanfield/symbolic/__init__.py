"""From samples to a formula: KANs are fitted, pruned, and their edges snapped to named functions.

>>> from kanfield.symbolic import discover
"""

from __future__ import annotations

from kanfield.symbolic.constants import polish
from kanfield.symbolic.convert import from_kan, layered
from kanfield.symbolic.discover import discover
from kanfield.symbolic.discovery import Discovery, Formula
from kanfield.symbolic.expressions import as_function, shortest
from kanfield.symbolic.fit import refit
from kanfield.symbolic.functions import FUNCTIONS, Function, read_functions
from kanfield.symbolic.network import Network
from kanfield.symbolic.prune import attributions, prune, sparsify
from kanfield.symbolic.samples import Samples, split
from kanfield.symbolic.snap import Snapped, candidates, snap
from kanfield.symbolic.tables import read_table

__all__ = [
    "FUNCTIONS",
    "Discovery",
    "Formula",
    "Function",
    "Network",
    "Samples",
    "Snapped",
    "as_function",
    "attributions",
    "candidates",
    "discover",
    "from_kan",
    "layered",
    "polish",
    "prune",
    "read_functions",
    "read_table",
    "refit",
    "shortest",
    "snap",
    "sparsify",
    "split",
]
