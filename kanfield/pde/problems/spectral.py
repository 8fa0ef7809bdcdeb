"""Reference solutions that no formula gives, by spectral methods."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, idct
from scipy.linalg import solve

from kanfield.pde.problem import Reference

Array = NDArray[np.float64]


def allen_cahn(ends: str, modes: int = 512, steps: int = 2000, times: int = 201) -> Reference:
    """``u_t = 1e-4 u_xx - 5 u^3 + 5 u`` on [-1, 1] up to t = 1, from ``x^2 cos(pi x)``.

    The solution is even, so it is computed on [0, 1]: in cosines of ``k pi x`` where it is periodic, and in
    cosines of ``(k + 1/2) pi x`` of u + 1 where u = -1 at the ends. The linear part is integrated exactly,
    the rest by a Runge-Kutta scheme of fourth order (ETDRK4: Cox and Matthews, 2002, with the contour
    integrals of Kassam and Trefethen, 2005).

    Args:
        ends: ``"periodic"`` or ``"dirichlet"``.
        modes: cosines, and points in [0, 1].
        steps: of time, a multiple of ``times - 1``.
        times: at which the solution is kept.

    Returns:
        On axes x (``2 * modes`` points, in the middle of as many cells) and t.
    """
    kind, shift, offset = (2, 0.0, 0.0) if ends == "periodic" else (4, 0.5, -1.0)
    x = (np.arange(modes) + 0.5) / modes
    diffusion: Array = -1e-4 * (math.pi * (np.arange(modes, dtype=float) + shift)) ** 2

    def values(spectrum: Array) -> Array:
        return np.asarray(idct(spectrum, kind, norm="ortho"))

    def reaction(spectrum: Array) -> Array:
        u = values(spectrum) + offset
        return np.asarray(dct(5 * u - 5 * u**3, kind, norm="ortho"))

    spectrum = np.asarray(dct(x**2 * np.cos(math.pi * x) - offset, kind, norm="ortho"))
    step = etdrk4(diffusion, reaction, 1 / steps)
    kept, every = [x**2 * np.cos(math.pi * x)], steps // (times - 1)
    for number in range(1, steps + 1):
        spectrum = step(spectrum)
        if number % every == 0:
            kept.append(values(spectrum) + offset)
    half = np.stack(kept, 1)
    return Reference(
        [np.concatenate([-x[::-1], x]), np.linspace(0, 1, times)], np.concatenate([half[::-1], half])
    )


def etdrk4(linear: Array, rest: Callable[[Array], Array], step: float) -> Callable[[Array], Array]:
    """One step in time of ``v' = linear * v + rest(v)``, exact in its linear part.

    Args:
        linear: shape ``(K,)``.
        rest: the nonlinear part, from and to shape ``(K,)``.
        step: of time.

    >>> advance = etdrk4(np.array([-2.0]), lambda v: 0 * v, 0.5)
    >>> float(np.round(advance(np.array([1.0])) * np.e, 12)[0])
    1.0
    """
    whole, half = np.exp(step * linear), np.exp(step * linear / 2)
    # The coefficients cancel badly near zero; means over a circle around each number do not.
    circle = step * linear[:, None] + np.exp(1j * math.pi * (np.arange(32) + 0.5) / 32)
    grow = np.exp(circle)

    def mean(numbers: NDArray[np.complex128]) -> Array:
        return np.asarray(step * numbers.real.mean(1))

    middle = mean((np.exp(circle / 2) - 1) / circle)
    start = mean((-4 - circle + grow * (4 - 3 * circle + circle**2)) / circle**3)
    centre = mean((2 + circle + grow * (circle - 2)) / circle**3)
    end = mean((-4 - 3 * circle - circle**2 + grow * (4 - circle)) / circle**3)

    def advance(v: Array) -> Array:
        at_start = rest(v)
        a = half * v + middle * at_start
        at_a = rest(a)
        b = half * v + middle * at_a
        at_b = rest(b)
        c = half * a + middle * (2 * at_b - at_start)
        result: Array = whole * v + start * at_start + 2 * centre * (at_a + at_b) + end * rest(c)
        return result

    return advance


def burgers(viscosity: float, points: int = 256, times: int = 101, nodes: int = 4000) -> Reference:
    """``u_t + u u_x = viscosity u_xx`` on [-1, 1] up to t = 1, from ``-sin(pi x)``.

    By the formula of Cole and Hopf. Its integrals over the line are taken by the trapezoidal
    rule, which converges exponentially here.

    Args:
        viscosity: above zero.
        points: along x, in the middle of as many cells.
        times: from 0 to 1.
        nodes: of the rule.
    """
    x = (2 * np.arange(points) + 1) / points - 1
    t = np.linspace(0, 1, times)
    values = [-np.sin(math.pi * x)]
    for now in t[1:]:
        # In units of the kernel's width; exp(-8^2) is below rounding even beside exp(1 / (2 pi viscosity)).
        eta = np.linspace(-14, 14, nodes) * math.sqrt(2 * viscosity * now)
        y = x[:, None] - eta
        exponent = -np.cos(math.pi * y) / (2 * math.pi * viscosity) - eta**2 / (4 * viscosity * now)
        weight = np.exp(exponent - exponent.max(1, keepdims=True))
        values.append(-(np.sin(math.pi * y) * weight).sum(1) / weight.sum(1))
    return Reference([x, t], np.stack(values, 1))


def darcy(
    coefficient: Callable[[Array, Array], Array], source: Callable[[Array, Array], Array], degree: int = 32
) -> Reference:
    """``-div(a grad p) = f`` on the unit square, p = 0 on its border, by Chebyshev collocation.

    Args:
        coefficient: a of x and y.
        source: f of x and y.
        degree: of the polynomials along each coordinate.

    Returns:
        On 101 x 101 evenly spaced points.
    """
    nodes, slope = chebyshev(degree)
    x, y = np.meshgrid(nodes, nodes, indexing="ij")
    identity = np.eye(degree + 1)
    across, along = np.kron(slope, identity), np.kron(identity, slope)
    a = coefficient(x, y).reshape(-1, 1)
    operator = -(across @ (a * across) + along @ (a * along))
    inner = ((x % 1 != 0) & (y % 1 != 0)).reshape(-1)
    p = np.zeros(x.size)
    p[inner] = solve(operator[np.ix_(inner, inner)], source(x, y).reshape(-1)[inner])
    even = np.linspace(0, 1, 101)
    onto = np.polynomial.chebyshev.chebvander(2 * even - 1, degree) @ np.linalg.inv(
        np.polynomial.chebyshev.chebvander(2 * nodes - 1, degree)
    )
    return Reference([even, even], onto @ p.reshape(x.shape) @ onto.T)


def chebyshev(degree: int) -> tuple[Array, Array]:
    """Chebyshev's points on [0, 1] and the matrix that differentiates polynomials on them.

    >>> x, slope = chebyshev(4)
    >>> bool(np.allclose(slope @ x**3, 3 * x**2))
    True
    """
    x = (1 - np.cos(math.pi * np.arange(degree + 1) / degree)) / 2
    x[-1] = 1.0
    values = np.polynomial.chebyshev.chebvander(2 * x - 1, degree)
    slopes = np.stack(
        [2 * np.polynomial.chebyshev.Chebyshev.basis(n).deriv()(2 * x - 1) for n in range(degree + 1)], 1
    )
    return x, np.asarray(solve(values.T, slopes.T).T)
