"""The tangent kernel against plain autograd, and the properties of its eigenvectors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from kanfield import fit
from kanfield.cli import main
from kanfield.fields import build_field
from kanfield.studies.common.generated import generated_image
from kanfield.studies.ntk.tangent_kernel import analyse, tangent_kernel

FIELDS = {
    "kan": {"widths": [5], "grids": [6, 4], "num_directions": 3},
    "siren": {"widths": [6, 6]},
    "mlp": {"widths": [7]},
    "rff": {"widths": [5], "frequencies": 4},
    "hashgrid": {"widths": [4], "levels": 3, "log2_hashmap_size": 6},
    "kan-rbf": {"widths": [4], "grids": [5, 4]},
    "gauss": {"widths": [6]},
}


def by_rows(field, x):
    """The kernel by one backward pass for every output."""
    gradients = []
    for row in x:
        for value in field(row[None])[0]:
            found = torch.autograd.grad(value, list(field.parameters()), retain_graph=True, allow_unused=True)
            parts = [
                torch.zeros_like(p) if g is None else g
                for g, p in zip(found, field.parameters(), strict=True)
            ]
            gradients.append(torch.cat([g.flatten() for g in parts]))
    jacobian = torch.stack(gradients).reshape(len(x), -1, len(gradients[0]))
    return torch.einsum("ncp,mcp->nm", jacobian, jacobian)


@pytest.mark.parametrize("family", FIELDS)
@pytest.mark.parametrize("memory", [1 << 29, 1])
def test_agrees_with_gradients_row_by_row(family, memory):
    torch.manual_seed(0)
    field = build_field(family, 2, 2, FIELDS[family]).double()
    x = 2 * torch.rand(5, 2, dtype=torch.float64) - 1
    wanted = by_rows(field, x)
    assert torch.allclose(tangent_kernel(field, x, memory), wanted, atol=1e-10 * float(wanted.abs().max()))


def test_eigenvectors_of_a_known_kernel():
    side = 16
    place = (np.arange(side) + 0.5) / side
    slow = np.cos(2 * np.pi * 2 * place)[:, None] * np.ones(side)
    fast = np.cos(2 * np.pi * 6 * place)[None] * np.ones((side, 1))
    vectors = [v.ravel() / np.linalg.norm(v) for v in (slow, fast)]
    kernel = sum(w * np.outer(v, v) for w, v in zip((3.0, 1.0), vectors, strict=True))
    found = analyse(torch.from_numpy(kernel), (0.5 + slow + 2 * fast)[..., None])
    assert found.values[:3] == pytest.approx([0.75, 0.25, 0], abs=1e-9)
    assert found.energy[:2] == pytest.approx([0.2, 0.8])
    assert found.cycles[:2] == pytest.approx([2, 6], abs=0.1)
    assert found.effective_rank == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)))


def test_the_generated_picture_is_like_a_photograph():
    picture = generated_image(64).pixels.astype(float)
    assert (generated_image(64).pixels == generated_image(64).pixels).all()
    assert (generated_image(64, seed=1).pixels != generated_image(64).pixels).any()
    assert 20 < picture.std() < 90 and 60 < picture.mean() < 200
    steps = np.abs(np.diff(picture, axis=0)).mean()
    assert steps < 0.5 * picture.std()  # neighbours are alike


@pytest.mark.slow
def test_at_a_run_s_checkpoints(tmp_path, no_edge_figures):
    run = fit(
        generated_image(16),
        out=tmp_path,
        options={"widths": [6], "grids": [8, 4]},
        steps=30,
        batch_size=64,
        threads=1,
    )
    out = tmp_path / "s"
    main(["study", "ntk", "--runs", str(run.path), "--side", "8", "--out", str(out)])
    trials = json.loads((out / "results.json").read_text())["trials"]
    assert list(trials) == ["1-kan-initial", "1-kan-last", "1-kan-best"]
    assert trials["1-kan-initial"]["values"] != trials["1-kan-last"]["values"]
    for result in trials.values():
        assert sum(result["values"]) == pytest.approx(1, abs=1e-4)
        assert sum(result["energy"]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--side", "4"], "--side 4 is impossible: give 8 to 96"),
        (["--runs", "nowhere"], "nowhere is not there"),
        (["--image", "nowhere.png"], "nowhere.png is not there"),
    ],
)
def test_mistakes_are_one_line(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["study", "ntk", *words])
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
