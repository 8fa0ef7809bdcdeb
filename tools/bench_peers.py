"""Time a training step of kanfield, pykan and inkan at equal widths and grids, and take its peak memory.

    python tools/bench_peers.py [--repeats 5] [--json FILE] [--environment build/peers]

The two other packages are installed into an environment of their own, which borrows this interpreter's
torch and kanfield. Two networks are trained: the poster's KAN and the default preset's at 256 x 256, with
cubic splines and batches of 4096. A step is forward, MSE, backward and Adam; grid updates are not timed. All
contestants take turns in one process, so that a slow moment of a shared machine affects all of them; the
memory of each is measured in a process of its own. Needs Linux, and the C++ compiler that torch.compile
calls.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import platform
import resource  # Unix only
import site
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

# Torch is imported by the child processes alone: a child's ru_maxrss starts from the parent's, not from zero.
if TYPE_CHECKING:
    from torch import Tensor, nn

ROOT = Path(__file__).resolve().parent.parent
# What pykan imports but does not declare; pip installs those of them that the caller's environment lacks.
UNDECLARED = ("matplotlib", "numpy", "pandas", "pyyaml", "scikit-learn", "sympy", "tqdm")
BATCH, LR, SGEMM = 4096, 1e-3, 1024
WARM_UP, MEMORY_STEPS = 2, 3
TURN = 0.5  # seconds for which a contestant is timed, at least, when its turn comes
CONTESTANTS = ("kanfield", "kanfield, default order", "pykan", "pykan, compiled", "inkan", "inkan, compiled")
MEBI = 2**20


def prepare(folder: Path, *packages: str) -> Path:
    """Make an environment with other packages that also sees all packages of this one.

    Args:
        folder: where the environment is, or is to be made.
        packages: names in the package index; for pykan with :data:`UNDECLARED`.

    Returns:
        Its Python.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        # The caller's pip is seen as well; venv's own would bring a setuptools too old for torch.
        venv.create(folder, symlinks=True, with_pip=importlib.util.find_spec("pip") is None)
    own = next(folder.glob(f"lib/python{sys.version_info[0]}.{sys.version_info[1]}*/site-packages"))
    # Not plain lines of paths: addsitedir also runs the hook of an editable kanfield. With this in place, pip
    # finds torch installed and leaves it; nor does it ever remove what lies outside its own environment.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in site.getsitepackages()]
    (own / "caller.pth").write_text("".join(lines), encoding="utf-8")
    found = "from importlib.metadata import version; import sys; [version(name) for name in sys.argv[1:]]"
    if subprocess.run([str(python), "-c", found, *packages], capture_output=True, check=False).returncode:
        install = [str(python), "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(install, check=True)
    return python


def networks() -> dict[str, tuple[list[int], list[int]]]:
    """Widths (inputs and outputs included) and grids of each network, from the presets and configs/."""
    import yaml

    from kanfield.config.image_stats import ImageStats
    from kanfield.config.presets import preset_settings

    poster = yaml.safe_load((ROOT / "configs" / "poster" / "kan.yaml").read_text(encoding="utf-8"))
    default = preset_settings("smooth", ImageStats(256, 256, 256**2, 1), "directions")
    shapes = {"poster": poster["options"], "default": default["options"]}
    shapes["tiny"] = {"widths": [4], "grids": [5, 5]}
    return {name: ([2, *shape["widths"], 1], list(shape["grids"])) for name, shape in shapes.items()}


def build_kanfield(widths: list[int], grids: list[int], order: int = 3) -> nn.Module:
    """A KAN of this package."""
    from kanfield import KAN

    inputs, *hidden, outputs = widths
    return KAN(inputs, outputs, hidden, grids, order)


def compile_static(model: nn.Module) -> nn.Module:
    """Compile for these very sizes; by default torch compiles a second network of a class for any sizes."""
    import torch

    return cast("nn.Module", torch.compile(model, dynamic=False))


def build_pykan(widths: list[int], grids: list[int], compiled: bool = False) -> nn.Module:
    """A pykan network with ``speed()``, as its authors ran it; if ``compiled``, by torch as well."""
    from kan import KAN

    # Grids must be a list, one for each layer. Widths are a copy, since pykan changes the list it is given.
    model = KAN(width=list(widths), grid=grids, k=3, seed=0, auto_save=False).speed()
    return compile_static(model) if compiled else model


def build_inkan(widths: list[int], grids: list[int], compiled: bool = False) -> nn.Module:
    """A stack of inkan layers, since its network class has one grid size for all.

    Args:
        widths: from inputs to outputs.
        grids: cells of every layer.
        compiled: compile the whole stack with the dense basis, its fastest variant on a CPU; by default the
            basis alone is compiled.
    """
    import torch
    from inkan import KANLayer

    sizes = zip(widths[:-1], widths[1:], grids, strict=True)
    options = {"compile_basis": False, "basis_mode": "dense"} if compiled else {}
    stack = torch.nn.Sequential(*(KANLayer(i, o, g, **options) for i, o, g in sizes))
    return compile_static(stack) if compiled else stack


def build(contestant: str, network: str) -> nn.Module:
    """A fresh network, by the names in ``CONTESTANTS`` and :func:`networks`."""
    import torch

    from kanfield.config.presets import PRESETS

    default_order = PRESETS["smooth"].directions.order

    builders: dict[str, Callable[[list[int], list[int]], nn.Module]] = {
        "kanfield": build_kanfield,
        "kanfield, default order": lambda widths, grids: build_kanfield(widths, grids, default_order),
        "pykan": build_pykan,
        "pykan, compiled": lambda widths, grids: build_pykan(widths, grids, compiled=True),
        "inkan": build_inkan,
        "inkan, compiled": lambda widths, grids: build_inkan(widths, grids, compiled=True),
    }
    torch.manual_seed(0)
    return builders[contestant](*networks()[network])


def samples() -> tuple[Tensor, Tensor]:
    """Coordinates ``(BATCH, 2)`` and the values to learn ``(BATCH, 1)``, the same for all."""
    import torch

    x = 2 * torch.rand(BATCH, 2, generator=torch.Generator().manual_seed(0)) - 1
    # Far from zero, so that few steps lower the loss of whatever learns at all: pykan's take seconds each.
    return x, 1 + 0.25 * torch.sin(3 * x[:, :1]) * torch.cos(2 * x[:, 1:])


def training(model: nn.Module) -> Callable[[], float]:
    """A function that takes one training step and returns its loss."""
    import torch

    x, y = samples()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def step() -> float:
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def seconds(run: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def take_turns(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Time all contestants in turn.

    Returns:
        Seconds of every timed step, by contestant.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            run()  # not counted: it brings the contestant's own data back into the caches
            turn = [seconds(run)]
            while sum(turn) < TURN:
                turn.append(seconds(run))
            times[name] += turn
    return times


def measure_time(repeats: int) -> dict[str, Any]:
    """Time every contestant on both networks.

    Returns:
        Their figures, the rate of a matrix product, and what all of it ran on.

    Raises:
        RuntimeError: a contestant does not learn.
    """
    import torch

    from kanfield.splines import explain_backend

    models = {f"{n}/{c}": build(c, n) for n in ("poster", "default") for c in CONTESTANTS}
    runs = {name: training(model) for name, model in models.items()}
    losses = {name: [run() for _ in range(WARM_UP)] for name, run in runs.items()}  # compiles, too
    a, b = torch.randn(2, SGEMM, SGEMM)
    times = take_turns({**runs, "sgemm": lambda: (a @ b)[0, 0].item()}, repeats)
    figures = {}
    for name, model in models.items():
        with torch.no_grad():
            finite = bool(torch.isfinite(model(samples()[0])).all())
        first, last = losses[name][0], runs[name]()
        if not finite or not math.isfinite(last) or last >= first:
            raise RuntimeError(f"{name} does not learn: finite {finite}, loss {first} to {last}")
        figures[name] = {
            # Without those that take no part, such as pykan's of its symbolic branch.
            "parameters": sum(p.numel() for p in model.parameters() if p.grad is not None),
            "loss": [first, last],
            "steps": len(times[name]),
            "milliseconds": 1e3 * statistics.median(times[name]),
            "milliseconds_min": 1e3 * min(times[name]),
            "milliseconds_max": 1e3 * max(times[name]),
        }
    return {
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "backend": ": ".join(explain_backend("cpu")),
        "versions": {name: version(name) for name in ("torch", "kanfield", "pykan", "inkan")},
        "networks": {
            name: dict(zip(("widths", "grids"), networks()[name], strict=True))
            for name in ("poster", "default")
        },
        "batch": BATCH,
        "sgemm_gflops": 2 * SGEMM**3 / statistics.median(times["sgemm"]) / 1e9,
        "contestants": figures,
    }


def measure_memory(contestant: str, network: str) -> dict[str, float]:
    """Peak of this process in MiB, and its excess over what was in use before the model was built."""
    # Loads the library, the compiler and the thread pools, which do not belong to a model.
    training(build(contestant, "tiny"))()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    before = pages * resource.getpagesize() / MEBI
    step = training(build(contestant, network))
    for _ in range(MEMORY_STEPS):
        step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"peak_mib": peak, "peak_mib_over_start": peak - before}


def child(python: Path, *arguments: str) -> dict[str, Any]:
    """Run this file in the environment; its result is the last line of its output."""
    command = [str(python), __file__, "--child", *arguments]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def compare(python: Path, repeats: int) -> dict[str, Any]:
    """All figures, with every contestant's ratio to kanfield's cubic splines."""
    print("timing ...", file=sys.stderr)
    result = child(python, "time", str(repeats))
    figures = result["contestants"]
    for name, figure in figures.items():
        print(f"memory of {name} ...", file=sys.stderr)
        network, contestant = name.split("/")
        figure.update(child(python, "memory", contestant, network))
    for name, figure in figures.items():
        ours = figures[name.split("/")[0] + "/kanfield"]
        figure["times_kanfield"] = figure["milliseconds"] / ours["milliseconds"]
        figure["memory_times_kanfield"] = figure["peak_mib_over_start"] / ours["peak_mib_over_start"]
    return result


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    print(f"{result['machine']}; {result['backend']}; sgemm {result['sgemm_gflops']:.0f} GFLOP/s; {versions}")
    print(
        f"A training step on {result['batch']} samples, single precision, Adam, cubic but for the second row;"
    )
    print("time in ms, median (min to max); memory in MiB, peak of the process and what the model added:")
    for network, shape in result["networks"].items():
        print(f"\n{network}: {shape['widths']}, grids {shape['grids']}")
        print(f"  {'':24}{'time':>34}{'ratio':>8}{'peak':>8}{'added':>8}{'ratio':>8}{'parameters':>12}")
        for contestant in CONTESTANTS:
            figure = result["contestants"][f"{network}/{contestant}"]
            span = f"({figure['milliseconds_min']:.1f} to {figure['milliseconds_max']:.1f})"
            print(
                f"  {contestant:24}{figure['milliseconds']:10.1f}{span:>24}{figure['times_kanfield']:8.2f}"
                f"{figure['peak_mib']:8.0f}{figure['peak_mib_over_start']:8.0f}"
                f"{figure['memory_times_kanfield']:8.2f}{figure['parameters']:12,}"
            )


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="turns that every contestant gets")
    parser.add_argument("--json", help="also write the figures to this file")
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "peers")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        kind, *details = arguments.child
        print(json.dumps(measure_time(int(details[0])) if kind == "time" else measure_memory(*details)))
        return
    python = prepare(arguments.environment.resolve(), "pykan", "inkan", *UNDECLARED)
    result = compare(python, arguments.repeats)
    show(result)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=2)


if __name__ == "__main__":
    main()
