"""Sparse networks: a penalty on edges, and edges left out where unseen samples do not miss them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kanfield.symbolic.edges import Spline, spline_basis
from kanfield.symbolic.fit import follow, refit, rmse
from kanfield.symbolic.network import Key, Network
from kanfield.symbolic.samples import Samples
from kanfield.symbolic.snap import edge_values

Array = NDArray[np.float64]

STRENGTHS = (1e-2, 1e-3)  # of the penalty, one after the other
_ROUNDS = 4
_STEPS = 5  # of every round
_SMALLEST = 1e-4  # size of an edge, relative to its layer's, below which the penalty stops growing
_SHARES = (0.3, 0.1, 0.05, 0.02, 0.005)  # attributions below which edges are left out together
_WORSE = 1.5  # how much leaving edges out may raise the error on validation samples
_GOOD = 1e-2  # relative error that may be given up for fewer edges: refinement brings it down again


def depths(network: Network) -> list[int]:
    """For every node how many edges lead to it from an input, at most."""
    found = [0] * len(network.inputs)
    for node in network.nodes:
        found.append(1 + max((found[edge.source] for edge in node.edges), default=0))
    return found[len(network.inputs) :]


def sparsify(network: Network, samples: Samples, strength: float = 1e-3) -> Network:
    """Fit under a penalty on the sizes of edges, so that few of them do the work.

    The penalty is the KAN paper's: in every layer the sum of the edges' sizes plus the entropy of their
    shares. A size here is the standard deviation of what an edge gives, not the mean of its absolute
    values, so that constants are free. Least squares see it through weights that every round computes anew.

    Args:
        network: with splines.
        samples: to fit.
        strength: of the penalty, relative to the target's spread.

    Returns:
        A network of the same shape.
    """
    for _ in range(_ROUNDS):
        network = follow(network, samples.x)
        penalty = _penalty(network, samples, strength)
        network = refit(network, samples.x, samples.y, penalty=penalty, iterations=_STEPS, tolerance=1e-5)
    return network


def _penalty(network: Network, samples: Samples, strength: float) -> Array:
    known = network.values(samples.x)
    depth = depths(network)
    sizes = {key: float(np.std(e.function(known[e.source]))) for key, e in network.edges()}
    rows, place = [], 0
    for number, node in enumerate(network.nodes):
        layer = [sizes[key] for key in sizes if depth[key[0]] == depth[number]]
        total = sum(layer) or 1.0
        shares = np.array(layer) / total
        entropy = -float(np.sum(shares * np.log(shares + 1e-12)))
        for spot, edge in enumerate(node.edges):
            size, width = sizes[number, spot], len(edge.function.parameters)
            if isinstance(edge.function, Spline):
                slope = 1.0 - (np.log(size / total + 1e-12) + entropy)  # of size plus entropy, by the size
                weight = (
                    strength * samples.spread**2 * max(slope, 0.0) / (total * max(size, _SMALLEST * total))
                )
                f = edge.function
                basis = spline_basis(known[edge.source], f.lower, f.upper, f.size)
                _, r = np.linalg.qr(basis - basis.mean(0))
                block = np.zeros((len(r), len(network.parameters)))
                block[:, place : place + width] = np.sqrt(weight) * r
                rows.append(block)
            place += width
        place += node.bias is not None and not node.fixed
    return np.concatenate(rows) if rows else np.zeros((0, place))


def attributions(network: Network, x: Array) -> dict[Key, float]:
    """How much every edge moves the output: the root of the mean square of its deviations times what they do.

    Args:
        network: which one.
        x: samples, ``(N, n)``.

    Returns:
        By edge, relative to the output's spread.
    """
    spread = float(np.std(network(x))) or 1.0
    found = {}
    for key, _ in network.edges():
        _, given, felt = edge_values(network, x, key)
        found[key] = float(np.sqrt(np.mean((felt * (given - given.mean())) ** 2))) / spread
    return found


def prune(network: Network, samples: Samples) -> Network:
    """Leave out edges, and with them nodes and inputs, where the rest is as good on unseen samples.

    Args:
        network: fitted, best under :func:`sparsify`.
        samples: to fit and to choose by.

    Returns:
        A network with the edges that matter, refitted without a penalty.
    """
    spread = samples.spread or 1.0
    network = refit(network, samples.x, samples.y, iterations=8, tolerance=1e-5)
    error = rmse(network, samples.x_val, samples.y_val) / spread
    for share in _SHARES:
        sizes = attributions(network, samples.x)
        weak = sorted((size, key) for key, size in sizes.items() if size < share)
        for some in dict.fromkeys((len(weak), (len(weak) + 1) // 2)):
            smaller = network.without({key for _, key in weak[:some]})
            if not some or not smaller.nodes[-1].edges:
                continue
            smaller = follow(smaller, samples.x)
            smaller = refit(smaller, samples.x, samples.y, iterations=10, tolerance=1e-4)
            new = rmse(smaller, samples.x_val, samples.y_val) / spread
            if new <= max(_WORSE * error, _GOOD):
                network, error = smaller, max(new, error)
                break
    return network
