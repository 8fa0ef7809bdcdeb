"""The Hessian of one spline layer under least squares: well conditioned whatever the grid (arXiv:2410.01803).

Theorem 4.1 there: for uniform inputs on [-1, 1]^d, the ratio of the largest to the smallest non-zero
eigenvalue is at most C d, with a C that depends on the order of the splines and not on the grid
(:func:`ratio_bound` computes one); d - 1 eigenvalues are zero, because a constant can move from one input's
spline to another's. A ReLU layer's ratio grows with its width (Hong et al., 2022, arXiv:2208.03970), which
slows high frequencies down.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from kanfield.metrics.spectra import log_slope
from kanfield.reports.findings import Claim, Findings, Picture, Table
from kanfield.splines.refine import gram_matrix
from kanfield.studies.conditioning.figures import draw_ratios, draw_spectra
from kanfield.studies.conditioning.settings import Conditioning
from kanfield.studies.study import Result, Trial

_ZERO = 1e-11  # of the largest eigenvalue: smaller ones are rounding
RELU = "relu"


def spline_hessian(size: int, order: int, dimension: int) -> Tensor:
    """Hessian of ``mean (sum_i spline_i(x_i))^2 / 2`` in the coefficients, for uniform independent inputs.

    Args:
        size: cells G of every input's grid.
        order: k, the degree of the splines: 1, 2 or 3.
        dimension: number of inputs d.

    Returns:
        float64, shape ``(d (G + k), d (G + k))``.

    >>> spline_hessian(5, 3, 2).shape
    torch.Size([16, 16])
    """
    gram = gram_matrix(size, order)
    return _blocks(gram, gram.sum(1), dimension)  # rows of the basis sum to one


def relu_hessian(width: int, dimension: int) -> Tensor:
    """The same Hessian of a layer of units ``relu(x_i - t_j)``, breakpoints ``t_j`` evenly over [-1, 1].

    Args:
        width: units per input.
        dimension: number of inputs d.

    Returns:
        float64, shape ``(d width, d width)``.
    """
    nodes, weights = np.polynomial.legendre.leggauss(2)
    cells = np.arange(width)[:, None]
    points = torch.from_numpy(2 * ((cells + (nodes + 1) / 2) / width).reshape(-1) - 1)
    masses = torch.from_numpy(np.tile(weights / 2, width) / width)
    features = (points[:, None] - (2 * torch.arange(width, dtype=torch.float64) / width - 1)).relu()
    return _blocks(features.T @ (masses[:, None] * features), masses @ features, dimension)


def _blocks(gram: Tensor, means: Tensor, dimension: int) -> Tensor:
    """Inputs are independent: blocks off the diagonal are products of means."""
    same = torch.eye(dimension, dtype=torch.float64)
    return torch.kron(same, gram) + torch.kron(1 - same, torch.outer(means, means))


def ratio_bound(order: int) -> float:
    """A constant C of theorem 4.1: the ratio is at most ``C d``, on every grid.

    Let M and A be the Gram matrices of the splines on one cell and on G cells, and m the splines' means.

    - A is a sum over cells of copies of ``M / G``: its smallest eigenvalue is at least M's over G.
    - The rows of A sum to m, which is at most ``1 / G``: so is its largest eigenvalue. The condition number
      of A is thus at most ``C = 1 / (smallest eigenvalue of M)``.
    - The Hessian has the eigenvalues of ``A + (d - 1) m m^T`` and, d - 1 times, those of ``A - m m^T``. The
      largest is at most d times A's, as ``|m|^2`` is at most A's largest; the smallest that is not zero is
      at least A's, by interlacing.

    >>> [round(ratio_bound(order)) for order in (1, 2, 3)]
    [6, 181, 16422]
    """
    return 1 / float(torch.linalg.eigvalsh(gram_matrix(1, order))[0])


def spectrum(hessian: Tensor) -> Tensor:
    """Eigenvalues that are not zero, in descending order."""
    values: Tensor = torch.linalg.eigvalsh(hessian).flip(0)
    return values[values > _ZERO * values[0]]


def trials(settings: Conditioning) -> list[Trial]:
    """One for every order of splines, and one for the ReLU layer."""
    kinds: list[int | str] = [*settings.orders, RELU]
    return [Trial(f"order-{k}" if k != RELU else RELU, lambda k=k: _measure(settings, k)) for k in kinds]  # type: ignore[misc]


def _measure(settings: Conditioning, kind: int | str) -> Result:
    rows: list[dict[str, Any]] = []
    for dimension in settings.dimensions:
        for size in settings.grids:
            if isinstance(kind, int):
                hessian = spline_hessian(size, kind, dimension)
                rank: int | None = dimension * (size + kind - 1) + 1
            else:
                hessian, rank = relu_hessian(size, dimension), None
            values = spectrum(hessian)
            row = {"d": dimension, "G": size, "rank": len(values), "expected_rank": rank}
            rows.append({**row, "ratio": float(values[0] / values[-1])})
    size = max(settings.grids)
    shown = spectrum(spline_hessian(size, kind, 1) if isinstance(kind, int) else relu_hessian(size, 1))
    curves = {
        f"ratio/d = {d}": [(row["G"], row["ratio"]) for row in rows if row["d"] == d]
        for d in settings.dimensions
    }
    return {"rows": rows, "eigenvalues": [float(v) for v in shown / shown[0]], "curves": curves}


def conclude(settings: Conditioning, results: dict[str, Result]) -> Findings:
    """Compare ranks and ratios with the theorem."""
    claims = []
    for order in settings.orders:
        claims += _claims(settings, order, results[f"order-{order}"]["rows"])
    relu = _ratios(results[RELU]["rows"], d=settings.dimensions[0])
    power = log_slope([float(g) for g in settings.grids], relu)[0]
    text = "A ReLU layer's ratio grows with its width"
    claims.append(Claim(text, f"{relu[0]:.2g} to {relu[-1]:.2g}, as the power {power:.1f} of it", power > 1))
    named = {f"splines, k = {k}": results[f"order-{k}"] for k in settings.orders} | {"ReLU": results[RELU]}
    largest, first = max(settings.grids), settings.dimensions[0]
    pictures = [
        Picture(
            "ratios",
            draw_ratios({name: result["rows"] for name, result in named.items()}, settings.grids[0], first),
            "Largest over smallest non-zero eigenvalue of the Hessian: against the grid or width "
            f"(d = {first}) and against the dimension (G = {settings.grids[0]}).",
        ),
        Picture(
            "spectra",
            draw_spectra({name: result["eigenvalues"] for name, result in named.items()}),
            f"Eigenvalues for one input and G = {largest}: splines' stay near the largest, except those at "
            "the borders; ReLU's fall further and further.",
        ),
    ]
    k = max(settings.orders)
    per_d = max(row["ratio"] / row["d"] for row in results[f"order-{k}"]["rows"])
    summary = (
        f"Splines of order {k}: the ratio is at most {per_d:,.0f} per dimension, on every grid; ReLU: "
        f"{relu[-1]:.1e} at a width of {largest}."
    )
    notes = [
        "Splines alone, without the smooth branch; inputs uniform on the grid's range; exact by "
        "Gauss-Legendre quadrature. The constant C is the inverse of the smallest eigenvalue of one cell's "
        "Gram matrix, which bounds the ratio on every grid. The smallest eigenvalues come from the splines "
        "at the borders, whose knots go on past the range."
    ]
    return Findings(summary, claims, pictures, [_table(settings, named)], notes)


def _ratios(rows: list[dict[str, float]], **where: int) -> list[float]:
    return [row["ratio"] for row in rows if all(row[key] == value for key, value in where.items())]


def _claims(settings: Conditioning, order: int, rows: list[dict[str, float]]) -> list[Claim]:
    right = sum(row["rank"] == row["expected_rank"] for row in rows)
    spreads = [_ratios(rows, d=d) for d in settings.dimensions]
    spread = max(max(ratios) / min(ratios) - 1 for ratios in spreads)
    dimensions = [float(d) for d in settings.dimensions]
    power = log_slope(dimensions, _ratios(rows, G=settings.grids[0]))[0]
    per_d, bound = max(row["ratio"] / row["d"] for row in rows), ratio_bound(order)
    grids = ", ".join(map(str, settings.grids))
    return [
        Claim(
            f"Order {order}: rank d (G + k - 1) + 1", f"in {right} of {len(rows)} cases", right == len(rows)
        ),
        Claim(
            f"Order {order}: the ratio is the same within 10 % for G = {grids}",
            f"within {100 * spread:.1f} %",
            spread <= 0.1,
        ),
        Claim(
            f"Order {order}: the ratio is at most C d with C = {bound:,.4g}, the bound from one cell",
            f"at most {per_d:,.4g} d, growing as the power {power:.2f} of d",
            per_d <= bound,
        ),
    ]


def _table(settings: Conditioning, named: dict[str, Result]) -> Table:
    cells = [["layer", "d", *(f"G = {size}" for size in settings.grids)]]
    for name, result in named.items():
        for d in settings.dimensions:
            cells.append([name, str(d), *(f"{ratio:.4g}" for ratio in _ratios(result["rows"], d=d))])
    return Table("Largest over smallest non-zero eigenvalue", cells)
