"""A training step as a GPU needs it: nothing waits for the host, rates on the device, replayed graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kanfield import KAN, fit
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError
from kanfield.fields import build_field
from kanfield.fields.mlp import MLP
from kanfield.images import Image
from kanfield.runs.folder import RunFolder
from kanfield.runs.run import make_field
from kanfield.splines.backend import explain_backend, use_backend
from kanfield.training.optimizers import build_optimizers, set_rate
from kanfield.training.sampling import Batches, PixelSampler
from kanfield.training.step import EAGER_STEPS, GraphedStep, Step, compile_kernels
from kanfield.training.target import Target, image_stats
from kanfield.training.trainer import LOG_EVERY, Trainer

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
FAMILIES = [
    "kan",
    "siren",
    "finer",
    "mlp",
    "rff",
    "posenc",
    "gauss",
    "wire",
    "hashgrid",
    "kan-rbf",
    "kan-fourier",
]
SETTINGS = [
    {},
    {"held_out": "checkerboard"},
    {"lossless": True},
    {"optimizer": "adam"},
    *({"model": name} for name in FAMILIES[1:]),
]


def picture(side: int = 24, depth: type = np.uint8) -> Image:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(depth).max, (side, side, 1), dtype=depth)
    return Image(pixels, "L")


@pytest.mark.parametrize("changes", SETTINGS, ids=[str(c) or "default" for c in SETTINGS])
def test_no_step_between_two_logs_waits_for_the_device(changes: dict[str, Any], tmp_path) -> None:
    """On the meta device, which has no numbers, whatever asks for one (.item(), .cpu(), bool ...) raises."""
    image = picture()
    target = Target(image, torch.zeros(1))
    settings = resolve(Settings(steps=100, batch_size=64, **changes), image_stats(target))
    field = make_field(settings, 1).to("meta")
    trainer = Trainer(field, Target(image, next(field.parameters())), settings, RunFolder(tmp_path))
    for _ in range(LOG_EVERY + 2):  # grids move at the first of them and at the last but one
        loss = trainer._step()
        trainer.progress.step += 1
    assert loss.device.type == "meta"


def test_waiting_for_the_device_is_found(tmp_path) -> None:
    """The check can fail: a field that looks at its own output."""

    class Curious(MLP):
        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            return y if y.mean() < 10 else -y

    field = Curious(2, 1, widths=[4]).to("meta")
    step = Step(field, build_optimizers(field, "adam", 1e-3, 1e-3))
    with pytest.raises(RuntimeError, match="meta"):
        step(torch.zeros(4, 2, device="meta"), torch.zeros(4, 1, device="meta"))


class Tape:
    """Captures by keeping what is to be called; like a CUDA graph it runs nothing while it captures."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses, self.captures, self.replays = refuses, 0, 0

    def warm_up(self, step: Step, x: Tensor, target: Tensor) -> Tensor:
        return step(x, target)

    def capture(self, step: Step, x: Tensor, target: Tensor) -> tuple[Any, Tensor]:
        if self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.captures += 1
        loss, tape = torch.zeros(()), self

        class Graph:
            def replay(self) -> None:
                tape.replays += 1
                loss.copy_(step(x, target))

        return Graph(), loss


def train(make: Any, rates_on_device: bool, steps: int) -> tuple[list[float], list[Tensor]]:
    """Losses and parameters of a small fit whose rates change at every step and whose grids move."""
    torch.manual_seed(0)
    field = KAN(2, 1, [6, 6], [8, 4, 4], order=2)
    optimizers = build_optimizers(field, "muon", 1e-2, 5e-3, rates_on_device)
    step = make(Step(field, optimizers))
    data = torch.Generator().manual_seed(1)
    losses = []
    for number in range(steps):
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                set_rate(group, group["initial_lr"] * (1 - number / steps))
        x = 2 * torch.rand(32, 2, generator=data) - 1
        if number % 10 == 0:
            field.fit_ranges(x)
        losses.append(float(step(x, torch.sin(3 * x).sum(1, keepdim=True))))
    return losses, [p.detach().clone() for p in field.parameters()]


def test_a_replayed_step_is_a_plain_one_to_the_bit() -> None:
    steps, tape = EAGER_STEPS + 20, Tape()
    plain = train(lambda step: step, True, steps)
    replayed = train(lambda step: GraphedStep(step, tape), True, steps)
    assert (tape.captures, tape.replays) == (1, 20)
    assert replayed[0] == plain[0]
    assert all(torch.equal(mine, true) for mine, true in zip(replayed[1], plain[1], strict=True))


def test_a_replayed_step_is_that_of_a_cpu_to_rounding() -> None:
    plain = train(lambda step: step, False, EAGER_STEPS + 20)
    replayed = train(lambda step: GraphedStep(step, Tape()), True, EAGER_STEPS + 20)
    assert replayed[0] == pytest.approx(plain[0], rel=1e-3)


def test_what_cannot_be_captured_goes_on_in_plain_steps() -> None:
    tape = Tape(refuses=True)
    plain = train(lambda step: step, True, EAGER_STEPS + 5)
    steps: list[GraphedStep] = []

    def graphed(step: Step) -> GraphedStep:
        steps.append(GraphedStep(step, tape))
        return steps[-1]

    refused = train(graphed, True, EAGER_STEPS + 5)
    assert refused[0] == plain[0]
    assert steps[0].captured is False and "capturing" in str(steps[0].refused)


