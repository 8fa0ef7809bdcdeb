"""kanfield with its compiled core, without it, and installed where nothing compiles."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import unmet

from kanfield import doctor
from kanfield.cli import main
from kanfield.doctor import examine, print_report
from kanfield.encodings import cpu
from kanfield.splines import use_backend

ROOT = Path(__file__).parent.parent
HIDE_THE_CORE = "import sys; sys.modules['kanfield._native'] = None\n"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KANFIELD_")}
    return subprocess.run(
        command, env=inherited | environment, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.mark.slow
@pytest.mark.needs("native core")
def test_doctor_finds_the_core_and_its_results_right() -> None:
    outcome = run(sys.executable, "-m", "kanfield", "doctor", "--json")
    assert outcome.returncode == 0, outcome.stderr
    assert "Warning" not in outcome.stderr
    findings = json.loads(outcome.stdout)
    cpu = findings["devices"]["cpu"]
    assert findings["healthy"] and findings["native_core"] and cpu["passed"]
    assert cpu["backend"] == "native"
    assert any(name in cpu["reason"] for name in ("avx512", "avx2", "baseline"))


@pytest.mark.needs("native core")
def test_doctor_does_not_ask_for_a_compiler_where_the_core_is_only_not_in_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with use_backend("reference"):
        findings = examine()
        print_report(findings)
    assert findings["devices"]["cpu"]["backend"] == "reference"
    assert "Install a C++ compiler" not in capsys.readouterr().out


def test_doctor_calls_wrong_results_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "self_test", lambda dtype, device: 1e-3)
    findings = examine()
    assert not findings["healthy"] and not findings["devices"]["cpu"]["passed"]
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "--json"])
    assert stop.value.code == 1


@pytest.mark.needs("native core")
def test_doctor_finds_wrong_kernels_of_grids_too(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cpu.grid_table
    monkeypatch.setattr(cpu, "grid_table", lambda *arguments: 1.01 * right(*arguments))
    with use_backend("native"):
        assert not examine()["devices"]["cpu"]["passed"]


def test_doctor_tests_only_the_types_that_a_forced_backend_has(monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[torch.dtype] = []
    monkeypatch.setattr(doctor, "self_test", lambda dtype, device: float(tested.append(dtype) or 0))
    monkeypatch.setattr(doctor, "_devices", lambda: {"cpu": "a processor"})
    with use_backend("triton"):
        assert examine()["healthy"]
    assert tested == [torch.float32]


def test_doctor_goes_on_where_a_device_refuses(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(dtype: object, device: str) -> float:
        raise RuntimeError("CUDA error: no kernel image is available [sm_50]\nCompile with ...")

    monkeypatch.setattr(doctor, "self_test", refuse)
    findings = examine()
    assert not findings["healthy"]
    print_report(findings)
    assert "FAILED (CUDA error: no kernel image is available [sm_50])" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.needs("native core")
@pytest.mark.parametrize("variable", ["KANFIELD_ISA", "KANFIELD_BACKEND"])
def test_a_wrong_setting_is_one_line_without_a_traceback(variable: str) -> None:
    outcome = run(sys.executable, "-m", "kanfield", "doctor", **{variable: "mmx"})
    assert variable in outcome.stderr and "mmx" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.returncode == 2


@pytest.mark.slow
def test_without_the_core_doctor_warns_and_the_operators_still_work() -> None:
    code = HIDE_THE_CORE + (
        "import torch\n"
        "from kanfield.cli import main\n"
        "from kanfield.encodings import GridEncoding\n"
        "from kanfield.splines import Grid, spline\n"
        "y = spline(torch.zeros(2, 1), torch.ones(8, 3), Grid(-torch.ones(1), torch.ones(1), 5))\n"
        "assert torch.allclose(y, torch.ones(2, 3))\n"
        "GridEncoding([(4, 4)])(torch.zeros(2, 2)).sum().backward()\n"
        "main(['doctor'])\n"
        "print('----')\n"
        "main(['doctor', '--json'])\n"
    )
    outcome = run(sys.executable, "-c", code, COLUMNS="200")
    assert outcome.returncode == 0, outcome.stderr
    report, findings = outcome.stdout.split("----")
    assert "Warning" in report and "Install a C++ compiler" in report
    told = json.loads(findings)
    assert told["healthy"] and not told["native_core"]
    assert told["devices"]["cpu"]["backend"] == "reference"
    assert "not built" in told["devices"]["cpu"]["reason"]


@pytest.mark.slow
@pytest.mark.needs("false")
def test_an_install_without_a_compiler_goes_through(tmp_path: Path) -> None:
    false = shutil.which("false")
    assert false is not None
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    shutil.copytree(ROOT / "kanfield", source / "kanfield", ignore=ignored)

    pip = (sys.executable, "-m", "pip", "install", "--no-deps", "--no-cache-dir", "--target", str(target))
    outcome = run(*pip, str(source), CXX=false)
    if outcome.returncode and "connection" in (outcome.stdout + outcome.stderr).lower():
        unmet("package index", "pip cannot reach it")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert not list(target.rglob("_native*"))

    # An editable install of the checkout would answer the import first.
    code = (
        "import sys\n"
        "sys.meta_path = [f for f in sys.meta_path if '_editable_' not in type(f).__module__]\n"
        f"sys.path.insert(0, {str(target)!r})\n"
        "import kanfield, kanfield.cli\n"
        f"assert kanfield.__file__.startswith({str(target)!r}), kanfield.__file__\n"
        "kanfield.cli.main(['doctor'])\n"
    )
    outcome = subprocess.run(
        (sys.executable, "-c", code), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "Warning" in outcome.stdout and "reference" in outcome.stdout
