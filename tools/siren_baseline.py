"""PSNR of a SIREN with at most so many parameters, trained like a preset: same batches, steps and schedule.

python tools/siren_baseline.py assets/camera.png --parameters 29680 --steps 1984

Three and four hidden layers and three rates of Adam are tried; the best is what to compare with. Layers and
initialisation follow Sitzmann et al. (2020), omega_0 = 30.
"""

from __future__ import annotations

import argparse
import itertools
import math

import torch
from torch import Tensor, nn

from kanfield.images import read_image
from kanfield.training.evaluation import evaluate
from kanfield.training.sampling import PixelSampler
from kanfield.training.schedule import warm_up_and_decay
from kanfield.training.target import Target

OMEGA = 30.0


class Sine(nn.Module):
    """``sin(omega_0 (W x + b))``."""

    def __init__(self, inputs: int, outputs: int, first: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        bound = 1 / inputs if first else math.sqrt(6 / inputs) / OMEGA
        nn.init.uniform_(self.linear.weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        """Shape (N, inputs) to (N, outputs)."""
        return torch.sin(OMEGA * self.linear(x))


def siren(width: int, layers: int, channels: int) -> nn.Sequential:
    """Hidden sine layers and a linear one at the end."""
    sines = [Sine(2 if n == 0 else width, width, first=n == 0) for n in range(layers)]
    last = nn.Linear(width, channels)
    bound = math.sqrt(6 / width) / OMEGA
    nn.init.uniform_(last.weight, -bound, bound)
    return nn.Sequential(*sines, last)


def count(field: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in field.parameters())


def train(field: nn.Module, target: Target, steps: int, batch: int, lr: float) -> float:
    """PSNR in dB after Adam with warm-up and linear decay."""
    sampler = PixelSampler(target.count, batch, seed=0)
    optimizer = torch.optim.Adam(field.parameters(), lr=lr)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * warm_up_and_decay((step + 1) / (steps + 1))
        x, y = target.samples(sampler.batch(step))
        loss = nn.functional.mse_loss(field(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return evaluate(field, target).psnr


def main() -> None:
    """Read the command line, train each, print the best."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image")
    parser.add_argument("--size", type=int)
    parser.add_argument("--parameters", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=2048)
    arguments = parser.parse_args()
    image = read_image(arguments.image, arguments.size)
    target, best = Target(image, torch.zeros(1)), 0.0
    for layers, lr in itertools.product((3, 4), (5e-4, 1e-3, 2e-3)):
        widths = range(4, arguments.parameters)
        width = next(w for w in widths if count(siren(w + 1, layers, image.channels)) > arguments.parameters)
        torch.manual_seed(0)
        field = siren(width, layers, image.channels)
        psnr = train(field, target, arguments.steps, arguments.batch_size, lr)
        print(f"{layers} x {width}, {count(field):,} parameters, rate {lr:g}: {psnr:.2f} dB", flush=True)
        best = max(best, psnr)
    print(f"best SIREN: {best:.2f} dB")


if __name__ == "__main__":
    main()
