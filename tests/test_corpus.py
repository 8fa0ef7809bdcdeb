"""Files that once failed are read, or refused in one line, and nothing else is printed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kanfield.comparison.charts import read_curve
from kanfield.comparison.pictures import open_picture
from kanfield.config.checks import check
from kanfield.config.parse import read_settings
from kanfield.errors import InputError, KanfieldError
from kanfield.images import read_image
from kanfield.runs.metrics_file import read_metrics_file

CORPUS = Path(__file__).parent / "corpus"


def files(folder: str) -> list[object]:
    found = sorted((CORPUS / folder).iterdir())
    return [pytest.param(path, id=path.name) for path in found]


def assert_one_line(error: KanfieldError) -> None:
    message = str(error)
    assert error.exit_code == 2 and message.strip() and message.isprintable()


@pytest.mark.parametrize("path", files("images"))
def test_images(path, capfd):
    try:
        image = read_image(path, max_pixels=10**6)
    except InputError as error:
        assert_one_line(error)
    else:
        assert image.pixels.ndim == 3 and np.isfinite(image.pixels).all()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("path", files("metrics.json"))
def test_metrics(path):
    with pytest.raises(ValueError, match=r"\w"):
        read_metrics_file(path)


def test_good_metrics_are_read(tmp_path):
    # What the damaged ones are made of: each differs in one value.
    content = json.loads((CORPUS / "metrics.json/text.json").read_text()) | {"ssim": 0.9}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert read_metrics_file(tmp_path / "metrics.json") == content


@pytest.mark.parametrize("path", files("metrics.csv"))
def test_curves(path):
    with pytest.raises(InputError, match="compare --resume") as caught:
        read_curve(path)
    assert_one_line(caught.value)


@pytest.mark.parametrize("path", files("settings"))
def test_settings(path):
    with pytest.raises(InputError) as caught:
        check(read_settings(path)[0])
    assert_one_line(caught.value)


def test_a_damaged_picture_of_a_run(tmp_path):
    picture = tmp_path / "error.png"
    picture.write_bytes((CORPUS / "images/008105-gray16.png").read_bytes()[:60])
    with pytest.raises(InputError, match="compare --resume") as caught:
        open_picture(picture)
    assert_one_line(caught.value)


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 200_000
