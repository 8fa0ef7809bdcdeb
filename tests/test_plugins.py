"""Fields that other packages add, and those that need another package."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from torch import nn

from kanfield import fit, load
from kanfield.cli import main
from kanfield.errors import InputError
from kanfield.fields import build_field, find_family, tcnn
from kanfield.images import Image

# The README's example, so that it keeps working.
README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLE = README.split("\n## Your own field\n")[1]
FIELD = EXAMPLE.split("```python\n")[1].split("```")[0]
POINTS = EXAMPLE.split("```toml\n")[1].split("```")[0]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    PILImage.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(path)
    return path


def wheel(folder: Path, module: str, points: str) -> Path:
    """A wheel of one module, as a build tool would make it of the README's pyproject.toml."""
    points = points.replace('[project.entry-points."kanfield.fields"]', "[kanfield.fields]").replace('"', "")
    path = folder / "ripple_fields-1.0-py3-none-any.whl"
    info = "ripple_fields-1.0.dist-info"
    files = {
        "ripple_fields.py": module,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: ripple-fields\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points,
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return path


def install(tmp_path, module: str, points: str = POINTS) -> dict[str, str]:
    """Installs a package of one module; the environment in which Python finds it."""
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*command, str(wheel(tmp_path, module, points))], check=True)
    return {**os.environ, "PYTHONPATH": str(site)}


def kanfield(environment, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kanfield", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_package_adds_a_field_that_the_command_line_fits(tmp_path, picture):
    environment = install(tmp_path, FIELD)
    listed = kanfield(environment, "models").stdout
    assert "ripple" in listed and "a wave with a trained direction" in listed and "waves 4" in listed
    words = ["--model", "ripple", "--options", "waves=6", "--steps", "40", "--out", str(tmp_path / "runs")]
    done = kanfield(environment, "fit", str(picture), *words, "--json")
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)
    assert metrics["model"] == "ripple" and metrics["backend"] == "torch"
    assert metrics["parameters"] == 2 * 6 + 6 + 6 + 1
    again = kanfield(environment, "eval", metrics["run"], "--json")
    assert json.loads(again.stdout)["psnr"] == metrics["psnr"]


@pytest.mark.slow
def test_a_broken_package_is_named_and_spoils_nothing_else(tmp_path, picture):
    environment = install(tmp_path, "raise RuntimeError('out of order')")
    done = kanfield(environment, "fit", str(picture), "--model", "ripple")
    assert done.returncode == 2
    expected = "the package ripple-fields that adds it fails to load (RuntimeError: out of order)"
    assert done.stderr == f"kanfield: --model ripple: {expected}\n"
    listed = kanfield(environment, "models")
    assert listed.returncode == 0 and "siren" in listed.stdout and "out of order" in listed.stdout


@pytest.mark.slow
def test_a_package_that_registers_another_name_is_told(tmp_path, picture):
    environment = install(tmp_path, FIELD, POINTS.replace("ripple =", "waves ="))
    done = kanfield(environment, "fit", str(picture), "--model", "waves")
    assert "registers no such family: decorate it with @register('waves', ...)" in done.stderr


# ---- tinycudann ---------------------------------------------------------------------------------


class _StandIn(nn.Module):
    """What tinycudann's modules look like: flat parameters, inputs in [0, 1], half precision out."""

    def __init__(self, n_input_dims, n_output_dims, seed):
        super().__init__()
        self.shape = n_input_dims, n_output_dims
        generator = torch.Generator().manual_seed(seed)
        self.params = nn.Parameter(
            torch.randn(n_input_dims * n_output_dims + n_output_dims, generator=generator)
        )

    def forward(self, x):
        assert x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
        inputs, outputs = self.shape
        weight, bias = self.params.split([inputs * outputs, outputs])
        return (x @ weight.reshape(inputs, outputs) + bias).half()


class _Network(_StandIn):
    def __init__(self, n_input_dims, n_output_dims, network_config, seed=1337):
        super().__init__(n_input_dims, n_output_dims, seed)
        self.config = network_config


class _NetworkWithInputEncoding(_StandIn):
    def __init__(self, n_input_dims, n_output_dims, encoding_config, network_config, seed=1337):
        super().__init__(n_input_dims, n_output_dims, seed)
        self.config = encoding_config | network_config


@pytest.fixture
def stand_in(monkeypatch):
    module = types.ModuleType("tinycudann")
    module.Network, module.NetworkWithInputEncoding = _Network, _NetworkWithInputEncoding
    monkeypatch.setitem(sys.modules, "tinycudann", module)
    importlib.reload(tcnn)
    yield
    monkeypatch.undo()
    importlib.reload(tcnn)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("name", ["tcnn-hashgrid", "tcnn-mlp"])
def test_tinycudann_is_built_trained_and_read_back(tmp_path, name):
    assert find_family(name).unavailable is None
    picture = Image(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), "L")
    run = fit(picture, out=tmp_path, model=name, steps=300, lr=0.05)
    assert run.metrics["backend"] == "tinycudann"
    assert run.psnr > 30  # the picture is linear in its coordinates, and so is the stand-in
    assert load(run.path).render().pixels.shape == (16, 16, 1)
    field = load(run.path).field
    assert field(torch.rand(5, 2)).dtype == torch.float32


@pytest.mark.usefixtures("stand_in")
def test_tinycudann_gets_its_own_keys():
    config = build_field("tcnn-hashgrid", 2, 3, {"levels": 5, "widths": [64, 64, 64]}).module.config
    assert (
        config["n_levels"] == 5 and config["per_level_scale"] == 1.5 and config["interpolation"] == "Linear"
    )
    assert config["otype"] == "FullyFusedMLP" and config["n_hidden_layers"] == 3
    assert build_field("tcnn-mlp", 2, 3, {"widths": [100]}).module.config["otype"] == "CutlassMLP"
    with pytest.raises(InputError, match="all of one width"):
        build_field("tcnn-mlp", 2, 3, {"widths": [64, 32]})


@pytest.mark.parametrize("error", ["ImportError", "OSError"])
def test_where_tinycudann_does_not_import_models_says_why_and_how(tmp_path, monkeypatch, capsys, error):
    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    (tmp_path / "tinycudann.py").write_text(f"raise {error}('no CUDA here')")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.reload(tcnn)
    main(["models"])
    listed = capsys.readouterr().out
    assert listed.count("tinycudann does not import (no CUDA here)") == 2
    assert "pip install git+https://github.com/NVlabs/tiny-cuda-nn#subdirectory=bindings/torch" in listed
    with pytest.raises(InputError, match="not available here"):
        build_field("tcnn-mlp", 2, 1, {})
    monkeypatch.undo()
    importlib.reload(tcnn)


def test_the_readmes_example_is_short():
    assert len((FIELD + POINTS).strip().splitlines()) < 20
