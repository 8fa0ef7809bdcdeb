"""``kanfield bench``: what it says is whole and strict JSON, its parts do what they claim. Never speed."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import absent, refused

from kanfield import KANLayer
from kanfield.bench import encoding, operator, shape, step, variants
from kanfield.bench.clock import QUICK, Effort, interleaved
from kanfield.bench.dense import DenseLayer
from kanfield.bench.operator import measure_shape
from kanfield.bench.rates import Products, Rates, matrix_precision
from kanfield.bench.shape import Shape, floor_seconds
from kanfield.bench.table import shown
from kanfield.bench.tune import PRIMITIVES, Sizes, tune
from kanfield.bench.variants import COMPILED, DENSE, Variant, variants_on
from kanfield.cli import main
from kanfield.config.settings import Settings
from kanfield.encodings import GridEncoding, reference
from kanfield.encodings.grid_encode import ORDERS as GRID_ORDERS
from kanfield.errors import RunFailed
from kanfield.fields import find_family
from kanfield.splines import PRECISIONS
from kanfield.splines.backend import native
from kanfield.splines.triton import dispatch

CPU = torch.device("cpu")
TINY = Shape(3, 5, 6, 2)
RATES = Rates(dict.fromkeys(PRECISIONS, 1e9), 1e9)
needs_triton = pytest.mark.needs("Triton interpreter")


class AllPrecisions(Products):
    """A CPU that pretends to have units for every precision."""

    def __init__(self) -> None:
        super().__init__(CPU, quick=True)
        self.runs = {name: lambda: None for name in ("fp32", "tf32", "bf16")}


def strict(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)


def measure(*tried: Variant, products: Products | None = None) -> list[dict[str, Any]]:
    return measure_shape(TINY, 40, list(tried), RATES, products or AllPrecisions(), QUICK, CPU)


@pytest.fixture(scope="module")
def quick() -> Any:
    """What the real command says; one thread, for a busy machine's sake."""
    before, said = torch.get_num_threads(), io.StringIO()
    torch.set_num_threads(1)
    try:
        with contextlib.redirect_stdout(said):
            main(["bench", "--quick", "--device", "cpu", "--json"])
    finally:
        torch.set_num_threads(before)
    return strict(said.getvalue())


@pytest.mark.slow
def test_the_quick_command_says_where_and_at_what_rates(quick: Any) -> None:
    assert quick["device"] == "cpu" and quick["quick"] is True and quick["torch"] == torch.__version__
    assert quick["machine"]["threads"] == 1 and quick["device_name"] == quick["machine"]["processor"]
    assert quick["backend"]["name"] in ("native", "reference") and quick["backend"]["reason"]
    assert quick["rates"]["product_gflops"]["fp32"] > 0 and quick["rates"]["copy_gbytes"] > 0
    assert quick["grid_growth"] and all(factor > 0 for factor in quick["grid_growth"].values())


def test_every_row_has_a_time_or_says_why_not(quick: Any) -> None:
    for row in quick["operator"] + quick["encoding"] + quick["steps"]:
        timed = row["milliseconds"] is not None
        assert timed == (row["left_out"] is None), row
        assert not timed or all(v > 0 for v in row.values() if isinstance(v, (int, float)) and v is not False)
    variants_timed = {row["variant"] for row in quick["operator"] if row["milliseconds"] is not None}
    assert variants_timed >= {"reference", DENSE} and ("native" in variants_timed) == (native is not None)
    assert {row["samples"] for row in quick["operator"]} == {shape.QUICK_SAMPLES}
    for row in quick["operator"]:
        if row["milliseconds"] is not None:
            expected = row["milliseconds"] / row["floor_milliseconds"]
            assert row["times_the_floor"] == pytest.approx(expected)


def test_encodings_of_every_order_are_timed_by_every_backend(quick: Any) -> None:
    backends = {"reference"} if native is None else {"reference", "native"}
    timed = {(row["order"], row["variant"]) for row in quick["encoding"] if row["milliseconds"] is not None}
    assert timed == {(order, name) for order in GRID_ORDERS for name in backends}
    for row in quick["encoding"]:
        if row["variant"] == "reference":
            assert row["samples"] == encoding.QUICK_SAMPLES[0] and row["times_faster_than_reference"] == 1
            expected = row["milliseconds"] / row["floor_milliseconds"]
            assert row["times_the_floor"] == pytest.approx(expected)


