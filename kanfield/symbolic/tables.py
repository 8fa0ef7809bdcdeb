"""Tables of samples: CSV and NPZ files, every mistake in one line."""

from __future__ import annotations

import csv
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kanfield.errors import InputError, suggest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Samples by the names of their columns.

    Attributes:
        inputs: names of the inputs.
        target: name of the target.
        x: inputs, ``(N, n)``.
        y: target, ``(N,)``.
    """

    inputs: tuple[str, ...]
    target: str
    x: Array
    y: Array


def read_table(path: Path, target: str, inputs: tuple[str, ...] = ()) -> Table:
    r"""Read samples.

    Args:
        path: a CSV file with a line of names, or an NPZ file of arrays ``(N,)``, named as the columns.
        target: name of the column to explain.
        inputs: names of the columns to explain it by; by default all others.

    Returns:
        The samples; whether a formula can be looked for in them :func:`kanfield.symbolic.samples.check` says.

    Raises:
        InputError: the file cannot be read, or a column is missing or no column of numbers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "a.csv"
    ...     _ = file.write_text("t,height\n0,1.5\n1,2.5\n")
    ...     read_table(file, "height").x.tolist()
    [[0.0], [1.0]]
    """
    if path.is_dir():
        known = "a fitted image field: its edges hold an image, which no formula of named functions is"
        what = known if (path / "config.yaml").exists() else "a folder"
        raise InputError(f"{path} is {what}; give a CSV or NPZ file of samples")
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".npz"):
        raise InputError(f"{path}: samples are read from .csv and .npz, not from '{suffix or path.name}'")
    try:
        columns = _read_csv(path) if suffix == ".csv" else _read_npz(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}; give a CSV or NPZ file of samples") from None
    for option, name in [("--target", target), *(("--inputs", name) for name in inputs)]:
        if name not in columns:
            raise InputError(f"{option} {name}: {path} has no such column{suggest(name, columns)}")
    if target in inputs:
        raise InputError(f"--inputs {target} is the target: leave it out")
    if len(set(inputs)) < len(inputs):
        raise InputError(f"--inputs {' '.join(inputs)}: one is named twice")
    chosen = inputs or tuple(name for name in columns if name != target)
    if not chosen:
        raise InputError(f"{path} has no column beside {target}: give one to explain it by")
    numbers = {name: _numbers(path, name, columns[name]) for name in (*chosen, target)}
    sizes = {name: len(column) for name, column in numbers.items()}
    for name, size in sizes.items():
        if size != sizes[target]:
            raise InputError(f"{path}: column '{name}' has {size} values and '{target}' {sizes[target]}")
    return Table(chosen, target, np.stack([numbers[name] for name in chosen], 1), numbers[target])


def _read_csv(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if any(cell.strip() for cell in row)]
    except (UnicodeError, csv.Error):
        raise InputError(f"{path} is no text in UTF-8 with commas between columns: save it as CSV") from None
    if not rows:
        raise InputError(f"{path} is empty: give a line of column names and a line for every sample")
    names = [name.strip() for name in rows[0]]
    if all(_is_number(name) for name in names):
        raise InputError(f"{path} has no line of column names at its top: write one, such as x,y")
    if len(set(names)) < len(names) or not all(names):
        raise InputError(f"{path}: two columns share a name, or one has none: {', '.join(names)}")
    for number, row in enumerate(rows[1:], 1):
        if len(row) != len(names):
            raise InputError(f"{path}, sample {number}: {len(row)} values for {len(names)} columns")
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(names)}


def _read_npz(path: Path) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as file:  # of an NPY file this is an array, which has no block
            return {name: file[name] for name in file.files}
    except (ValueError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"{path} is no NPZ file of arrays of numbers: write it with numpy.savez") from None


def _numbers(path: Path, name: str, column: list[str] | Array) -> Array:
    if isinstance(column, np.ndarray):
        if column.ndim != 1 or column.dtype.kind not in "fiub":
            raise InputError(f"{path}: array '{name}' is {column.dtype} {column.shape}: give numbers (N,)")
        return column.astype(np.float64)
    for number, cell in enumerate(column, 1):
        if not _is_number(cell):
            raise InputError(f"{path}: column '{name}', sample {number} is '{cell.strip()[:30]}', no number")
    return np.array([float(cell) for cell in column])


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