def test_all_steps_of_a_graph_read_the_same_memory() -> None:
    """Else a kernel that depends on how its tensors are aligned might be compiled within the capture."""
    places: set[int] = set()

    def step(x: Tensor, target: Tensor) -> Tensor:
        places.add(x.data_ptr())
        return x.sum() + target.sum()

    graphed, data = GraphedStep(step, Tape()), torch.arange(99.0).reshape(33, 3)  # type: ignore[arg-type]
    losses = [float(graphed(data[n : n + 2], data[n : n + 2])) for n in range(EAGER_STEPS + 3)]
    assert graphed.captured and len(places) == 1
    assert losses == [float(2 * data[n : n + 2].sum()) for n in range(EAGER_STEPS + 3)]


def test_a_capture_that_runs_out_of_memory_is_no_plain_step() -> None:
    class Full(Tape):
        def capture(self, step: Step, x: Tensor, target: Tensor) -> tuple[Any, Tensor]:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        train(lambda step: GraphedStep(step, Full()), True, EAGER_STEPS + 1)


@pytest.mark.parametrize("name", ["adam", "muon"])
def test_rates_kept_on_the_device_are_those_of_numbers(name: str) -> None:
    found = []
    for on_device in (False, True):
        torch.manual_seed(0)
        options = {"widths": [5, 5], "grids": [4, 4, 4], "order": 2, "init_frequency": 4.5}
        field = build_field("kan", 2, 1, options)
        optimizers = build_optimizers(field, name, 1e-2, 3e-3, on_device)
        assert [float(o.param_groups[0]["lr"]) for o in optimizers] == pytest.approx(
            [o.param_groups[0]["initial_lr"] for o in optimizers]
        )
        step = Step(field, optimizers)
        for _ in range(3):
            step(torch.linspace(-1, 1, 20).reshape(10, 2), torch.ones(10, 1))
        found.append([p.detach() for p in field.parameters()])
    for mine, true in zip(*found, strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-5, atol=1e-7)


@pytest.mark.needs("Triton")
@pytest.mark.parametrize(
    ("first", "total", "count"), [(0, 5, 5), (3, 20, 7), (90, 300, 100), (0, 1500, 65536), (9, 8, 1)]
)
def test_a_gpu_shuffles_as_the_host_does(first: int, total: int, count: int) -> None:
    from kanfield.training.permutation_triton import shuffled

    sampler = PixelSampler(count, 1, seed=3)
    expected = sampler.batches(first, total)
    assert torch.equal(shuffled(first, total, count, 3, torch.device(DEVICE)).cpu(), expected)


def test_sixteen_bits_are_unsigned_when_they_are_read() -> None:
    image = picture(8, np.uint16)
    target = Target(image, torch.zeros(1, dtype=torch.float64))
    _, values = target.samples(torch.arange(64))
    expected = image.pixels.reshape(-1, 1).astype(np.float64) / 65535 * 2 - 1
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-12)


def test_compiling_ahead_leaves_the_field_as_it_was() -> None:
    torch.manual_seed(0)
    field = KAN(2, 1, [4], 4)
    before = [p.detach().clone() for p in field.parameters()]
    calls = []
    field.register_forward_hook(lambda *_: calls.append(1))
    compile_kernels(field, torch.rand(8, 2), torch.rand(8, 1))
    assert calls == [1]
    assert all(torch.equal(p, b) and p.grad is None for p, b in zip(field.parameters(), before, strict=True))


@pytest.mark.needs("Triton interpreter")
@pytest.mark.slow
def test_a_fit_on_the_triton_kernels_ends_as_on_the_reference(tmp_path) -> None:
    found = []
    for backend in ("triton", "reference"):
        with use_backend(backend):
            run = fit(
                picture(8),
                out=tmp_path,
                options={"widths": [4], "grids": [4, 3]},
                steps=4,
                batch_size=16,
                device="cpu",
            )
        assert run.metrics["backend"] == backend
        found.append(run.psnr)
    assert found[0] == pytest.approx(found[1], abs=1e-3)


@pytest.mark.needs("native core")
def test_a_forced_backend_that_does_not_serve_leaves_nothing_behind(tmp_path) -> None:
    with use_backend("native"), pytest.raises(InputError, match="no tf32"):
        fit(picture(8), out=tmp_path / "runs", steps=2, precision="tf32", device="cpu")
    assert not (tmp_path / "runs").exists()


def test_an_emulated_precision_is_said_to_be_slow() -> None:
    assert explain_backend("cpu", "tf32")[1].startswith("plain torch emulates tf32")


def test_batches_of_a_subset_come_to_their_device() -> None:
    image = picture()
    target = Target(image, torch.zeros(1), held_out=np.arange(576) % 2 == 0)
    batches = Batches(
        PixelSampler(target.seen(), 32, 0, torch.device("meta")), Target(image, torch.zeros(1, device="meta"))
    )
    x, y = batches.at(0)
    assert (x.shape, y.shape, x.device.type) == ((32, 2), (32, 1), "meta")
