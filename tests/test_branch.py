"""Splines and a layer's smooth branch in one sweep, against the two computed one after the other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_splines import TOLERANCE, assert_native_tests_pass_on, assert_near, make_coef, make_grid, points
from torch import Tensor
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn.functional import silu

from kanfield import KANLayer
from kanfield.splines import spline, spline_and_silu, use_backend


def both(x: Tensor, coef: Tensor, base: Tensor, grid, order: int) -> tuple[list[Tensor], list[Tensor]]:
    """Values and gradients: in one sweep, and one after the other in plain torch."""
    results = []
    for fused in (True, False):
        leaves = [t.clone().requires_grad_() for t in (x, coef, base)]
        with use_backend("native" if fused else "reference"):
            if fused:
                y = spline_and_silu(*leaves, grid, order)
            else:
                y = spline(*leaves[:2], grid, order) + silu(leaves[0]) @ leaves[2]
            direction = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).reshape(y.shape)
            results.append([y, *grad((y * direction).sum(), leaves)])
    return results[0], results[1]


@pytest.mark.needs("native core")
@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(1, 600),
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    size=st.integers(1, 50),
    order=st.integers(1, 5),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_native_sweep_agrees_with_its_twin(samples, inputs, outputs, size, order, dtype) -> None:
    torch.manual_seed(samples + inputs + outputs + size)
    grid = make_grid(inputs, size, dtype)
    x = points(grid, samples, 0.3) * 3
    base = torch.randn(inputs, outputs, dtype=dtype)
    for mine, true in zip(*both(x, make_coef(grid, order, outputs), base, grid, order), strict=True):
        assert_near(mine, true, TOLERANCE[dtype])


@pytest.mark.needs("native core")
@pytest.mark.parametrize("outputs", [1, 2, 3, 4, 5, 8, 9, 16, 17, 64, 130])
def test_native_sweep_on_every_width_of_register(outputs: int) -> None:
    grid = make_grid(7, 5, torch.float32)
    x, base = points(grid, 300, 0.2), torch.randn(7, outputs)
    for mine, true in zip(*both(x, make_coef(grid, 2, outputs), base, grid, 2), strict=True):
        assert_near(mine, true, 1e-5)


@pytest.mark.needs("native core")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_native_silu_far_out(dtype: torch.dtype) -> None:
    """Where e^x overflows and underflows, and where it does not yet."""
    x = torch.tensor([[v] for v in (-1e30, -1e4, -750, -90, -80, -20, -1e-3, 0, 1e-30, 3, 80, 90, 1e4)])
    x = x.to(dtype)
    grid = make_grid(1, 3, dtype)
    coef, base = torch.zeros(5, 2, dtype=dtype), torch.ones(1, 2, dtype=dtype)
    for mine, true in zip(*both(x, coef, base, grid, 2), strict=True):
        torch.testing.assert_close(mine, true, rtol=1e-6, atol=1e-30)


@pytest.mark.needs("native core")
def test_native_nan_stays_nan() -> None:
    grid = make_grid(2, 4, torch.float32)
    x = points(grid, 3)
    x[1, 0] = float("nan")
    y = spline_and_silu(x, make_coef(grid, 2, 3), torch.zeros(2, 3), grid, 2)
    assert torch.isnan(y[1]).all()
    assert torch.isfinite(y[[0, 2]]).all()


@pytest.mark.needs("native core")
def test_native_sweep_gives_the_same_bits_on_any_number_of_threads() -> None:
    layer, x = KANLayer(20, 40, 9, 2), torch.randn(600, 20)
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        results.append([y, *grad(y.square().sum(), [leaf, *layer.parameters()])])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.needs("native core")
@pytest.mark.parametrize("order", [2, 3, 5])
def test_native_sweep_can_be_differentiated_twice(order: int) -> None:
    grid = make_grid(3, 4)
    leaves = [points(grid, 6), make_coef(grid, order, 2), torch.randn(3, 2, dtype=torch.float64)]
    leaves = [t.requires_grad_() for t in leaves]

    def call(x: Tensor, coef: Tensor, base: Tensor) -> Tensor:
        return spline_and_silu(x, coef, base, grid, order)

    assert gradcheck(call, leaves)
    assert gradgradcheck(call, leaves)


@pytest.mark.parametrize("needed", [0, 1, 2])
def test_only_the_gradients_that_are_asked_for(needed: int) -> None:
    grid = make_grid(3, 4)
    leaves = [points(grid, 6), make_coef(grid, 2, 2), torch.randn(3, 2, dtype=torch.float64)]
    leaves[needed].requires_grad_()
    y = spline_and_silu(*leaves, grid, 2)
    (mine,) = grad(y.sum(), leaves[needed])
    z = spline(*leaves[:2], grid, 2) + silu(leaves[0]) @ leaves[2]
    torch.testing.assert_close(mine, grad(z.sum(), leaves[needed])[0])


@pytest.mark.parametrize(("samples", "outputs"), [(0, 3), (4, 0)])
def test_nothing_in_gives_nothing_out(samples: int, outputs: int) -> None:
    grid = make_grid(2, 4)
    leaves = [points(grid, samples), make_coef(grid, 2, outputs), torch.randn(2, outputs).double()]
    leaves = [t.requires_grad_() for t in leaves]
    y = spline_and_silu(*leaves, grid, 2)
    assert y.shape == (samples, outputs)
    assert all(float(g.abs().sum()) == 0 for g in grad(y.sum(), leaves))


def test_a_base_of_the_wrong_shape_is_an_error() -> None:
    grid = make_grid(2, 4)
    with pytest.raises(ValueError, match=r"base_weight must have shape \(2, 3\), got \(3, 3\)"):
        spline_and_silu(points(grid, 4), make_coef(grid, 2, 3), torch.zeros(3, 3).double(), grid, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_whatever_is_forced(backend: str, dtype: torch.dtype) -> None:
    grid = make_grid(2, 4, torch.float32)
    x, coef, base = points(grid, 6).to(dtype), make_coef(grid, 2, 3).to(dtype), torch.zeros(2, 3, dtype=dtype)
    assert torch.equal(spline_and_silu(x, coef, base, grid, 2), spline(x, coef, grid, 2))


@pytest.mark.needs("native core")
@pytest.mark.slow
def test_autocast_and_compile_give_the_same_layer() -> None:
    layer, x = KANLayer(3, 4, 5), torch.rand(50, 3)
    true = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer(x).float(), true, rtol=0.05, atol=0.05)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), true)


@pytest.mark.needs("native core")
@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
@pytest.mark.slow
def test_every_instruction_set_sweeps(name: str) -> None:
    assert_native_tests_pass_on(name, __file__)
