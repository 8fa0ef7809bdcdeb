"""Types of options: how one word of the command line is read, with an error for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml


def _spec(name: str, metavar: str, parse: Any) -> Any:
    """How tyro reads one word as a value, or None.

    Args:
        name: of the value, for the error.
        metavar: of the value, for the help.
        parse: makes a value of a word, or raises ValueError.
    """

    def from_words(words: list[str]) -> Any:
        if words == ["None"]:
            return None
        try:
            return parse(words[0])
        except ValueError:
            raise ValueError(f"'{words[0]}' is not {name}") from None

    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=from_words,
        is_instance=lambda value: True,
        str_from_instance=lambda value: ["None" if value is None else str(value)],
    )


def _ints(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _grids(text: str) -> list[int | list[int]]:
    levels = [[int(size) for size in word.split("+")] for word in text.split(",")]
    return [sizes[0] if len(sizes) == 1 else sizes for sizes in levels]


def _options(text: str) -> dict[str, Any]:
    pairs = [word.split("=") for word in text.split(",")]
    try:
        return {name: yaml.safe_load(value) for name, value in pairs}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _names(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _range(text: str) -> list[float]:
    low, high = (float(word) for word in text.split(","))
    return [low, high]


def _pair(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


def _box(text: str) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(word) for word in text.split(","))
    return x0, y0, x1, y1


def _tiles(text: str) -> int | None:
    return None if text == "auto" else int(text)


# The help describes the defaults itself; tyro's own hint would only add "(default: None)".
PLAIN = tyro.conf.arg(help_behavior_hint="")

Flag = Annotated[bool, PLAIN]
Whole = Annotated[int | None, _spec("a whole number", "N", int), PLAIN]
Tiles = Annotated[int | None, _spec("auto or a side in pixels such as 512", "auto|N", _tiles), PLAIN]
Number = Annotated[float | None, _spec("a number", "X", float), PLAIN]
Widths = Annotated[list[int] | None, _spec("widths such as 64,64", "W,W", _ints), PLAIN]
Grids = Annotated[
    list[int | list[int]] | None, _spec("grid sizes such as 64,10,10 or 16+64,10", "G,G,G", _grids), PLAIN
]
Options = Annotated[
    dict[str, Any] | None, _spec("options such as omega_0=60,levels=12", "KEY=VALUE", _options), PLAIN
]
Names = Annotated[list[str] | None, _spec("bands such as 4,3,2", "N,N", _names), PLAIN]
Range = Annotated[list[float] | None, _spec("a range such as 0,4095", "LOW,HIGH", _range), PLAIN]
Size = Annotated[tuple[int, int] | None, _spec("a size such as 800x600", "WxH", _pair), PLAIN]
Box = Annotated[
    tuple[float, float, float, float] | None, _spec("a crop such as 0,0,64,64", "X0,Y0,X1,Y1", _box), PLAIN
]
Text = Annotated[str | None, _spec("text", "NAME", str), PLAIN]
File = Annotated[Path | None, _spec("a path", "PATH", Path), PLAIN]
