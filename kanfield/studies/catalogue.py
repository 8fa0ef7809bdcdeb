"""Every study with its options. Knows nothing of torch, so that the command line shows its help at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from kanfield.errors import InputError
from kanfield.fields.registry import family_names
from kanfield.studies.settings import File, Flag, StudySettings, demand_known, demand_positive


@dataclass
class Waves(StudySettings):
    """Ten waves from 5 to 50 Hz: which amplitudes a field has recovered at which step (arXiv:2410.01803)."""

    NAME: ClassVar[str] = "waves"
    QUICK: ClassVar[dict[str, Any]] = {"steps": 150, "repeats": 2, "mlp_width": 32}

    models: tuple[str, ...] = ("kan", "mlp")
    """Families of fields (kanfield models lists them); kan and mlp have the paper's shapes."""
    amplitudes: tuple[str, ...] = ("equal", "increasing")
    """equal: all 1; increasing: 0.1, 0.2, ... 1."""
    steps: int = 8000
    """Steps of Adam (the paper gives its MLPs 80000)."""
    repeats: int = 10
    """Fits, each with phases and weights of its own."""
    lr: float = 3e-4
    """Rate of Adam."""
    width: int = 10
    """Units of the KAN's hidden layers: the paper has 3 and 10."""
    depth: int = 4
    """Layers of the KAN: 2, 3 or 4."""
    grid: int = 10
    """Cells of the KAN's grids: 5, 10, 20 or 40."""
    mlp_width: int = 256
    """Units of the MLP's hidden layers: 32, 64, 128 or 256."""
    mlp_depth: int = 6
    """Layers of the MLP: 6 or 10."""
    as_published: Flag = False
    """Leave times in [0, 1), for all models, and the KAN's grids on [-1, 1], as the authors' code does by a
    slip."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        demand_positive(self, "steps", "repeats", "lr", "width", "depth", "grid", "mlp_width", "mlp_depth")
        demand_known(self, "models", family_names())
        demand_known(self, "amplitudes", ("equal", "increasing"))


@dataclass
class RandomField(StudySettings):
    """Gaussian random fields in two and three dimensions: train and test error (arXiv:2410.01803)."""

    NAME: ClassVar[str] = "random-field"
    QUICK: ClassVar[dict[str, Any]] = {
        "dimensions": (2,),
        "sigmas": (0.5,),
        "samples": 400,
        "grids": (5, 10),
        "depths": (2,),
        "activations": ("tanh",),
        "steps": 20,
        "mlp_width": 24,
        "overfit_sigmas": (),
    }

    models: tuple[str, ...] = ("kan", "mlp")
    """Families of fields (kanfield models lists them); kan and mlp have the paper's shapes."""
    dimensions: tuple[int, ...] = (2, 3)
    """Numbers of coordinates, up to 4."""
    sigmas: tuple[float, ...] = (0.125, 0.25, 0.5, 1.0)
    """Length scales of the random field, on [-1, 1]."""
    samples: int = 5000
    """Points, of which four fifths are trained on."""
    grids: tuple[int, ...] = (10, 20, 30, 40, 50)
    """Cells of the KAN's grids, one after another."""
    depths: tuple[int, ...] = (2, 3)
    """Layers of the KANs, 10 units wide; the paper has 2, 3 and 4."""
    activations: tuple[str, ...] = ("tanh", "relu")
    """Of the MLPs."""
    steps: int = 60
    """Iterations of L-BFGS on every grid; other models get as many as the KAN in all."""
    mlp_width: int = 256
    """Units of the MLP's five hidden layers."""
    overfit_sigmas: tuple[float, ...] = (0.125,)
    """Length scales that are fitted again with ten times the samples, in the highest dimension."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        demand_positive(self, "sigmas", "samples", "grids", "depths", "steps", "mlp_width")
        demand_known(self, "models", family_names())
        demand_known(self, "activations", ("tanh", "relu", "silu", "gelu"))
        if not self.dimensions or not set(self.dimensions) <= {1, 2, 3, 4}:
            raise InputError(f"--dimensions {self.dimensions}: give some of 1, 2, 3, 4")
        for sigma in (*self.sigmas, *self.overfit_sigmas):
            if sigma < 0.05:
                raise InputError(f"--sigmas {sigma:g} is too fine: give 0.05 or more")
        if max(self.dimensions) == 4 and min(*self.sigmas, *self.overfit_sigmas, 1) < 0.25:
            raise InputError("--dimensions 4 has too many modes for length scales below 0.25")
        if self.samples < 10 or list(self.grids) != sorted(set(self.grids)):
            raise InputError("give --samples of 10 or more and --grids from the coarsest to the finest")


@dataclass
class Poisson1d(StudySettings):
    """The Poisson equation in one dimension by Deep Ritz: L2 and H1 errors (arXiv:2410.01803)."""

    NAME: ClassVar[str] = "poisson-1d"
    QUICK: ClassVar[dict[str, Any]] = {"frequencies": (4,), "steps": 55, "points": 100}

    models: tuple[str, ...] = ("kan", "mlp")
    """Families of fields (kanfield models lists them); kan and mlp have the paper's shapes."""
    frequencies: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Values of w, even numbers: the solution has sines of frequency 1 and w."""
    steps: int = 300
    """Iterations of L-BFGS on each of the KAN's two grids; others get twice as many."""
    grid: int = 20
    """Cells of the KAN's first grid; the second has twice as many."""
    points: int = 2000
    """Equispaced points of the integral."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        demand_positive(self, "frequencies", "steps", "grid", "points")
        demand_known(self, "models", family_names())
        if any(w % 2 for w in self.frequencies):
            raise InputError(
                f"--frequencies {self.frequencies}: give even numbers, for which u' is 0 at the ends"
            )
        if self.points <= 2 * max(self.frequencies) + 1:
            raise InputError(
                f"--points {self.points} is too few for sines of {max(self.frequencies)} half turns"
            )
        if self.steps <= 50:
            raise InputError(f"--steps {self.steps} is too few: the grids move for the first 50")


@dataclass
class Ntk(StudySettings):
    """The empirical neural tangent kernel of fields on an image's pixels."""

    NAME: ClassVar[str] = "ntk"
    QUICK: ClassVar[dict[str, Any]] = {"side": 8, "models": ("siren", "mlp")}

    models: tuple[str, ...] = ("kan", "siren", "mlp", "rff", "hashgrid")
    """Families of fields (kanfield models lists them), each as a fit of the image begins with it."""
    image: File = None
    """The image. Default: a generated one of 256 pixels a side."""
    side: int = 24
    """Pixels of the longer side that the kernel is taken on; it has the square of as many rows."""
    runs: tuple[Path, ...] = ()
    """Run folders: their kernels at the start, at the last and at the best weights, instead of models'."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        demand_known(self, "models", family_names())
        if not 8 <= self.side <= 96:
            raise InputError(f"--side {self.side} is impossible: give 8 to 96 pixels")
        if self.runs and self.image:
            raise InputError("--runs and --image contradict each other: a run has its own image")
        for path in (*self.runs, *([self.image] if self.image else [])):
            if not path.exists():
                raise InputError(f"{path} is not there: give a run folder to --runs, a file to --image")


@dataclass
class Conditioning(StudySettings):
    """The Hessian of one spline layer under least squares, against a ReLU layer's (arXiv:2410.01803)."""

    NAME: ClassVar[str] = "conditioning"
    QUICK: ClassVar[dict[str, Any]] = {"grids": (5, 10, 20), "dimensions": (1, 2, 4)}

    orders: tuple[int, ...] = (1, 2, 3)
    """Orders of the splines."""
    grids: tuple[int, ...] = (5, 10, 20, 40, 80)
    """Cells of the splines' grid; units an input of the ReLU layer."""
    dimensions: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of inputs."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        demand_positive(self, "orders", "grids", "dimensions")
        if not self.orders or not set(self.orders) <= {1, 2, 3}:
            raise InputError(f"--orders {self.orders}: splines have order 1, 2 or 3")
        for name in ("grids", "dimensions"):
            if len(set(getattr(self, name))) < 2:
                raise InputError(f"--{name}: give two or more, to see what grows")


