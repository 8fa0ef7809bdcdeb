"""Optimisers, schedules and initial waves that the search for a recipe tries and kanfield does not offer.

Each change is a context manager that alters the package inside a ``with`` block, for ``search_recipe.py``.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

import kanfield.training.optimizers as optimizers
import kanfield.training.trainer as trainer_module
from kanfield import KANLayer
from kanfield.training.trainer import Trainer

# ---- initial waves -----------------------------------------------------------------------------


@contextlib.contextmanager
def isotropic_waves() -> Iterator[None]:
    """Initial waves of one frequency along all directions: a longer grid holds more cycles."""
    plain = KANLayer._waves

    def waves(self: KANLayer) -> Tensor:
        angles = torch.arange(self.in_features) * (torch.pi / self.in_features)
        reach = angles.cos().abs() + angles.sin().abs()
        with patch.object(self, "init_frequency", self.init_frequency * reach[:, None, None]):
            return plain(self)

    with patch.object(KANLayer, "_waves", waves):
        yield


# ---- optimisers --------------------------------------------------------------------------------


def newton_schulz(coefficients: Sequence[tuple[float, float, float]]) -> Callable[[Tensor], Tensor]:
    """Orthogonalisation by the given quintic steps, not on Gram matrices but on the matrices."""

    def orthogonalize(matrices: Tensor) -> Tensor:
        x: Tensor = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
        for a, b, c in coefficients:
            gram = x.mT @ x
            x = a * x + x @ (b * gram + c * gram @ gram)
        return x

    return orthogonalize


# Polar Express (Amsel et al., 2025, arXiv:2505.16932): the best quintic for each step in turn.
POLAR = [
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
    (3.3184196573706015, -2.488488024314874, 0.51004894012372),
    (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
]
JORDAN = [(3.4445, -4.7750, 2.0315)] * 5


@contextlib.contextmanager
def orthogonalized_by(coefficients: Sequence[tuple[float, float, float]]) -> Iterator[None]:
    """Muon with another orthogonalisation."""
    with patch.object(optimizers, "orthogonalize", newton_schulz(coefficients)):
        yield


@contextlib.contextmanager
def rows_normalized() -> Iterator[None]:
    """NorMuon's idea (Li et al., 2025, arXiv:2510.05491) without its second moments: rows of one length."""
    plain = optimizers.orthogonalize

    def normalized(matrices: Tensor) -> Tensor:
        x = plain(matrices)
        length: Tensor = x.norm(dim=-1, keepdim=True)
        return x / length.clamp_min(1e-7) * length.square().mean(-2, keepdim=True).sqrt()

    with patch.object(optimizers, "orthogonalize", normalized):
        yield


@contextlib.contextmanager
def momentum(value: float) -> Iterator[None]:
    """Muon with another momentum."""
    plain = optimizers.Muon._update

    def update(self: Any, params: list[Tensor], lr: float, _: float) -> None:
        plain(self, params, lr, value)

    with patch.object(optimizers.Muon, "_update", update):
        yield


@contextlib.contextmanager
def built_by(build: Callable[[nn.Module, float, float], list[Optimizer]]) -> Iterator[None]:
    """Train with the optimisers that ``build(field, lr, adam_lr)`` makes."""

    def build_optimizers(field: nn.Module, name: str, lr: float, adam_lr: float) -> list[Optimizer]:
        built = build(field, lr, adam_lr)
        for group in (group for optimizer in built for group in optimizer.param_groups):
            group.setdefault("initial_lr", group["lr"])  # which the schedule scales
        return built

    with patch.object(trainer_module, "build_optimizers", build_optimizers):
        yield


def soap(field: nn.Module, lr: float, adam_lr: float) -> list[Optimizer]:
    """SOAP (Vyas et al., 2024, arXiv:2409.11321) for the hidden coefficients, Adam for the rest."""
    from pytorch_optimizer import SOAP

    return _matrices_by(lambda m: SOAP(m, lr=lr, weight_decay=0.0, precondition_frequency=10), field, adam_lr)


def shampoo(field: nn.Module, lr: float, adam_lr: float) -> list[Optimizer]:
    """Shampoo (Gupta et al., 2018, arXiv:1802.09568) for the hidden coefficients, Adam for the rest."""
    from pytorch_optimizer import ScalableShampoo

    make = lambda m: ScalableShampoo(m, lr=lr, start_preconditioning_step=5, preconditioning_compute_steps=10)  # noqa: E731
    return _matrices_by(make, field, adam_lr)


def _matrices_by(
    make: Callable[[list[Tensor]], Optimizer], field: nn.Module, adam_lr: float
) -> list[Optimizer]:
    matrices: list[Tensor] = field.muon_parameters()  # type: ignore[operator]
    taken = {id(m) for m in matrices}
    return [make(matrices), Adam([p for p in field.parameters() if id(p) not in taken], lr=adam_lr)]


