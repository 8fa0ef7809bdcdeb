"""What the READMEs promise: links that lead somewhere, Python that runs, a main page of a few screens."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", *sorted(ROOT.glob("[a-z]*/**/README.md"))]
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")


def anchors(page: Path) -> set[str]:
    """Names that a link to a heading of a page can have, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", READMES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        file = page.parent / target if target else page
        assert file.exists(), f"{page.relative_to(ROOT)} links to {target}"
        assert not anchor or anchor in anchors(file), f"{page.relative_to(ROOT)} links to {target}#{anchor}"


def test_the_main_page_is_short_and_leads_to_every_other():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    linked = {(ROOT / target).resolve() for target, _ in LINK.findall(text) if target}
    assert [str(page.relative_to(ROOT)) for page in READMES[1:] if page not in linked] == []


@pytest.mark.slow
def test_the_python_example_runs(tmp_path, monkeypatch):
    code = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Python\n")[1]
    code = code.split("```python\n")[1].split("```")[0].replace("steps=400", "steps=20")
    PILImage.fromarray(np.arange(768, dtype=np.uint8).reshape(16, 16, 3)).save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PILImage.Image, "show", lambda self: None)
    names: dict[str, object] = {}
    exec(code, names)
    assert names["slopes"].shape == (16, 16)
