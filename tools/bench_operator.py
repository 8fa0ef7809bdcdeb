"""Time a KAN layer, forward and backward, against the dense formulation and against its floor.

    python tools/bench_operator.py [--repeats 15] [--json FILE]

Everything runs interleaved in one process, so that a slow moment of a shared machine hits all alike; figures
are medians. The dense formulation is the usual one: the basis [N, I, K] by the Cox-de Boor recursion, then
one matrix product. The floor is 3 * 2 * N * I * (k + 2) * O operations (values and two gradients; k + 1 taps
and the residual branch) at the rate of a 1024^3 single-precision matrix product.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from kanfield import KANLayer
from kanfield.splines import explain_backend

ORDER = 3
SGEMM = 1024


class DenseLayer(nn.Module):
    """The same function in plain torch, with the dense basis."""

    def __init__(self, layer: KANLayer) -> None:
        super().__init__()
        self.order, self.inputs = layer.order, layer.in_features
        self.coef = nn.Parameter(layer.coef.detach().clone())
        self.base_weight = nn.Parameter(layer.base_weight.detach().clone())
        step = (layer.upper - layer.lower) / layer.grid_size
        offsets = torch.arange(-layer.order, layer.grid_size + layer.order + 1)
        self.register_buffer("knots", layer.lower[:, None] + step[:, None] * offsets)

    def forward(self, x: Tensor) -> Tensor:
        x, knots = x[:, :, None], self.knots
        basis = ((x >= knots[:, :-1]) & (x < knots[:, 1:])).to(x.dtype)
        for k in range(1, self.order + 1):
            left = (x - knots[:, : -k - 1]) / (knots[:, k:-1] - knots[:, : -k - 1])
            right = (knots[:, k + 1 :] - x) / (knots[:, k + 1 :] - knots[:, 1:-k])
            basis = left * basis[:, :, :-1] + right * basis[:, :, 1:]
        return basis.flatten(1) @ self.coef + nn.functional.silu(x[:, :, 0]) @ self.base_weight


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def step(layer: nn.Module, x: Tensor, g: Tensor) -> Callable[[], None]:
    def run() -> None:
        for parameter in layer.parameters():
            parameter.grad = None
        x.grad = None
        layer(x).backward(g)

    return run


def operations(samples: int, inputs: int, outputs: int) -> int:
    return 3 * 2 * samples * inputs * (ORDER + 2) * outputs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    samples = 16384
    shapes = {
        "128 -> 128, G = 10": (128, 128, 10),
        "64 -> 64, G = 10": (64, 64, 10),
        "64 -> 64, G = 200": (64, 64, 200),
    }
    runs: dict[str, Callable[[], object]] = {}
    for name, (inputs, outputs, size) in shapes.items():
        layer = KANLayer(inputs, outputs, size, ORDER)
        x = (2 * torch.rand(samples, inputs) - 1).requires_grad_()
        g = torch.randn(samples, outputs)
        runs[name] = step(layer, x, g)
        if name.startswith("128"):
            dense = DenseLayer(layer)
            difference = (dense(x) - layer(x)).abs().max().item()
            assert difference < 1e-3, f"the two formulations differ by {difference}"
            runs["dense " + name] = step(dense, x, g)
    a, b = torch.randn(2, SGEMM, SGEMM)
    runs["sgemm"] = lambda: a @ b
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(arguments.repeats + 2):
        for name, run in runs.items():
            taken = seconds(run)
            if repeat >= 2:
                times[name].append(taken)
    medians = {name: statistics.median(values) for name, values in times.items()}
    rate = 2 * SGEMM**3 / medians["sgemm"]
    backend, why = explain_backend("cpu")
    result = {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "backend": f"{backend}: {why}",
        "samples": samples,
        "sgemm_gflops": rate / 1e9,
        "milliseconds": {name: 1e3 * value for name, value in medians.items()},
        "times_the_floor": {
            name: medians[name] * rate / operations(samples, inputs, outputs)
            for name, (inputs, outputs, _) in shapes.items()
        },
        "speedup_over_dense": medians["dense 128 -> 128, G = 10"] / medians["128 -> 128, G = 10"],
        "G_200_over_G_10": medians["64 -> 64, G = 200"] / medians["64 -> 64, G = 10"],
    }
    print(f"{result['machine']}; {result['backend']}; sgemm {rate / 1e9:.0f} GFLOP/s")
    print(f"N = {samples}, single precision, cubic; forward and backward:")
    for name in times:
        floor = result["times_the_floor"].get(name)
        note = f"   {floor:.2f} x floor" if floor else ""
        print(f"  {name:26} {1e3 * medians[name]:9.2f} ms{note}")
    print(f"  faster than dense, 128 -> 128, G = 10: {result['speedup_over_dense']:.1f} x")
    print(f"  time at G = 200 over G = 10, 64 -> 64: {result['G_200_over_G_10']:.2f} x")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
