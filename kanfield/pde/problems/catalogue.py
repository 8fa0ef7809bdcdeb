"""The problems that ``kanfield solve`` knows by name."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from kanfield.pde.problem import Problem, Reference
from kanfield.pde.problems import spectral
from kanfield.pde.problems.cache import cached

pi = math.pi
_VISCOSITY = 0.01 / pi
_DIFFUSION = 1e-4  # of Allen-Cahn
_SQUARE = {"x": (-1.0, 1.0), "y": (-1.0, 1.0)}
_UNIT = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
_STRIP = {"x": (-1.0, 1.0), "t": (0.0, 1.0)}


def _zero_on_square(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return 0 * x, (1 - x**2) * (1 - y**2)


def _poisson(u: Tensor, x: Tensor, y: Tensor) -> Tensor:
    wave, turn = torch.sin(pi * x), pi * y**2
    force = -(pi**2) * (1 + 4 * y**2) * wave * torch.sin(turn) + 2 * pi * wave * torch.cos(turn)
    return u.dxx + u.dyy - force  # type: ignore[attr-defined,no-any-return]


def _darcy(u: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Divided by the coefficient, whose logarithm is ``sin(2 pi x) sin(2 pi y) / 2``."""
    sx, sy, cx, cy = (f(2 * pi * v) for f in (torch.sin, torch.cos) for v in (x, y))
    force = 2 * pi**2 * torch.sin(pi * x) * torch.sin(pi * y)
    transport = pi * (cx * sy * u.dx + sx * cy * u.dy)  # type: ignore[attr-defined]
    pull = force * torch.exp(-sx * sy / 2)
    return u.dxx + u.dyy + transport + pull  # type: ignore[attr-defined,no-any-return]


def darcy_solution(degree: int = 32) -> Reference:
    """The reference of ``darcy``, computed with polynomials of a degree."""

    def coefficient(x: spectral.Array, y: spectral.Array) -> spectral.Array:
        return np.exp(np.sin(2 * pi * x) * np.sin(2 * pi * y) / 2)

    def source(x: spectral.Array, y: spectral.Array) -> spectral.Array:
        return 2 * pi**2 * np.sin(pi * x) * np.sin(pi * y)

    return spectral.darcy(coefficient, source, degree)


def _darcy_waves(u: Tensor, x: Tensor, y: Tensor) -> Tensor:
    force = 8 * pi**2 * torch.sin(2 * pi * x) * torch.cos(2 * pi * y)
    return -(u.dxx + u.dyy) - force  # type: ignore[attr-defined,no-any-return]


def _darcy_waves_border(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides y = 0 and y = 1 prescribe ``sin(2 pi x)``, the two others zero."""
    return torch.sin(2 * pi * x), 16 * x * (1 - x) * y * (1 - y)


def _allen_cahn(u: Tensor, x: Tensor, t: Tensor) -> Tensor:
    return u.dt - _DIFFUSION * u.dxx + 5 * u**3 - 5 * u  # type: ignore[attr-defined,no-any-return]


def _allen_cahn_start(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return x**2 * torch.cos(pi * x), t * (1 - x**2)


def _even_period(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cos(pi * x), 2 * t - 1


def _periodic_start(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """The start has a kink where the period ends, which diffuses at once: later the lift has no slope there.

    A field of ``cos(pi x)`` has none either, so that a slope of the lift would stay.
    """
    start = x**2 * torch.cos(pi * x)
    return torch.exp(-10 * t) * (start + 2 * _diffused(1 - x, t) + 2 * _diffused(1 + x, t)), t


def _diffused(s: Tensor, t: Tensor) -> Tensor:
    """What solves the diffusion equation from zero on with a slope of -1 where s = 0."""
    width = torch.sqrt(4 * _DIFFUSION * t.clamp_min(1e-12))  # at the start it is zero, and s / 0 no number
    z = s / width
    return width * (torch.exp(-(z**2)) / math.sqrt(pi) - z * torch.erfc(z))


def _allen_cahn_reference(ends: str) -> Reference:
    return cached(f"allen-cahn-{ends}-512-2000", lambda: spectral.allen_cahn(ends))


def _burgers(u: Tensor, x: Tensor, t: Tensor) -> Tensor:
    return u.dt + u * u.dx - _VISCOSITY * u.dxx  # type: ignore[attr-defined,no-any-return]


def _burgers_start(x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    return -torch.sin(pi * x), t * (1 - x**2)


def _helmholtz(u: Tensor, x: Tensor, y: Tensor) -> Tensor:
    wave = torch.sin(pi * x) * torch.sin(4 * pi * y)
    return u.dxx + u.dyy + u - (1 - 17 * pi**2) * wave  # type: ignore[attr-defined,no-any-return]


_ALL = (
    Problem(
        name="poisson-2d",
        box=_SQUARE,
        residual=_poisson,
        constraint=_zero_on_square,
        exact=lambda x, y: torch.sin(pi * x) * torch.sin(pi * y**2),
        summary="Poisson's equation of the KAN paper (arXiv:2404.19756), u = sin(pi x) sin(pi y^2)",
    ),
    Problem(
        name="darcy",
        box=_UNIT,
        residual=_darcy,
        constraint=lambda x, y: (0 * x, 16 * x * (1 - x) * y * (1 - y)),
        reference=lambda: cached("darcy-32", darcy_solution),
        summary="-div(a grad p) = f with a smooth coefficient a (settings ours), p = 0 on the border",
    ),
    Problem(
        name="darcy-waves",
        box=_UNIT,
        residual=_darcy_waves,
        constraint=_darcy_waves_border,
        exact=lambda x, y: torch.sin(2 * pi * x) * torch.cos(2 * pi * y),
        summary="-lap p = 8 pi^2 sin(2 pi x) cos(2 pi y), PaddleScience's Darcy flow",
    ),
    Problem(
        name="allen-cahn",
        box=_STRIP,
        residual=_allen_cahn,
        constraint=_allen_cahn_start,
        features=_even_period,
        reference=functools.partial(_allen_cahn_reference, "dirichlet"),
        windows=8,
        summary="u_t = 1e-4 u_xx - 5 u^3 + 5 u from x^2 cos(pi x), u = -1 at the ends; fields see cos(pi x)",
    ),
    Problem(
        name="allen-cahn-periodic",
        box=_STRIP,
        residual=_allen_cahn,
        constraint=_periodic_start,
        features=_even_period,
        reference=functools.partial(_allen_cahn_reference, "periodic"),
        windows=8,
        summary="the same with period 2",
    ),
    Problem(
        name="burgers",
        box=_STRIP,
        residual=_burgers,
        constraint=_burgers_start,
        reference=lambda: cached("burgers-256", lambda: spectral.burgers(_VISCOSITY)),
        windows=2,
        summary="u_t + u u_x = (0.01 / pi) u_xx from -sin(pi x), which steepens to a front",
    ),
    Problem(
        name="helmholtz",
        box=_SQUARE,
        residual=_helmholtz,
        constraint=_zero_on_square,
        exact=lambda x, y: torch.sin(pi * x) * torch.sin(4 * pi * y),
        summary="u_xx + u_yy + u = q with u = sin(pi x) sin(4 pi y)",
    ),
)
PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in _ALL}