@dataclass
class GridExtension(StudySettings):
    """A fixed fine grid, one refined in stages, and nested levels: the error in every band of frequency."""

    NAME: ClassVar[str] = "grid-extension"
    QUICK: ClassVar[dict[str, Any]] = {"size": 48, "steps": 90, "width": 16}

    image: File = None
    """The image. Default: a generated one."""
    size: int = 256
    """Pixels of its longer side."""
    steps: int = 2000
    """Steps of every fit; the staged one is refined after a third and after two thirds of them."""
    width: int = 64
    """Units of the three hidden layers."""
    first_grid: int = 16
    """Cells of the first layer's coarse grid; the fine one has four times as many."""
    hidden_grid: int = 4
    """Cells of the other layers' coarse grids."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        demand_positive(self, "size", "steps", "width", "first_grid", "hidden_grid")
        if self.size < 16 or self.steps < 3:
            raise InputError("give a --size of 16 pixels or more and 3 --steps or more")
        if self.image is not None and not self.image.exists():
            raise InputError(f"--image {self.image} is not there: give a file")


@dataclass
class Scaling(StudySettings):
    """The scaling law: test error against parameters, approximation error against G (arXiv:2404.19756)."""

    NAME: ClassVar[str] = "scaling"
    QUICK: ClassVar[dict[str, Any]] = {
        "functions": ("bessel", "exp-sin"),
        "seeds": 1,
        "starts": 2,
        "grids": (5, 10, 20, 40),
        "steps": 40,
        "mlps": ("8x2",),
        "mlp_steps": 150,
        "samples": 300,
    }

    functions: tuple[str, ...] = ("bessel", "exp-sin", "product", "exp-100", "nested")
    """J0(20 x), exp(sin(pi x) + y^2), x y, and those in 100 and in 4 dimensions."""
    seeds: int = 3
    """Fits of every model, each with samples and weights of its own."""
    starts: int = 5
    """Starts of a KAN on the coarsest grid, of which the best goes on."""
    grids: tuple[int, ...] = (3, 5, 10, 20, 50, 100, 200, 500, 1000)
    """Cells of the KANs' grids, ascending."""
    steps: int = 600
    """Iterations of L-BFGS on every grid."""
    mlps: tuple[str, ...] = ("8x2", "16x2", "32x2", "64x2", "16x3", "32x3", "64x3")
    """Shapes of the MLPs: width x hidden layers."""
    mlp_steps: int = 1800
    """Iterations of L-BFGS of an MLP."""
    samples: int = 1000
    """Training points."""

    def check(self) -> None:
        """See :meth:`StudySettings.check`."""
        demand_positive(self, "seeds", "starts", "grids", "steps", "mlp_steps", "samples")
        demand_known(self, "functions", ("bessel", "exp-sin", "product", "exp-100", "nested"))
        if list(self.grids) != sorted(set(self.grids)):
            raise InputError(f"--grids {self.grids}: give them from the coarsest to the finest")
        for shape in self.mlps:
            if not re.fullmatch(r"[1-9]\d*x[1-9]\d*", shape):
                raise InputError(f"--mlps {shape} is no shape: give width x hidden layers, such as 32x2")


ALL: tuple[type[StudySettings], ...] = (
    *(Waves, RandomField, Poisson1d, Ntk, Conditioning, GridExtension, Scaling),
)
