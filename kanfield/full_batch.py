"""Training on all samples at once with L-BFGS or Adam, as studies of functions and equations do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor

HISTORY = 50  # pairs of steps and gradient changes that L-BFGS keeps
_ADAM_RATE = 1e-3


def minimize(
    parameters: Iterable[Tensor],
    loss: Callable[[], Tensor],
    steps: int,
    *,
    optimizer: Literal["lbfgs", "adam"] = "lbfgs",
    lr: float | None = None,
    watch: Callable[[int], None] | None = None,
    every: int = 1,
) -> None:
    """Minimise a loss over parameters, in place.

    L-BFGS is torch's with a strong Wolfe line search and tolerances of zero, so that it does not stop before
    ``steps``; a step is one of its iterations. When its history no longer gives a descent direction, it
    restarts from the gradient; when that does not move the parameters either, it has converged and returns,
    with fewer steps done.

    Args:
        parameters: leaves that require gradients, changed in place.
        loss: computes the loss, a scalar with a graph.
        steps: iterations of the optimiser.
        optimizer: ``"lbfgs"`` or ``"adam"``.
        lr: learning rate; None for 1 with L-BFGS and 1e-3 with Adam.
        watch: called with the number of steps done: 0 before the first, then after every ``every`` steps and
            after the last. It must not change the parameters.
        every: steps from one call of ``watch`` to the next.

    Raises:
        ValueError: ``optimizer`` is neither.

    >>> x = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True)
    >>> minimize([x], lambda: ((x - 1) ** 2).sum(), steps=5)
    >>> x.detach().round(decimals=6).tolist()
    [1.0, 1.0]
    """
    leaves = list(parameters)
    if optimizer == "adam":
        stepper: _Adam | _Lbfgs = _Adam(leaves, loss, _ADAM_RATE if lr is None else lr)
    elif optimizer == "lbfgs":
        stepper = _Lbfgs(leaves, loss, 1.0 if lr is None else lr)
    else:
        raise ValueError(f"optimizer {optimizer} is neither lbfgs nor adam")
    if watch is not None:
        watch(0)
    done = 0
    while done < steps:
        count = min(every, steps - done) if watch is not None else steps - done
        taken = stepper.advance(count)
        done += taken
        if watch is not None and taken:
            watch(done)
        if taken < count:
            return


class _Adam:
    def __init__(self, parameters: list[Tensor], loss: Callable[[], Tensor], lr: float) -> None:
        self._loss = loss
        self._optimizer = torch.optim.Adam(parameters, lr=lr, fused=True)

    def advance(self, steps: int) -> int:
        for _ in range(steps):
            self._optimizer.zero_grad()
            value = self._loss()
            value.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        return steps


class _Lbfgs:
    def __init__(self, parameters: list[Tensor], loss: Callable[[], Tensor], lr: float) -> None:
        self._parameters, self._loss, self._lr = parameters, loss, lr
        self._optimizer = self._restart()
        self._evaluated: tuple[list[Tensor], list[Tensor], Tensor] | None = None
        self._restarted = False  # since the parameters last moved

    def _restart(self) -> torch.optim.LBFGS:
        """An optimiser without history."""
        return torch.optim.LBFGS(
            self._parameters,
            lr=self._lr,
            history_size=HISTORY,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

    def advance(self, steps: int) -> int:
        """Iterate, and return how many times: fewer than asked where it has converged."""
        done = 0
        while done < steps:
            before = [p.detach().clone() for p in self._parameters]
            count = self._run(steps - done)
            if not all(bool(torch.isfinite(p).all()) for p in self._parameters):
                with torch.no_grad():
                    for p, old in zip(self._parameters, before, strict=True):
                        p.copy_(old)
            elif any(bool((p != old).any()) for p, old in zip(self._parameters, before, strict=True)):
                done += count
                if done < steps:
                    self._optimizer = self._restart()
                self._restarted = False
                continue
            if self._restarted:  # neither the history nor the gradient gives a descent
                break
            done += count
            self._optimizer, self._restarted = self._restart(), True
        return done

    def _run(self, steps: int) -> int:
        """Iterate up to ``steps`` times, fewer when torch finds no descent; returns the number done."""
        group = self._optimizer.param_groups[0]
        group["max_iter"], group["max_eval"] = steps, 25 * steps
        state = self._optimizer.state[self._parameters[0]]
        before = state.get("n_iter", 0)
        self._optimizer.step(self._closure)  # type: ignore[arg-type,no-untyped-call]
        return int(state["n_iter"]) - before if "n_iter" in state else 0

    def _closure(self) -> Tensor:
        """Loss and gradients; a step starts by asking again for those that the last one ended with."""
        if self._evaluated is not None:
            at, gradients, value = self._evaluated
            if all(torch.equal(p, old) for p, old in zip(self._parameters, at, strict=True)):
                for p, gradient in zip(self._parameters, gradients, strict=True):
                    p.grad = gradient
                return value
        for p in self._parameters:
            p.grad = None
        value = self._loss()
        value.backward()  # type: ignore[no-untyped-call]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self._parameters]
        self._evaluated = ([p.detach().clone() for p in self._parameters], gradients, value.detach())
        return value.detach()
