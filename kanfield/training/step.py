"""One training step: forward, loss, backward, optimisers; on a GPU captured once and replayed.

Small fields on a GPU spend their time starting kernels, not running them. A CUDA graph starts a whole step's
at once. It needs what a step reads to stay where it is: samples are copied into fixed buffers, and rates are
tensors on the device (:func:`kanfield.training.optimizers.build_optimizers`), so that a schedule can go on.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kanfield.training.distributed import ALONE, Ranks
from kanfield.training.memory import is_out_of_memory

EAGER_STEPS = (
    11  # steps ahead of the capture: allocations, compilation and optimisers' states are done by then
)


class Step:
    """A step of a field with its optimisers, as plain calls.

    >>> field = nn.Linear(2, 1)
    >>> step = Step(field, [torch.optim.Adam(field.parameters())])
    >>> step(torch.zeros(4, 2), torch.zeros(4, 1)).requires_grad
    False
    """

    def __init__(
        self, field: Callable[[Tensor], Tensor], optimizers: Sequence[Optimizer], ranks: Ranks = ALONE
    ) -> None:
        self.field, self.optimizers, self._ranks = field, optimizers, ranks

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """Move the parameters by the gradient at coordinates ``(N, d)`` and values ``(N, c)``.

        Returns:
            The loss before the step, shape ``()``, on the device.
        """
        mine = self._ranks.part(x)
        loss = nn.functional.mse_loss(self.field(mine), self._ranks.part(target))
        if len(mine) < len(x):
            loss = loss * (len(mine) / len(x))
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        groups = (group for optimizer in self.optimizers for group in optimizer.param_groups)
        loss = self._ranks.add_up(loss, (p for group in groups for p in group["params"]))
        for optimizer in self.optimizers:
            optimizer.step()
        return loss


def compile_kernels(field: nn.Module, x: Tensor, target: Tensor) -> None:
    """Take one step of a copy of the field, which is thrown away.

    Triton compiles a kernel when it is first launched, and those seconds are no training.
    """
    Step(copy.deepcopy(field), [])(x, target)


class Recorder(Protocol):
    """Interface of a graph recorder, such as :class:`CudaRecorder`."""

    def warm_up(self, step: Step, x: Tensor, target: Tensor) -> Tensor:
        """Run one eager warm-up step on the capture stream."""

    def capture(self, step: Step, x: Tensor, target: Tensor) -> tuple[Any, Tensor]:
        """A graph with ``replay()``, and the tensor that holds the loss after each."""


class CudaRecorder:
    """Captures on a stream of its own, as CUDA graphs ask for."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def warm_up(self, step: Step, x: Tensor, target: Tensor) -> Tensor:
        """See :class:`Recorder`."""
        here = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            loss = step(x, target)
        here.wait_stream(self._stream)
        return loss

    def capture(self, step: Step, x: Tensor, target: Tensor) -> tuple[Any, Tensor]:
        """See :class:`Recorder`."""
        for optimizer in step.optimizers:
            optimizer.zero_grad()  # gradients are to be made anew, in the graph's own memory
        graph = torch.cuda.CUDAGraph()
        # A capture that fails leaves its stream the current one: the outer block puts the other one back.
        with torch.cuda.stream(self._stream), torch.cuda.graph(graph, stream=self._stream):
            loss = step(x, target)
        return graph, loss


class GraphedStep:
    """A step that is captured after some plain ones and replayed from then on.

    Batches must keep their shape. Where a step cannot be captured, plain ones go on.

    Args:
        step: what to run. recorder: what captures it.

    Attributes:
        captured: None until it was tried, then whether it went well.
        refused: why it did not, in torch's words, or None.
    """

    def __init__(self, step: Step, recorder: Recorder) -> None:
        self.captured: bool | None = None
        self.refused: str | None = None
        self._step, self._recorder, self._steps = step, recorder, 0
        self._buffers: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, target: Tensor) -> Tensor:
        """See :meth:`Step.__call__`; the next step overwrites the loss."""
        if self._buffers is None:
            self._buffers = (x.clone(), target.clone())
        # Plain steps read them too: what is compiled for where tensors lie is there before the capture.
        for buffer, value in zip(self._buffers, (x, target), strict=True):
            buffer.copy_(value)
        if self.captured is None and self._steps == EAGER_STEPS:
            self._capture(*self._buffers)
        if not self.captured:
            self._steps += 1
            return self._recorder.warm_up(self._step, *self._buffers)
        self._graph.replay()
        return self._loss

    def _capture(self, x: Tensor, target: Tensor) -> None:
        try:
            self._graph, self._loss = self._recorder.capture(self._step, x, target)
            self.captured = True
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            # Something in the field waits for the host. The end of a broken capture raises too: the first
            # error says more.
            self.captured, self.refused = False, str(error.__context__ or error)


def make_step(
    field: nn.Module, optimizers: Sequence[Optimizer], compiled: bool, ranks: Ranks = ALONE
) -> Step | GraphedStep:
    """The step that suits the field's device; ``compiled``: with the field as torch.compile makes it."""
    device = next(field.parameters()).device
    step = Step(torch.compile(field) if compiled else field, optimizers, ranks)
    return GraphedStep(step, CudaRecorder(device)) if device.type == "cuda" else step