def test_steps_are_of_the_presets_and_their_rivals(quick: Any) -> None:
    names = [row["field"] for row in quick["steps"]]
    assert names[:2] == ["kan, preset smooth", "kan, preset lossless"]
    default, fused = quick["steps"][0], quick["steps"][-1]
    assert default["times_default"] == 1 and default["parameters"] == 257_172
    assert default["batch"] == step.QUICK_BATCH and default["graph"] is False
    assert default["pixels_per_second"] == pytest.approx(1e3 * default["batch"] / default["milliseconds"])
    assert "hashgrid" in names and fused["left_out"]
    if (reason := find_family("tcnn-hashgrid").unavailable) is not None:
        assert fused["left_out"] == reason


def test_the_table_names_every_row_and_what_is_left_out(quick: Any, capsys: Any) -> None:
    from rich.console import Console

    for part in shown(quick):
        Console(highlight=False, width=10_000).print(part)
    said = capsys.readouterr().out
    assert all(row["shape"] in said for row in quick["operator"])
    assert all(row["field"] in said for row in quick["steps"])
    assert f"left out: {quick['steps'][-1]['field']}: {quick['steps'][-1]['left_out']}" in said
    assert "times the floor" in said and "GFLOP/s" in said


# ---- the operator ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_dense_formulation_is_the_layer(order: int) -> None:
    layer, x = KANLayer(3, 5, 7, order), 2 * torch.rand(50, 3) - 1
    torch.testing.assert_close(DenseLayer(layer)(x), layer(x), atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="single level"):
        DenseLayer(KANLayer(3, 5, [4, 8]))


def test_the_floor_counts_three_passes_over_every_edge() -> None:
    assert TINY.operations(10) == 3 * 2 * 10 * 3 * (2 + 2) * 5
    read_and_written = 3 * 10 * 3 + 2 * 10 * 5 + 3 * (3 * (6 + 2) * 5 + 3 * 5)
    assert TINY.bytes(10) == 4 * read_and_written
    slow_copy = Rates({"fp32": 1e9}, 1.0)
    assert floor_seconds(TINY, 10, slow_copy, "fp32", CPU) == TINY.operations(10) / 1e9
    assert floor_seconds(TINY, 10, slow_copy, "fp32", torch.device("cuda")) == TINY.bytes(10)


def test_a_variant_that_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = DenseLayer.forward
    monkeypatch.setattr(DenseLayer, "forward", lambda self, x: 1.01 * right(self, x))
    with pytest.raises(RunFailed, match="3 -> 5, G = 6, order 2: dense formulation, fp32 and reference"):
        measure(Variant("reference"), Variant(DENSE))


def test_a_wrong_gradient_alone_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    right = DenseLayer.forward
    monkeypatch.setattr(DenseLayer, "forward", lambda self, x: right(self, x.detach()) + 0 * x.sum())
    with pytest.raises(RunFailed, match="differ by"):
        measure(Variant("reference"), Variant(DENSE))


@pytest.mark.needs("native core")
def test_an_encoding_that_is_wrong_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = reference.grid_table
    monkeypatch.setattr(reference, "grid_table", lambda *arguments: 1.01 * right(*arguments))
    with pytest.raises(RunFailed, match="encoding of order 1: reference, fp32 and native, fp32 differ"):
        encoding.measure_encodings(CPU, quick=True, effort=QUICK)


def test_the_traffic_of_an_encoding_grows_with_its_taps_and_levels() -> None:
    one, two = ([(4, 4)], [(4, 4), (9, 9)])
    per_sample = [
        encoding.traffic_bytes(GridEncoding(levels, features=4, order=2), 10) / 10 / 4
        for levels in (one, two)
    ]
    # Of 9 taps with 4 features each: read, gradient read and written; 2 coordinates twice; 4 outputs twice.
    assert per_sample == [3 * 36 + 4 + 8, 2 * 3 * 36 + 4 + 16]


