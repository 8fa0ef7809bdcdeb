"""What ``kanfield bench`` measured, as lines and tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

Rows = Sequence[dict[str, Any]]


def shown(result: dict[str, Any]) -> list[RenderableType]:
    """Lines and tables of a result of :func:`kanfield.bench.report.bench` or ``bench_tune``, in order."""
    if "tune" in result:
        return [
            *_head(result),
            *_timings(result["tune"]),
            Text(f"saved, and used from now on: {result['saved']}"),
        ]
    return [
        *_head(result),
        *_operator(result["operator"]),
        *(Text(f"{text}: {factor:.2f}") for text, factor in result["grid_growth"].items()),
        *_encoding(result["encoding"]),
        *_steps(result["steps"]),
    ]


def _head(result: dict[str, Any]) -> Iterator[RenderableType]:
    backend, machine = result["backend"], result["machine"]
    threads = f", {machine['threads']} threads" if result["device"] == "cpu" else ""
    yield Text(
        f"{result['device']}: {result['device_name']}{threads}; torch {result['torch']}; "
        f"splines by {backend['name']} ({backend['reason']})"
    )
    if "rates" in result:
        rates = result["rates"]
        products = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates["product_gflops"].items())
        yield Text(
            f"measured here: matrix product {products} GFLOP/s, copy {rates['copy_gbytes']:,.1f} GB/s; "
            "the floor below is a layer's arithmetic at the first of these rates"
            + ("" if result["device"] == "cpu" else ", or its memory traffic at the last, if that is longer")
        )


def _operator(rows: Rows) -> Iterator[RenderableType]:
    yield _title(f"A layer, forward and backward, {rows[0]['samples']:,} samples")
    table = _table(
        ["layer", "computed by", "precision"], ["ms", "times the floor", "times faster than dense"]
    )
    for row in rows:
        numbers = (row[key] for key in ("milliseconds", "times_the_floor", "times_faster_than_dense"))
        table.add_row(row["shape"], row["variant"], row["precision"], *map(_number, numbers))
    yield table
    for row in rows:
        if row["left_out"]:
            yield Text(f"left out: {row['shape']}, {row['variant']}, {row['precision']}: {row['left_out']}")


def _encoding(rows: Rows) -> Iterator[RenderableType]:
    yield _title(
        "A grid encoding of 12 levels, forward and backward; the floor is its memory traffic, if caches held "
        "none of it, at the rate of a copy"
    )
    table = _table(
        ["computed by"], ["order", "samples", "ms", "times the floor", "times faster than reference"]
    )
    for row in rows:
        numbers = (row[key] for key in ("milliseconds", "times_the_floor", "times_faster_than_reference"))
        table.add_row(row["variant"], str(row["order"]), f"{row['samples']:,}", *map(_number, numbers))
    yield table
    for variant, reason in {row["variant"]: row["left_out"] for row in rows if row["left_out"]}.items():
        yield Text(f"left out: encodings by {variant}: {reason}")


def _steps(rows: Rows) -> Iterator[RenderableType]:
    batch = next((row["batch"] for row in rows if row["batch"] is not None), 0)
    yield _title(
        f"A training step of {batch:,} pixels (forward, loss, backward, optimisers), fields for a gray image "
        "of 256 x 256"
    )
    table = _table(
        ["field", "backend", "precision"],
        ["parameters", "ms per step", "pixels per second", "time over the first's"],
    )
    for row in rows:
        if row["left_out"]:
            table.add_row(row["field"], *"------")
            continue
        table.add_row(
            row["field"],
            row["backend"] + (", CUDA graph" if row["graph"] else ""),
            row["precision"],
            f"{row['parameters']:,}",
            _number(row["milliseconds"]),
            f"{row['pixels_per_second']:,.0f}",
            _number(row["times_default"]),
        )
    yield table
    for row in rows:
        if row["left_out"]:
            yield Text(f"left out: {row['field']}: {row['left_out']}")


def _timings(rows: Rows) -> Iterator[RenderableType]:
    yield _title("The spline primitives by either kernel, ms")
    table = _table(["primitive", "precision"], ["order", "rows K", "outputs", "dense", "gathering", "faster"])
    for row in rows:
        case = row["case"]
        table.add_row(
            case["primitive"],
            case["precision"],
            *(str(case[key]) for key in ("order", "rows", "outputs")),
            _number(row["dense"]),
            _number(row["gather"]),
            "dense" if row["dense"] <= row["gather"] else "gathering",
        )
    yield table


def _title(text: str) -> Text:
    return Text(f"\n{text}", style="bold")


def _table(words: Sequence[str], numbers: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in words:
        table.add_column(name)
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _number(value: float | None) -> str:
    """Three digits that mean something.

    >>> [_number(x) for x in (0.01234, 1.0, 12.34, 1234.4, None)]
    ['0.0123', '1.00', '12.3', '1,234', '-']
    """
    if value is None:
        return "-"
    if value < 0.9995:
        return f"{value:.3g}"
    return f"{value:,.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"
