"""Optimisers: Muon for coefficient matrices, Adam for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from kanfield.fields.field import Field

# One step maps a singular value s to a s + b s^3 + c s^5; five bring them all near 1 (Jordan et al.,
# Muon, 2024: steep at zero, and within about 0.7..1.2 rather than exactly 1).
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5


def orthogonalize(matrices: Tensor) -> Tensor:
    """Matrices with their singular values brought near 1, by Newton-Schulz on the smaller Gram matrix.

    The iteration runs on X^T X and is applied to X once, which gives the same update as iterating on X
    itself at a fraction of the cost when X is tall, as coefficient matrices are.

    Args:
        matrices: any shape ``(..., R, C)``; a zero matrix stays zero.

    >>> torch.linalg.matrix_norm(orthogonalize(torch.randn(3, 50, 4)), ord=2).max().item() < 1.3
    True
    """
    if matrices.shape[-2] < matrices.shape[-1]:
        return orthogonalize(matrices.mT).mT
    x = matrices.reshape(-1, *matrices.shape[-2:])
    gram = x.mT @ x
    square = gram.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-14)[:, None, None]  # of X's norm
    gram = gram / square
    total: Tensor | None = None
    for iteration in range(_ITERATIONS):
        step = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        step.diagonal(dim1=1, dim2=2).add_(_A)
        total = step if total is None else total @ step
        if iteration + 1 < _ITERATIONS:
            gram = gram @ (step @ step)  # polynomials of one matrix commute
    assert total is not None
    return (x @ (total * square.rsqrt())).reshape(matrices.shape)


class Muon(Optimizer):
    """Orthogonalised momentum with Nesterov look-ahead, after Jordan et al. (2024), without weight decay.

    The same update as ``torch.optim.Muon(weight_decay=0)``, but in float32 on the Gram matrix: bfloat16 is
    emulated on most CPUs, and some fifty times slower there.

    Args:
        params: matrices ``(R, C)``.
        lr: step size; a step moves the matrix by ``lr * sqrt(max(1, R / C))`` in every direction. A tensor
            on the matrices' device can be changed while a CUDA graph of the step goes on being replayed.
        momentum: decay of the running gradient.

    Raises:
        ValueError: a parameter is not a matrix.

    >>> weight = torch.nn.Parameter(torch.randn(20, 4))
    >>> optimizer = Muon([weight], lr=1e-2)
    >>> weight.square().sum().backward()
    >>> optimizer.step()
    """

    def __init__(self, params: Iterable[Tensor], lr: float | Tensor = 1e-2, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("Muon trains matrices only; give the other parameters to Adam")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every matrix that has a gradient.

        Args:
            closure: computes the loss and its gradients first; what it returns is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for params in _by_shape(p for p in group["params"] if p.grad is not None):
                self._update(params, group["lr"], group["momentum"])
        return loss

    def _update(self, params: list[Tensor], lr: float | Tensor, momentum: float) -> None:
        """Move matrices of one shape, in one batch: small products cost more to start than to do."""
        gradients = [p.grad for p in params if p.grad is not None]
        for p in params:
            if "momentum_buffer" not in self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        ahead = torch.stack(torch._foreach_lerp(gradients, buffers, momentum))
        rows, columns = params[0].shape
        updates, factor = orthogonalize(ahead), max(1.0, rows / columns) ** 0.5
        if isinstance(lr, Tensor):
            torch._foreach_sub_(params, (updates * (lr * factor)).unbind())
        else:
            torch._foreach_add_(params, updates.unbind(), alpha=-lr * factor)


def _by_shape(params: Iterable[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.Size, list[Tensor]] = {}
    for p in params:
        groups.setdefault(p.shape, []).append(p)
    return list(groups.values())


def build_optimizers(
    field: Field, name: str, lr: float, adam_lr: float, rates_on_device: bool | None = None
) -> list[Optimizer]:
    """Optimisers for a field: one for ``"adam"``, Muon and Adam for ``"muon"``.

    Every group keeps the rate that it was given as ``initial_lr``; :func:`set_rate` changes the one in use.

    Args:
        field: its ``muon_parameters()`` are what Muon trains, its ``adam_options`` are keywords for Adam.
        name: ``"muon"`` or ``"adam"``.
        lr: learning rate of the optimiser named.
        adam_lr: learning rate of the parameters that Muon leaves to Adam.
        rates_on_device: whether rates are tensors, as the capture of a step needs; None for on CUDA alone.
    """
    matrices = field.muon_parameters() if name == "muon" else []
    taken = {id(p) for p in matrices}
    others = [p for p in field.parameters() if p.requires_grad and id(p) not in taken]
    device = next(field.parameters()).device
    if rates_on_device is None:
        rates_on_device = device.type == "cuda"

    def rate(value: float) -> Any:
        # Float32 in fields of float64 too: the fused Adam reads its rate as that.
        return torch.tensor(value, dtype=torch.float32, device=device) if rates_on_device else value

    optimizers: list[Optimizer] = [Muon(matrices, lr=rate(lr))] if matrices else []
    if others:
        keywords: dict[str, Any] = dict(field.adam_options)
        plain = all(p.is_floating_point() and p.device.type in ("cpu", "cuda") for p in others)
        if plain and not {"foreach", "differentiable"} & keywords.keys():
            keywords.setdefault("fused", True)  # one call for all of them
        if device.type == "cuda" and not keywords.get("differentiable"):
            keywords.setdefault("capturable", True)
        optimizers.append(Adam(others, lr=rate(adam_lr if name == "muon" else lr), **keywords))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = lr if isinstance(optimizer, Muon) or name == "adam" else adam_lr
    return optimizers


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Give a group of parameters another rate, on the device where it is kept there."""
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