def test_what_does_not_compile_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(net: torch.nn.Module) -> Callable[..., Any]:
        def call(x: torch.Tensor) -> None:
            raise RuntimeError("\nno compiler here\nlong story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    dense, compiled = measure(Variant(DENSE), Variant(COMPILED))
    assert dense["milliseconds"] > 0 and dense["times_faster_than_dense"] == 1
    assert compiled["milliseconds"] is None
    assert compiled["left_out"] == "does not compile here: no compiler here"


def test_what_does_not_fit_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "_free", lambda device: 1000)
    reference, dense = measure(Variant("reference"), Variant(DENSE))
    assert reference["milliseconds"] > 0 and reference["times_faster_than_dense"] is None
    assert "GB" in dense["left_out"]


@needs_triton
@pytest.mark.slow
def test_the_triton_kernels_are_measured_in_every_precision() -> None:
    """As on a GPU, but interpreted, and on floors of a machine that is made up."""
    rows = measure(*(Variant("triton", name) for name in PRECISIONS), Variant("reference"), Variant(DENSE))
    assert [row["precision"] for row in rows] == [*PRECISIONS, "fp32", "fp32"]
    assert all(row["milliseconds"] > 0 and row["left_out"] is None for row in rows)


def test_a_gpu_lists_every_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "triton_unavailable", lambda device: "it is too old")
    monkeypatch.setattr(step, "triton_unavailable", lambda device: None)
    listed = [(v.name, v.precision) for v in variants_on(torch.device("cuda"))]
    kernels = [("triton", name) for name in PRECISIONS]
    plain = [(name, kind) for name in (DENSE, COMPILED) for kind in ("fp32", "tf32")]
    assert listed == [*kernels, ("reference", "fp32"), *plain]
    assert variants_on(torch.device("cuda"))[0].unavailable == "it is too old"
    assert [v.name for v in variants_on(torch.device("mps"))] == ["reference", DENSE, COMPILED]
    trainings = step.trainings_on(torch.device("cuda"))
    assert [t.settings.precision for t in trainings][:6] == ["fp32"] * 3 + list(PRECISIONS[1:])
    assert {t.eager for t in trainings if "without a graph" in t.name} == {True}


def test_the_precision_of_torchs_products_is_put_back() -> None:
    settings = torch.backends.cuda.matmul
    before = settings.allow_tf32
    with matrix_precision(torch.device("cuda"), "tf32"):
        assert settings.allow_tf32
        with matrix_precision(torch.device("cuda"), "fp32"):
            assert not settings.allow_tf32
    assert settings.allow_tf32 == before


# ---- steps -------------------------------------------------------------------------------------


def test_steps_leave_the_field_as_it_is() -> None:
    training = step.Training("kan", Settings(options={"widths": [4], "grids": [8, 8]}))
    stepper = step._Stepper(training, CPU, batch=16)
    before = [p.detach().clone() for p in stepper._step.field.parameters()]
    stepper()
    for p, old in zip(stepper._step.field.parameters(), before, strict=True):
        assert torch.equal(p, old) and p.grad is not None and bool(p.grad.any())


def test_a_field_too_large_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    small = Settings(options={"widths": [4], "grids": [8, 8]})
    make = step.make_field

    def too_large(settings: Settings, channels: int) -> torch.nn.Module:
        if settings.options["widths"] == [5]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return make(settings, channels)

    monkeypatch.setattr(step, "make_field", too_large)
    large = dataclasses.replace(small, options={"widths": [5]})
    trainings = [step.Training("a", small), step.Training("b", large)]
    fine, failed = step.measure_steps(trainings, CPU, QUICK, batch=8)
    assert fine["milliseconds"] > 0 and failed["milliseconds"] is None
    assert failed["left_out"].startswith("CUDA out of memory")


# ---- tuning ------------------------------------------------------------------------------------


