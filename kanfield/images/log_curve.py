"""A symmetric logarithm: a straight line near zero, logarithmic far from it, for either sign.

What ``--tonemap log`` fits in, so that one bright lamp does not decide what a step of brightness is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def forward(values: NDArray[np.floating], scale: float) -> NDArray[np.float64]:
    """The symmetric logarithm, ``sign(v) log(1 + |v| / scale)``.

    Args:
        values: Any shape.
        scale: The size below which it is nearly a straight line, above 0.

    >>> forward(np.array([-1.0, 0.0, 1.0]), 1.0).round(3).tolist()
    [-0.693, 0.0, 0.693]
    """
    values = values.astype(np.float64)
    result: NDArray[np.float64] = np.copysign(np.log1p(np.abs(values) / scale), values)
    return result


def inverse(values: NDArray[np.floating], scale: float) -> NDArray[np.float64]:
    """Undo :func:`forward`.

    Args:
        values: Any shape.
        scale: That of the logarithm.

    >>> inverse(forward(np.array([-3.0, 0.5]), 0.1), 0.1).round(9).tolist()
    [-3.0, 0.5]
    """
    values = values.astype(np.float64)
    result: NDArray[np.float64] = np.copysign(np.expm1(np.abs(values)) * scale, values)
    return result


def scale_of(values: NDArray[np.generic]) -> float:
    """A scale for known values: the median size of those that are not zero, so half lie on the straight part.

    >>> scale_of(np.array([0.0, -2.0, 3.0, 1e9]))
    3.0
    """
    sizes = np.abs(values.astype(np.float64))
    sizes = sizes[sizes > 0]
    return float(np.median(sizes)) if sizes.size else 1.0
