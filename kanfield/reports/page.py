"""Reports: one HTML page that needs no other file, in light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from kanfield.files import write_text
from kanfield.machine import machine


def write_page(path: Path, template: str, content: Mapping[str, Any]) -> None:
    """Write a page.

    Args:
        path: of the page.
        template: name of a file in ``templates/``.
        content: values of its variables; the machine is added.
    """
    environment = Environment(
        loader=PackageLoader("kanfield.reports"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    rows = [(k, ", ".join(v) or "none" if isinstance(v, list) else v) for k, v in machine().items()]
    write_text(path, environment.get_template(template).render({**content, "machine": rows}))
