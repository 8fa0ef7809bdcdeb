"""The empirical neural tangent kernel of a field (Jacot et al., 2018, arXiv:1806.07572)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from kanfield.fields.field import count_parameters
from kanfield.metrics.spectra import frequencies, power

MEMORY = 1 << 29  # bytes of the two blocks of the Jacobian that are held at a time
_CHUNK = 1 << 25  # elements of the Jacobian that are computed at a time


def tangent_kernel(field: nn.Module, x: Tensor, memory: int = MEMORY) -> Tensor:
    """The kernel ``K = sum_c J_c J_c^T``, with J_c the Jacobian of output c in the parameters.

    Two blocks of rows of the Jacobian are held at a time; with little memory blocks are computed repeatedly.

    Args:
        field: maps coordinates ``(N, d)`` to values ``(N, c)``.
        x: coordinates, shape ``(N, d)``.
        memory: bytes for the two blocks.

    Returns:
        Shape ``(N, N)``, in the field's precision.

    >>> field = nn.Linear(2, 1).double()
    >>> tangent_kernel(field, torch.tensor([[1.0, 2.0], [0.0, 1.0]], dtype=torch.float64)).tolist()
    [[6.0, 3.0], [3.0, 2.0]]
    """
    count = count_parameters(field)
    with torch.no_grad():
        outputs = field(x[:1]).shape[1]
    size = max(1, memory // (2 * count * outputs * x.element_size()))
    blocks = torch.split(x, size)
    kernel = x.new_zeros(len(x), len(x))
    for i, rows in enumerate(blocks):
        first = _jacobian(field, rows)
        for j in range(i + 1):
            second = first if j == i else _jacobian(field, blocks[j])
            part = sum(first[:, c] @ second[:, c].T for c in range(outputs))
            assert isinstance(part, Tensor)
            at_i, at_j = slice(i * size, i * size + len(rows)), slice(j * size, j * size + len(blocks[j]))
            kernel[at_i, at_j] = part
            kernel[at_j, at_i] = part.T
    return kernel


def _jacobian(field: nn.Module, x: Tensor) -> Tensor:
    """Gradients of every output at every coordinate, shape ``(N, c, parameters)``."""
    parameters = {name: p.detach() for name, p in field.named_parameters() if p.requires_grad}

    def outputs(values: dict[str, Tensor], row: Tensor) -> Tensor:
        y: Tensor = functional_call(field, values, (row[None],))[0]
        return y

    chunk = max(1, _CHUNK // count_parameters(field))
    by_name = vmap(jacrev(outputs), (None, 0), chunk_size=chunk)(parameters, x)
    return torch.cat([by_name[name].flatten(2) for name in parameters], 2).detach()


@dataclass(frozen=True)
class KernelSpectrum:
    """Eigenvalues of a kernel on an image's pixels, and properties of their eigenvectors.

    Attributes:
        values: eigenvalues over their sum, descending, shape ``(N,)``.
        energy: share of the image's energy in each eigenvector, shape ``(N,)``.
        cycles: mean radial frequency of each eigenvector, in cycles over the longer side, shape ``(N,)``.
    """

    values: NDArray[np.float64]
    energy: NDArray[np.float64]
    cycles: NDArray[np.float64]

    @property
    def effective_rank(self) -> float:
        """Exponential of the entropy of the eigenvalues (Roy and Vetterli, 2007)."""
        p = self.values[self.values > 0]
        return float(np.exp(-(p * np.log(p)).sum()))


def analyse(kernel: Tensor, image: NDArray[np.float64]) -> KernelSpectrum:
    """Eigenvalues of a kernel, and the energy and frequency of its eigenvectors.

    Args:
        kernel: at the pixels of the image, row by row, shape ``(H W, H W)``.
        image: whose energy, without its mean, is shared among the eigenvectors, shape ``(H, W, c)``.
    """
    values, vectors = (t.flip(-1).cpu().numpy() for t in torch.linalg.eigh(kernel))
    values = values.clip(0, None)
    height, width = image.shape[:2]
    centred = (image - image.mean((0, 1))).reshape(height * width, -1)
    energy = np.square(vectors.T @ centred).sum(1)
    radius = frequencies(height, width) * max(height, width)
    powers = [power(vector.reshape(height, width, 1)) for vector in vectors.T]
    cycles = [float((radius * p).sum() / max(p.sum(), 1e-300)) for p in powers]
    return KernelSpectrum(values / values.sum(), energy / max(energy.sum(), 1e-300), np.array(cycles))
