"""CSV files that grow while a run goes on."""

from __future__ import annotations

import pytest

from kanfield.errors import InputError
from kanfield.monitors.csv_log import CsvAppender

NAMES = ["step", "loss"]


def resumed(path, content: bytes) -> str:
    path.write_bytes(content)
    table = CsvAppender(path, NAMES, 20)
    table.write({"step": 30, "loss": 0.5})
    table.close()
    return path.read_text()


def test_rows_past_the_checkpoint_and_one_cut_off_are_left_out(tmp_path):
    for cut in (b"2", b"2,", b"2,0.7"):
        content = b"step,loss\r\n10,0.9\r\n20,0.8\r\n21,0.7\r\n" + cut
        assert resumed(tmp_path / "metrics.csv", content) == "step,loss\n10,0.9\n20,0.8\n30,0.5\n"


def test_a_file_with_nothing_in_it_begins_anew(tmp_path):
    for content in (b"", b"step,loss\r\n", b"st"):
        assert resumed(tmp_path / "metrics.csv", content) == "step,loss\n30,0.5\n"


@pytest.mark.parametrize(
    "content",
    [
        b"step,loss\r\n10,\xe9\r\n",
        b"step,lo]ss\r\n10,0.9\r\n",
        b"loss,step\r\n0.9,10\r\n",
        b"step,loss\r\n10,0.9,3\r\n",
        b"step,loss\r\n10\r\n",
        b"step,loss\r\n-10,0.9\r\n",
        b"step,loss\r\nten,0.9\r\n",
        "step,loss\r\n²,0.9\r\n".encode(),
        b"step,loss\r\n" + b"9" * 5000 + b",0.9\r\n",
        b'step,loss\r\n10,"' + b"a" * 200_000 + b'"\r\n',
    ],
    ids=["bytes", "name", "order", "many", "few", "negative", "words", "superscript", "digits", "long"],
)
def test_a_damaged_one_is_refused_and_kept(tmp_path, content):
    path = tmp_path / "metrics.csv"
    with pytest.raises(InputError, match=r"metrics\.csv is damaged: move it away") as caught:
        resumed(path, content)
    assert "\n" not in str(caught.value) and path.read_bytes() == content
