"""The poster's rows of differential equations. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PosterRow:
    """A row of the poster's table.

    Attributes:
        problem: in the catalogue of ``kanfield.pde``.
        model: family of fields.
        widths: hidden units.
        grids: cells of a KAN's layers, none for other fields.
        error: the poster's.
        seconds: the poster's.
        times: how much longer than the other rows it was trained.
    """

    problem: str
    model: str
    widths: tuple[int, ...]
    grids: tuple[int, ...]
    error: float
    seconds: float
    times: int = 1

    @property
    def shape(self) -> str:
        """As the poster writes it, such as ``KAN [2,5,5,1] G=5``."""
        widths = ",".join(map(str, (2, *self.widths, 1)))
        grid = f" G={self.grids[0]}" if self.grids else ""
        longer = f", {self.times} x steps" if self.times > 1 else ""
        return f"{self.model.upper()} [{widths}]{grid}{longer}"


_AC, _DARCY, _WIDE = "allen-cahn", "darcy-waves", (128, 128, 128)
ROWS = {
    "allen-cahn-kan": PosterRow(_AC, "kan", (5, 5), (5,), 3.4e-3, 2801),
    "allen-cahn-mlp": PosterRow(_AC, "mlp", _WIDE, (), 1.5e-1, 478),
    "allen-cahn-mlp-10x": PosterRow(_AC, "mlp", _WIDE, (), 3.9e-4, 4766, times=10),
    "darcy-kan-10": PosterRow(_DARCY, "kan", (10,), (20,), 3.9e-4, 66),
    "darcy-kan-100": PosterRow(_DARCY, "kan", (100,), (10,), 4.3e-6, 107),
    "darcy-kan-deep": PosterRow(_DARCY, "kan", (10, 10, 10, 10), (5,), 8.5e-5, 123),
    "darcy-mlp": PosterRow(_DARCY, "mlp", _WIDE, (), 3.0e-5, 30),
    "darcy-mlp-10x": PosterRow(_DARCY, "mlp", _WIDE, (), 4.5e-6, 277, times=10),
    "darcy-rff": PosterRow(_DARCY, "rff", _WIDE, (), 5.9e-6, 31),
}
WAYS = ("guess", "best", "floor")