@contextlib.contextmanager
def schedule_free() -> Iterator[None]:
    """Schedule-free AdamW (Defazio et al., 2024, arXiv:2405.15682) for all parameters, at a constant rate."""
    from pytorch_optimizer import ScheduleFreeAdamW

    plain = Trainer._evaluate

    def evaluate(self: Trainer) -> Any:
        for optimizer in self.optimizers:
            optimizer.eval()  # type: ignore[attr-defined]
        try:
            return plain(self)
        finally:
            for optimizer in self.optimizers:
                optimizer.train()  # type: ignore[attr-defined]

    def build(field: nn.Module, lr: float, adam_lr: float) -> list[Optimizer]:
        return [ScheduleFreeAdamW(field.parameters(), lr=adam_lr, weight_decay=0.0)]

    with built_by(build), schedule(warm_up), patch.object(Trainer, "_evaluate", evaluate):
        yield


# ---- schedules ---------------------------------------------------------------------------------


@contextlib.contextmanager
def schedule(factor: Callable[[float], float]) -> Iterator[None]:
    """Another factor of the rates, by the share of the run that is done."""
    with patch.object(trainer_module, "warm_up_and_decay", factor):
        yield


def warm_up(progress: float) -> float:
    """Linear over the first 5 % of the run, then constant."""
    return min(1.0, progress / 0.05)


def cosine(progress: float) -> float:
    """Half a cosine to zero, after the warm-up."""
    return min(1.0, progress / 0.05) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def late_decay(progress: float) -> float:
    """Constant for 60 % of the run, then linear to zero."""
    return min(1.0, progress / 0.05, max(0.0, 1 - progress) / 0.4)


def square_decay(progress: float) -> float:
    """The square of a linear decay to zero, after the warm-up."""
    return min(1.0, progress / 0.05) * max(0.0, 1 - progress) ** 2


# ---- training ----------------------------------------------------------------------------------


@contextlib.contextmanager
def refined_at(fractions: Sequence[float]) -> Iterator[None]:
    """Exact refinement in stages: all grids are doubled at these fractions of the run."""
    plain = Trainer._step

    def step(self: Trainer) -> Tensor:
        if self.progress.step in {round(f * (self.steps or 0)) for f in fractions}:
            self.field.refine(2, self.optimizers)  # type: ignore[operator]
        return plain(self)

    with patch.object(Trainer, "_step", step):
        yield


@contextlib.contextmanager
def batch_growth(start: int) -> Iterator[None]:
    """Batches grow linearly from ``start`` pixels to the full ones: the first ones of each are taken."""
    plain = Trainer._step

    def step(self: Trainer) -> Tensor:
        full, at = self.sampler.batch_size, self.batches.at
        size = round(start + (full - start) * self.progress.step / (self.steps or 1))

        def some(step: int, focus: Tensor | None = None) -> tuple[Tensor, Tensor]:
            x, y = at(step, focus)
            return x[:size], y[:size]

        with patch.object(self.batches, "at", some):
            return plain(self)

    with patch.object(Trainer, "_step", step):
        yield


@contextlib.contextmanager
def mirrored() -> Iterator[None]:
    """Periodic edges: inputs that leave a grid are reflected into it instead of going on linearly."""
    plain = KANLayer.forward

    def forward(self: KANLayer, x: Tensor) -> Tensor:
        span = self.upper - self.lower
        t = torch.remainder((x - self.lower) / span, 2)
        return plain(self, self.lower + torch.where(t > 1, 2 - t, t) * span)

    with patch.object(KANLayer, "forward", forward):
        yield


CHANGES: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "isotropic": isotropic_waves,
    "muon-3-steps": lambda: orthogonalized_by(JORDAN[:3]),
    "polar-express-5": lambda: orthogonalized_by(POLAR),
    "polar-express-3": lambda: orthogonalized_by(POLAR[:3]),
    "rows-normalized": rows_normalized,
    "momentum-0.9": lambda: momentum(0.9),
    "momentum-0.98": lambda: momentum(0.98),
    "soap": lambda: built_by(soap),
    "shampoo": lambda: built_by(shampoo),
    "schedule-free": schedule_free,
    "mirrored": mirrored,
    "cosine": lambda: schedule(cosine),
    "late-decay": lambda: schedule(late_decay),
    "square-decay": lambda: schedule(square_decay),
    "refined-once": lambda: refined_at([0.5]),
    "refined-twice": lambda: refined_at([0.3, 0.6]),
    "batch-growth": lambda: batch_growth(512),
}