@needs_triton
@pytest.mark.slow
def test_tuning_times_both_kernels_and_what_is_saved_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    from kanfield.splines.triton import kernels, launch

    used: set[str] = set()

    class Recording:
        """The kernels, noting which are launched."""

        def __getattr__(self, name: str) -> Any:
            used.add(name)
            return getattr(kernels, name)

    monkeypatch.setattr(launch, "kernels", Recording())
    lines: list[str] = []
    sizes = Sizes(grids=(4, 20), outputs=(3,), orders=(2,), precisions=("fp32", "bf16"), samples=20, inputs=2)
    found = tune(CPU, sizes, Effort(1, 0.0), lines.append)
    assert used == {f"{p}_{kernel}" for p in PRIMITIVES[:2] for kernel in dispatch.KERNELS} | {"grad_coef"}
    assert len(found) == 2 * 2 * len(PRIMITIVES) and len(lines) == 2
    assert all(row.dense > 0 and row.gather > 0 for row in found)
    assert {row.case.rows for row in found if row.case.primitive == "grad_coef"} == {6, 22}
    assert {row.case.rows for row in found if row.case.primitive == "spline_forward"} == {7, 23}
    path = dispatch.save_timings("A Card", found)
    assert dispatch.load_timings("A Card") == found
    for row in found:
        assert dispatch.prefers_dense(row.case, "A Card") == (row.dense <= row.gather)
    dispatch.clear_cache()
    result = {
        "device": "cuda",
        "device_name": "A Card",
        "torch": "2",
        "machine": {},
        "backend": {"name": "triton", "reason": "Triton kernels"},
        "tune": [dataclasses.asdict(row) for row in found],
        "saved": str(path),
    }
    from rich.console import Console

    for part in shown(result):
        Console(width=10_000).print(part)
    said = capsys.readouterr().out
    assert "grad_input" in said and "gathering" in said and str(path) in said


@needs_triton
def test_the_sizes_that_are_tuned_are_counted_as_the_launch_counts_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kanfield.splines.triton import launch

    asked: list[dispatch.Case] = []

    def note(case: dispatch.Case, gpu: str | None) -> bool:
        asked.append(case)
        return False

    monkeypatch.setattr(launch, "prefers_dense", note)
    sizes = Sizes(grids=(4,), outputs=(3,), orders=(1, 3), precisions=("fp32",), samples=8, inputs=2)
    found = tune(CPU, sizes, Effort(1, 0.0))
    assert set(asked) == {row.case for row in found}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_roofline_counts_outputs_that_fill_no_tile(precision: str) -> None:
    """A matrix unit multiplies 16 columns for one output, where gathering reads 8."""
    longest = {}
    for outputs in (1, 8, 16, 128):
        cases = [dispatch.Case("spline_forward", precision, 3, rows, outputs) for rows in range(1, 1025)]
        longest[outputs] = max(case.rows for case in cases if dispatch.roofline(case))
    assert longest[1] == longest[8] < longest[16] == longest[128]


def test_an_unknown_kernel_is_refused() -> None:
    with (
        pytest.raises(ValueError, match="'sparse' is not one of dense, gather"),
        dispatch.force_kernel("sparse"),
    ):
        pass


# ---- the clock and mistakes --------------------------------------------------------------------


def test_everything_is_timed_in_turns() -> None:
    order: list[str] = []
    runs = {name: lambda name=name: order.append(name) for name in "ab"}
    times = interleaved(runs, CPU, Effort(rounds=4, seconds=0.0))
    assert order == ["a", "b", *"ab" * 4]
    assert all(math.isfinite(t) and t >= 0 for t in times.values())


def test_what_is_slow_is_timed_in_fewer_rounds() -> None:
    calls: list[int] = []
    interleaved({"slow": lambda: calls.append(1)}, CPU, Effort(rounds=10, seconds=1e-9, patience=0.0))
    assert len(calls) == 1 + 3


@pytest.mark.parametrize(
    ("words", "phrases"),
    [
        (["--tune", "--device", "cpu"], ["--tune", "NVIDIA GPU", "cpu"]),
        (["--device", "tpu"], ["--device tpu", "cpu", "cuda"]),
        (["--quik"], ["--quik", "--quick"]),
    ],
)
def test_mistakes_are_told_in_one_line(words: list[str], phrases: list[str], capsys: Any) -> None:
    said = refused(capsys, "bench", *words)
    assert not absent(said, phrases), said


@pytest.mark.needs("NVIDIA GPU")
def test_the_quick_command_runs_on_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    main(["bench", "--quick", "--device", "cuda", "--json"])
    rows = strict(capsys.readouterr().out)["operator"]
    assert {row["precision"] for row in rows if row["milliseconds"]} >= {"fp32", "tf32"}
    main(["bench", "--quick", "--tune", "--device", "cuda", "--json"])
    assert Path(strict(capsys.readouterr().out)["saved"]).is_relative_to(tmp_path)
    dispatch.clear_cache()
