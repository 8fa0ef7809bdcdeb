"""Fit the image rows of the KAN poster, at its settings and at tuned settings of the same networks.

python tools/reproduce_poster.py assets/camera.png --fraction 0.1 --out comparisons/poster

A fraction shortens all three phases alike; 1 runs the poster's 15000 steps. The tuned fits have the same
widths and grids, as many steps, and the optimiser, rates, batch, schedule and start that kanfield gives the
family. The same command with the same --out resumes. What differs from the poster whatever the settings: the
photograph (its own is not published), uniform grids instead of quantile grids, the machine, and the settings
that configs/poster/ marks as ours.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from kanfield.comparison.compare import begin, compare, resume
from kanfield.comparison.plan import Plan, has_plan
from kanfield.errors import KanfieldError

CONFIGS = Path(__file__).resolve().parent.parent / "configs/poster"
# PSNR in dB and training time in seconds on the authors' GPU.
POSTER = {
    "kan": (45.76, 1809),
    "mlp": (22.09, 182),
    "siren-1": (27.34, 254),
    "siren-2": (30.79, 407),
    "mlp-rff": (26.26, 195),
}
GOAL, STEPS = 45.76, 15_000
SHAPE = ("widths", "grids", "frequencies")  # options of a row that its tuned twin shares


def tuned_twin(name: str, folder: Path) -> Path:
    """Write a settings file with the row's network that leaves everything else to kanfield."""
    settings = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    shape = {key: value for key, value in settings["options"].items() if key in SHAPE}
    twin = {"model": settings.get("model", "kan"), "options": shape}
    path = folder / f"{name}-tuned.yaml"
    path.write_text(yaml.safe_dump(twin, sort_keys=False))
    return path


def seconds_to(goal: float, run: Path) -> float | None:
    """Training time in seconds at the first evaluation that reached a PSNR; None if none did."""
    with open(run / "metrics.csv", newline="") as file:
        return next(
            (float(r["seconds"]) for r in csv.DictReader(file) if float(r["psnr"] or 0) >= goal), None
        )


def row(name: str, poster: tuple[float, int], fits: dict[str, dict[str, Any]]) -> str:
    """Format a line of the table."""
    cells = [name, f"{poster[0]:.2f}", f"{poster[1]}"]
    for label in (name, f"{name}-tuned"):
        fit = fits[label]
        if fit["error"] is not None:
            cells += [fit["error"], "", ""]
            continue
        reached = seconds_to(GOAL, Path(fit["run"]))
        time = "never" if reached is None else f"{reached:.1f} s"
        cells += [f"{fit['psnr']:.2f}", f"{fit['seconds']:.0f}", time]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Read the command line, run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("image", nargs="?", default=str(CONFIGS.parent.parent / "assets/camera.png"))
    parser.add_argument("--fraction", type=float, default=0.1, help="of the poster's 15000 steps")
    parser.add_argument("--rows", nargs="+", default=list(POSTER), choices=list(POSTER))
    parser.add_argument("--out", type=Path, default=Path("comparisons/poster"))
    arguments = parser.parse_args()
    if has_plan(arguments.out):
        plan = resume(arguments.out)
    else:
        twins_folder = arguments.out.with_name(f"{arguments.out.name}-settings")  # a comparison's own is new
        twins_folder.mkdir(parents=True, exist_ok=True)
        twins = [tuned_twin(name, twins_folder) for name in arguments.rows]
        models = [str(CONFIGS / f"{name}.yaml") for name in arguments.rows] + [str(twin) for twin in twins]
        image = str(Path(arguments.image).resolve())
        plan = Plan([image], models, steps=max(3, round(STEPS * arguments.fraction)))
        plan = begin(plan, arguments.out)
    result, folder = compare(plan, arguments.out, Console(stderr=True))
    fits = {fit["label"]: fit for fit in result.rows}
    print(f"{plan.steps} of {STEPS} steps, {Path(plan.images[0]).name}; report: {folder}/report.html")
    heading = ["row", "poster, dB", "s on a GPU"]
    heading += [
        f"{kind}{what}" for kind in ("its settings, ", "tuned, ") for what in ("dB", "s", f"{GOAL} dB at")
    ]
    print(f"| {' | '.join(heading)} |\n| {' | '.join('---' for _ in heading)} |")
    for name, poster in POSTER.items():
        if name in fits:
            print(row(name, poster, fits))


if __name__ == "__main__":
    try:
        main()
    except KanfieldError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
