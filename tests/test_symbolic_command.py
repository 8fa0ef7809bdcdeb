"""``kanfield symbolic``: what it reads, what it refuses in one line, what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kanfield.cli.main import main
from kanfield.errors import InputError
from kanfield.symbolic import discover, read_functions, read_table
from kanfield.symbolic.functions import parse_formula
from kanfield.symbolic.samples import check


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("", "is empty"),
        ("1,2\n3,4\n", "no line of column names"),
        ("a,y\n1,2\n3,four\n", "column 'y', sample 2 is 'four', no number"),
        ("a,y\n1,2\n3\n", "sample 2: 1 values for 2 columns"),
        ("a,a,y\n1,2,3\n", "share a name"),
        ("a,z\n1,2\n", "--target y: .* has no such column"),
        ("y\n1\n2\n", "no column beside y"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_a_line(tmp_path: Path, text: str, phrase: str) -> None:
    with pytest.raises(InputError, match=phrase) as error:
        read_table(write(tmp_path / "a.csv", text), "y")
    assert "\n" not in str(error.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name in ("a.png", "missing.csv", "missing.npz"):
        with pytest.raises(InputError, match=name):
            read_table(tmp_path / name, "y")
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez_compressed(tmp_path / "whole.npz", y=np.arange(500.0))
    damaged = bytearray((tmp_path / "whole.npz").read_bytes())
    damaged[80:120] = bytes(40)
    for content in (b"text", (tmp_path / "a.npy").read_bytes(), bytes(damaged), b""):
        (tmp_path / "b.npz").write_bytes(content)
        with pytest.raises(InputError, match="no NPZ file"):
            read_table(tmp_path / "b.npz", "y")
    np.savez(tmp_path / "c.npz", x=np.zeros(2), y=np.zeros((2, 2)))
    with pytest.raises(InputError, match="give numbers"):
        read_table(tmp_path / "c.npz", "y")


def test_columns_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", t=np.arange(3), y=np.arange(3.0) ** 2, other=np.ones(3))
    table = read_table(tmp_path / "a.npz", "y", ("t",))
    assert table.inputs == ("t",) and table.x[:, 0].tolist() == [0, 1, 2] and table.y.tolist() == [0, 1, 4]
    with pytest.raises(InputError, match="did you mean other"):
        read_table(tmp_path / "a.npz", "y", ("othr",))
    with pytest.raises(InputError, match="is the target"):
        read_table(tmp_path / "a.npz", "y", ("y",))


def bad_samples() -> list[tuple[str, np.ndarray, np.ndarray]]:
    x = np.random.default_rng(0).uniform(1, 2, (40, 2))
    y = x.sum(1)
    hole, huge = y.copy(), y.copy()
    hole[4], huge[4] = np.nan, 1e120
    flat = x.copy()
    flat[:, 1] = 3
    return [
        ("column 'y', sample 5 is nan", x, hole),
        ("column 'y' reaches 1.0e", x, huge),
        ("column 'y' reaches 1.0e-150", x, 1e-150 * y / y.max()),
        ("column 'y' is constant: there is nothing to explain", x, np.ones(40)),
        ("column 'b' is constant: leave it out with --inputs", flat, y),
        ("1 rows and 3 columns", x[:1], y[:1]),
        ("3 different samples are too few", np.repeat(x[:3], 20, axis=0), np.repeat(y[:3], 20)),
    ]


@pytest.mark.parametrize(("phrase", "x", "y"), bad_samples(), ids=[phrase for phrase, *_ in bad_samples()])
def test_samples_without_a_formula_are_refused_in_a_line(phrase: str, x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(InputError, match=phrase) as error:
        check(x, y, ("a", "b"), "y")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["__import__('os')", "x.real", "lambda: x", "f(x)", "x if x else 1", "x**(9**9)", "z", "'x'"]
)
def test_formulas_are_arithmetic_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_formula(text)


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("a: [", "is no YAML"),
        ("just text", "give a list of entries"),
        ("- {name: f}", "every entry needs a name and a formula"),
        ("- {name: f, formula: x+1, size: 2}", "'size' is unknown"),
        ("- {name: f, formula: 'open(x)'}", "entry f: 'open' is no function"),
        ("- {name: f, formula: x, domain: [1, 0]}", "its domain is empty"),
        ("- {name: f, formula: x, complexity: -1}", "complexity is no number above zero"),
        ("- {name: f, formula: x+1, domain: 3}", "its domain is no pair of numbers"),
        ("- {name: f, formula: x+1, complexity: much}", "complexity is no number above zero"),
        ("- {name: x, formula: x**2}", "give it another name"),
        ("- {name: f, formula: '3'}", "does not depend on x"),
    ],
)
def test_a_table_of_functions_that_cannot_be_used(tmp_path: Path, text: str, phrase: str) -> None:
    with pytest.raises(InputError, match=phrase) as error:
        read_functions(write(tmp_path / "f.yaml", text))
    assert "\n" not in str(error.value)


def test_a_function_of_the_user_is_found(tmp_path: Path) -> None:
    table = read_functions(
        write(tmp_path / "f.yaml", "- {name: J0, formula: 'besselj(0, x)', complexity: 2}")
    )
    x = np.random.default_rng(0).uniform(0.1, 1, (60, 1))
    from scipy.special import j0

    found = discover(x, j0(5 * x[:, 0]), functions=table)
    assert found.found and str(found.chosen.expression) == "besselj(0, 5*x0)"


def test_a_search_writes_everything_and_overwrites_nothing(tmp_path: Path, capsys) -> None:
    x = np.random.default_rng(0).uniform(1, 2, (60, 1))
    rows = "".join(f"{a},{3 * np.log(a)}\n" for a in x[:, 0])
    data, out = write(tmp_path / "log.csv", "size,y\n" + rows), tmp_path / "out"
    main(["symbolic", str(data), "--target", "y", "--out", str(out), "--json", "--quiet"])
    results = json.loads(capsys.readouterr().out)
    assert results == json.loads((out / "results.json").read_text())
    assert results["found"] and results["formula"]["text"] == "3*log(size)"
    assert results["attempts"][0]["error_as_formula"] < 1e-12
    assert (out / "formula.tex").read_text() == "y = 3 \\log{\\left(size \\right)}\n"
    names: dict[str, object] = {}
    exec((out / "formula.py").read_text(), names)
    assert names["formula"](2.0) == pytest.approx(3 * np.log(2))
    page = (out / "report.html").read_text()
    assert "3*log(size)" in page and "explains the samples" in page
    assert {path.name for path in (out / "figures").glob("*.png")} == {"before.png", "after.png", "front.png"}
    assert list((out / "tensorboard").rglob("events*"))
    with pytest.raises(SystemExit) as stop:
        main(["symbolic", str(data), "--target", "y", "--out", str(out)])
    assert stop.value.code == 2 and "holds files already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        ([], "which samples"),
        (["a.csv"], "which column"),
        (["a.csv", "--target", "y", "--seeds", "0"], "--seeds 0 is impossible"),
        (["a.csv", "--target", "y", "--seconds", "-1"], "--seconds -1.0 is impossible"),
        (["a.csv", "--target", "y", "--noise", "much"], "--noise much is impossible"),
        (["a.csv", "--target", "y", "--widths", "0"], "--widths 0"),
        (["a.csv", "--target", "y"], "a.csv: No such file"),
    ],
)
def test_mistakes_end_in_a_line(words: list[str], phrase: str, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["symbolic", *words])
    error = capsys.readouterr().err
    assert stop.value.code == 2 and phrase in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_time_that_is_over_at_once_is_said(tmp_path: Path, capsys) -> None:
    x = np.random.default_rng(0).uniform(1, 2, (60, 2))
    rows = "".join(f"{a},{b},{np.sin(a * b)}\n" for a, b in x)
    data = write(tmp_path / "a.csv", "a,b,y\n" + rows)
    main(["symbolic", str(data), "--target", "y", "--out", str(tmp_path / "out"), "--seconds", "1e-9"])
    assert "or the time was over" in capsys.readouterr().out


def test_a_run_of_an_image_is_refused_in_words(tmp_path: Path) -> None:
    run = tmp_path / "kan-0001"
    run.mkdir()
    (run / "config.yaml").write_text("model: kan\n")
    with pytest.raises(InputError, match="a fitted image field"):
        read_table(run, "y")
