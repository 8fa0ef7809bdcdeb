"""The constants of a formula: gauges between them removed, and simple numbers where the samples agree."""

from __future__ import annotations

import dataclasses

import numpy as np
import sympy
from numpy.typing import NDArray

from kanfield.symbolic.edges import Named
from kanfield.symbolic.fit import refit, rmse
from kanfield.symbolic.functions import CONSTANTS
from kanfield.symbolic.network import Edge, Network
from kanfield.symbolic.numbers import simple_number
from kanfield.symbolic.samples import Samples

Array = NDArray[np.float64]

_STANDARD_ERRORS = 4.0  # how far from its fitted value a constant may be rounded
_WORSE = 1.01  # how much that may raise the error on the samples fitted
_ROUND_OFF = 1e-13  # of the target's spread: below it errors are not compared
_GAUGE = 1e-7  # singular value, relative to the largest, of a direction that changes nothing
_TAKES_PART = 0.1  # component of such a direction, of length 1, by which a constant takes part in it
_REACH = 1e-8  # least relative distance that is tried: fits end before the last digits


def tidy(network: Network) -> Network:
    """The same function with one factor for every product, where its factors had one each.

    Args:
        network: without splines.
    """
    first = len(network.inputs)
    for number, node in enumerate(network.nodes):
        users = [(key, edge) for key, edge in network.edges() if edge.source == first + number]
        if not node.product or len(users) != 1:
            continue
        (key, user), scale, edges = users[0], 1.0, []
        named = user.function
        if not isinstance(named, Named) or named.function.name != "x":
            continue
        for edge in node.edges:
            f = edge.function
            if isinstance(f, Named) and "c" in f.free and f.constants[2] != 0:
                c = f.constants[2]
                scale *= c
                shifted = f.constants * np.array([1, 1, 0, 1 / c]) + np.array([0, 0, 1, 0])
                f = Named(f.function, shifted, f.free.replace("c", ""))
            edges.append(Edge(edge.source, f))
        free = named.free if "c" in named.free else named.free + "c"
        outer = Named(named.function, named.constants * np.array([1, 1, scale, 1]), free)
        network = network.with_node(number, dataclasses.replace(node, edges=tuple(edges)))
        network = network.with_function(key, outer)
    return network


def polish(network: Network, samples: Samples) -> Network:
    """A formula with its constants fitted to the last digits, and rounded where the samples do not mind.

    Of constants that can be exchanged for each other, as the three of ``c / sqrt(p - q x^2)``, one becomes
    zero or one. A constant becomes a simple number within four standard errors of its fitted value; all
    others are fitted again, and the error must not rise by more than a hundredth.

    Args:
        network: without splines.
        samples: to fit.

    Returns:
        A network whose rounded constants are no longer free; as it was where it has no value at a sample.
    """
    if not np.isfinite(rmse(network, samples.x, samples.y)):
        return network
    network = refit(tidy(network), samples.x, samples.y, iterations=40, tolerance=0.0)
    network = _without_gauges(network, samples)
    floor = _ROUND_OFF * (samples.spread or 1.0)
    refused: set[tuple[int, int, str]] = set()
    while _slots(network):
        base = rmse(network, samples.x, samples.y)
        errors = _standard_errors(network, samples, base)
        chosen = _closest(network, errors, refused)
        if chosen is None:
            break
        place, number = chosen
        rounded = refit(_fixed(network, place, number), samples.x, samples.y, iterations=15, tolerance=0.0)
        if rmse(rounded, samples.x, samples.y) <= _WORSE * base + floor:
            network = rounded
        else:
            refused.add(place)
    return network


def _without_gauges(network: Network, samples: Samples) -> Network:
    """The same function with a constant less for every direction of all constants that changes nothing."""
    floor = _ROUND_OFF * (samples.spread or 1.0)
    while slots := _slots(network):
        matrix = network.jacobian(samples.x)
        scale = np.linalg.norm(matrix, axis=0)
        _, singular, v = np.linalg.svd(matrix / np.where(scale > 0, scale, 1.0), full_matrices=False)
        if singular[-1] > _GAUGE * singular[0]:
            break
        limit = _WORSE * rmse(network, samples.x, samples.y) + floor
        found = None
        for number in np.argsort(-np.abs(v[-1])):
            place, value = slots[number]
            if found is not None or abs(v[-1][number]) < _TAKES_PART:
                break
            for simple in (0, 1 if value > 0 else -1):  # of a shift, or of a scale
                fixed = _fixed(network, place, sympy.Integer(simple))
                fixed = refit(fixed, samples.x, samples.y, iterations=15, tolerance=0.0)
                if rmse(fixed, samples.x, samples.y) <= limit:
                    found = fixed
                    break
        if found is None:
            break
        network = found
    return network


def _slots(network: Network) -> list[tuple[tuple[int, int, str], float]]:
    """Places and values of all free constants, in the order of ``Network.parameters``."""
    slots = []
    for number, node in enumerate(network.nodes):
        for spot, edge in enumerate(node.edges):
            f = edge.function
            assert isinstance(f, Named)
            slots += [((number, spot, letter), f.constants[CONSTANTS.index(letter)]) for letter in f.free]
        if node.bias is not None and not node.fixed:
            slots.append(((number, -1, "bias"), node.bias))
    return slots


def _standard_errors(network: Network, samples: Samples, error: float) -> Array:
    matrix = network.jacobian(samples.x)
    scale = np.linalg.norm(matrix, axis=0)
    scale[scale == 0] = 1.0
    _, singular, v = np.linalg.svd(matrix / scale, full_matrices=False)
    # Directions that the samples do not feel are gauges: any value serves there, so their errors are large.
    inverse = 1 / np.maximum(singular, 1e-9 * singular.max())
    errors: Array = error * np.sqrt(((inverse[:, None] * v) ** 2).sum(0)) / scale
    return errors


def _closest(
    network: Network, errors: Array, refused: set[tuple[int, int, str]]
) -> tuple[tuple[int, int, str], sympy.Expr] | None:
    best, distance = None, np.inf
    for (place, value), error in zip(_slots(network), errors, strict=True):
        if place in refused:
            continue
        tolerance = max(_STANDARD_ERRORS * error, _REACH * max(1.0, abs(value)))
        number = simple_number(float(value), tolerance)
        if number is not None and abs(float(number) - value) / tolerance < distance:
            best, distance = (place, number), abs(float(number) - value) / tolerance
    return best


def _fixed(network: Network, place: tuple[int, int, str], number: sympy.Expr) -> Network:
    at, spot, letter = place
    if letter == "bias":
        return network.with_node(at, dataclasses.replace(network.nodes[at], bias=float(number), fixed=True))
    f = network.edge((at, spot)).function
    assert isinstance(f, Named)
    constants = f.constants.copy()
    constants[CONSTANTS.index(letter)] = float(number)
    return network.with_function((at, spot), Named(f.function, constants, f.free.replace(letter, "")))
