"""One field trained by several processes: each takes its part of every batch, and all take the same step.

``torchrun --nproc-per-node=2 -m kanfield fit photo.png`` starts them and tells them of each other by
environment variables; without those there is one process, and nothing here does anything. Every process
computes the gradient of its part, one exchange adds the parts up, and since all then hold the same gradient,
weights and optimisers stay the same without being sent. The first process alone evaluates, writes and prints.
"""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from kanfield.errors import InputError, RunFailed
from kanfield.process import process_count
from kanfield.training.signals import Signals

T = TypeVar("T")

LEAST_PART = 16_384  # pixels of a step below which a process spends more on exchanging than it saves
_PATIENCE = timedelta(minutes=10)  # for a process that does not answer


class Ranks:
    """The processes that train one field.

    Args:
        rank: Number of this one, from 0.
        size: How many there are.

    >>> Ranks().part(torch.zeros(5, 2)).shape, Ranks(1, 2).part(torch.zeros(5, 2)).shape
    (torch.Size([5, 2]), torch.Size([2, 2]))
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this one evaluates, writes and prints."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def device(self, device: torch.device) -> torch.device:
        """The device of this process: of several GPUs of its host, the one of its number there."""
        if self.alone or device.type != "cuda" or device.index is not None:
            return device
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))

    def part(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch ``(N, d)``; those of all processes are the batch."""
        return batch if self.alone else batch.tensor_split(self.size)[self.rank]

    def add_up(self, loss: Tensor, parameters: Iterable[Tensor]) -> Tensor:
        """Replace every gradient by the sum over all processes.

        Args:
            loss: Of this process's part, in proportion to the part, shape ``()``.
            parameters: Their ``grad`` is replaced; those that have none are left alone.

        Returns:
            The sum of the losses.

        Raises:
            RunFailed: Another process is gone.
        """
        loss = loss.detach()
        if self.alone:
            return loss
        gradients = [p.grad for p in parameters if p.grad is not None]
        real = [torch.view_as_real(each) if each.is_complex() else each for each in gradients]
        numbers = torch.cat([loss.reshape(1), *(each.reshape(-1) for each in real)])
        with _failing_in_words():
            dist.all_reduce(numbers)
        sums = numbers.split([1, *(each.numel() for each in real)])
        torch._foreach_copy_(real, [each.view_as(to) for each, to in zip(sums[1:], real, strict=True)])
        total: Tensor = sums[0][0]
        return total

    def agree(self, seconds: float, signals: Signals) -> tuple[float, bool]:
        """Tell all processes what time it is and whether a signal came to any of them.

        Args:
            seconds: Of training, as this process counts them.
            signals: Takes note of another process's signal.

        Returns:
            What the first process counts, and whether all are to end. A signal that comes while they agree
            counts the next time: the others do not know of it.

        Raises:
            RunFailed: Another process is gone.
        """
        told = torch.tensor([seconds if self.leads else 0.0, signals.received or 0], dtype=torch.float64)
        with _failing_in_words():
            dist.all_reduce(told, op=dist.ReduceOp.MAX)
        if told[1]:
            signals.received = int(told[1])
        return float(told[0]), bool(told[1])

    def first(self, make: Callable[[], T], told: Callable[[T], T] = lambda made: made) -> T:
        """Let the first process make something for all.

        Args:
            make: Makes it. What it raises is raised everywhere.
            told: What the others get of it.

        Raises:
            RunFailed: Another process is gone.
        """
        if self.alone:
            return make()
        made: Any = None
        box: list[Any] = [None, None]
        if self.leads:
            try:
                made = make()
                box[0] = told(made)
            except Exception as error:
                box[1] = error
        with _failing_in_words():
            dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        if box[1] is not None:
            raise box[1]
        found: T = made if self.leads else box[0]
        return found


ALONE = Ranks()


@contextlib.contextmanager
def joined(device: torch.device, batch_size: int) -> Iterator[Ranks]:
    """Join the processes that torchrun started; without it, be alone.

    Args:
        device: What fields are trained on; gradients of GPUs go by NCCL, everything else by gloo.
        batch_size: Pixels of a step.

    Raises:
        InputError: A step has fewer pixels than there are processes.
        RunFailed: The others cannot be reached.
    """
    size = process_count()
    if size == 1:
        yield ALONE
        return
    if batch_size < size:
        raise InputError(f"--batch-size {batch_size} is less than a pixel for each of {size} processes")
    # Its functions have the group of the moment they are defined as a default. Torch may import it later, and
    # then they keep the group and its threads alive into the end of the interpreter, which these may abort.
    importlib.import_module("torch.distributed.nn.functional")
    if dist.is_initialized():
        raise InputError(
            "torch.distributed is initialised already, and a fit joins torchrun's processes by itself: call "
            "destroy_process_group before it"
        )
    before = torch.cuda.current_device() if device.type == "cuda" else None
    if before is not None:
        torch.cuda.set_device(Ranks(0, size).device(device))
    with _failing_in_words():
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
        if before is not None:
            torch.cuda.set_device(before)


@contextlib.contextmanager
def _failing_in_words() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise RunFailed(
            f"another of torchrun's processes is gone or cannot be reached ({reason}); the last checkpoint "
            "is intact: start torchrun again with fit --resume RUN"
        ) from None
