"""The programs in tools/ keep up with the package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PILImage

from kanfield.config.image_stats import ImageStats
from kanfield.config.resolve import resolve
from kanfield.config.settings import Settings
from kanfield.errors import InputError

TOOLS = Path(__file__).parent.parent / "tools"
NAMES = sorted(path.stem for path in TOOLS.glob("*.py"))


@pytest.fixture(scope="module")
def imported() -> subprocess.CompletedProcess[str]:
    """All tools imported in one other process: some of them register families of fields."""
    code = "import importlib, sys; [print(importlib.import_module(name).__name__) for name in sys.argv[1:]]"
    return subprocess.run(
        [sys.executable, "-c", code, *NAMES], cwd=TOOLS, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_every_tool_can_be_imported(imported):
    assert len(NAMES) > 10
    assert imported.stderr == "" and imported.stdout.split() == NAMES


def test_the_comparison_with_other_packages_builds_our_networks(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import bench_peers

    for contestant in ("kanfield", "kanfield, default order"):
        loss = bench_peers.training(bench_peers.build(contestant, "tiny"))
        assert loss() > loss()


def test_every_tool_is_in_the_readme():
    text = (TOOLS / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"`{name}.py`" not in text] == []


def test_the_estimate_counts_directions_and_refuses_grids(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import gpu_estimate

    def works(encoding):
        options = {"widths": [8], "grids": [8, 8]}
        settings = resolve(Settings(encoding=encoding, options=options), ImageStats(64, 64, 4096, 1))
        return gpu_estimate.works_of_a_step(settings, 1)[1]

    assert {"spline_forward_gather", "torch"} <= {work.kind for work in works("directions")}
    with pytest.raises(InputError, match="fields on grids"):
        works("grid")


def test_optimisers_of_other_packages_follow_the_schedule(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    import recipe_changes

    from kanfield.training import trainer

    field = torch.nn.Linear(2, 1)
    with recipe_changes.built_by(lambda field, lr, adam_lr: [torch.optim.SGD(field.parameters(), lr=lr)]):
        (optimizer,) = trainer.build_optimizers(field, "muon", 0.1, 0.2)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1]


def test_the_growth_of_a_step_is_along_directions_at_one_batch(monkeypatch):
    pytest.importorskip("resource")  # which only Unix has
    monkeypatch.syspath_prepend(TOOLS)
    import bench_scaling

    seen = []
    monkeypatch.setattr(bench_scaling, "make_field", lambda settings, channels: seen.append(settings))
    for megapixels in (0.01, 1.0):
        with pytest.raises(AttributeError):  # there is no field to go on with
            bench_scaling.point({**bench_scaling.BASE, "megapixels": megapixels, "threads": 1})
    assert [(settings.encoding, settings.batch_size) for settings in seen] == [("directions", 2048)] * 2


@pytest.fixture
def published(monkeypatch):
    """The tool that repeats published tables."""
    monkeypatch.syspath_prepend(TOOLS)
    import published

    return published


def exit_code(tool, *words):
    with pytest.raises(SystemExit) as stopped:
        tool.main([str(word) for word in words])
    return stopped.value.code


def fitted(published, table, picture, **figures):
    """A row of a fit of 3 steps that cost nothing."""
    settings = published.TABLES[table].asked(steps=3, seconds=None, threads=1)
    figures = {"parameters": 1000, "values": 10000, "seconds": 2, "threads": 1, "device": "cpu", **figures}
    row = {
        "table": table,
        "picture": picture,
        "settings": settings,
        "resolved": published.TABLES[table].resolved_hash(settings),
        **{key: str(value) for key, value in figures.items()},
    }
    return {key: row.get(key, "") for key in published.COLUMNS}


@pytest.mark.slow
def test_published_tables_are_fitted_once_and_printed(published, tmp_path, capsys, monkeypatch):
    (tmp_path / "kodak").mkdir()
    pixels = np.arange(24 * 36 * 3).astype(np.uint8).reshape(24, 36, 3)
    PILImage.fromarray(pixels).save(tmp_path / "kodak/kodim24.png")
    words = [tmp_path, "--every", 24, "--steps", 3, "--threads", 1, "--out", tmp_path / "out"]
    words += ["--tables", "kodak-205k", "kodak-256"]
    assert exit_code(published, *words) == 0
    printed = capsys.readouterr().out
    assert "3 steps | 1 of 24 |" in printed
    assert "| CARA | 24 | 41.03 | 0.9714 | 205k |" in printed
    rows = published.Fits(tmp_path / "out/published.csv").rows
    values = [("kodak-205k", "2592"), ("kodak-256", "432")]
    assert [(row["table"], row["values"]) for row in rows] == values
    monkeypatch.setattr(published, "fit", None)
    assert exit_code(published, *words) == 0
    assert capsys.readouterr().out == printed
    assert exit_code(published, "--print", "--out", tmp_path / "out") == 0
    everything = capsys.readouterr().out
    assert printed.split("\n\n## ")[0] in everything
    assert everything == (tmp_path / "out/published.md").read_text(encoding="utf-8")


def test_published_tables_say_what_was_fitted_and_what_judges(published):
    names = published.TABLES["kodak-205k"].pictures[2::3]
    rows = [fitted(published, "kodak-205k", name, psnr=30 + n) for n, name in enumerate(names)]
    text = published.report(["kodak-205k"], rows)
    assert "| **kanfield**, 3 steps | 8 of 24, every third | 33.50 | – | 1,000 | 0.10 |" in text
    assert "| of these, judged on | 6 | 34.50 |" in text
    rows[0]["resolved"] = "presets of last year"
    assert "| 7 of 24 |" in published.report(["kodak-205k"], rows)
    assert "left out: 1." in published.report(["kodak-205k"], rows)


def test_published_tables_tell_exact_pictures_from_others(published):
    exact = fitted(published, "div2k-256", "00", exact=True)
    other = fitted(published, "div2k-256", "05", exact=False, psnr_8bit=60, seconds=9)
    text = published.report(["div2k-256"], [exact, other])
    assert "| 2 of 16 | 1 | 60.00 | 1,000 | 0.10 | 2 s, median of the exact |" in text


def test_published_figures_of_single_pictures_are_averaged_over_those_fitted(published):
    rows = [fitted(published, "classic", name, psnr=40, held_out_psnr=30) for name in ("house", "man")]
    text = published.report(["classic"], rows)
    assert "| house | 30.00 | 32.60 | 39.16 | 34.58 | 41.59 |" in text
    assert "| mean of these 2 | 30.00 | 32.60 | 35.68 | 33.25 | 38.15 |" in text


def test_two_budgets_of_single_pictures_have_columns_of_their_own(published):
    rows = [fitted(published, "classic", name, psnr=40, held_out_psnr=30) for name in ("house", "man")]
    settings = published.TABLES["classic"].asked(steps=3, seconds=None, threads=2)
    resolved = published.TABLES["classic"].resolved_hash(settings)
    more = [{**row, "settings": settings, "resolved": resolved, "held_out_psnr": "35"} for row in rows]
    text = published.report(["classic"], [*rows, *more])
    names = [f"**kanfield**, 3 steps, {threads}" for threads in ("1 thread", "2 threads")]
    heading = " | ".join(f"{name}, {pixels}" for name in names for pixels in ("unseen", "whole"))
    assert f"| PSNR, dB | {heading} |" in text
    assert "| house | 30.00 | 32.60 | 35.00 | 36.82 |" in text


def test_published_figures_all_have_a_source(published):
    from published_figures import PUBLISHED

    assert {*PUBLISHED, "classic"} == set(published.TABLES)
    assert all(row.source and row.read for rows in PUBLISHED.values() for row in rows)


def test_a_missing_picture_is_named_before_anything_is_fitted(published, tmp_path, capsys):
    words = [tmp_path, "--tables", "div2k-199k", "--every", 8, "--out", tmp_path / "out"]
    assert exit_code(published, *words) == 2
    assert "div2k512 is missing: make that folder" in capsys.readouterr().err
    (tmp_path / "div2k512").mkdir()
    (tmp_path / "div2k512/07.png").touch()
    assert exit_code(published, *words) == 2
    assert "div2k512 lacks 15: put them there" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
