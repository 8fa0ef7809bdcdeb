"""What ``fuzz.py`` does with a damaged file of any kind: try it, and tell what came of it."""

from __future__ import annotations

import abc
import contextlib
import io
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from fuzz_mutations import mutate, mutate_safetensors

from kanfield.errors import KanfieldError


class Wrong(Exception):
    """A result that is not sane, or words that are not one line for a person."""


class Inputs(abc.ABC):
    """Good files in ``seeds/`` of a folder, and what reads them.

    Args:
        folder: Of the fuzzing; its ``seeds`` are written by the first worker and used by all later ones.
    """

    patterns: tuple[str, ...] = ("*",)  # of the seeds that are damaged

    def __init__(self, folder: Path) -> None:
        self.folder, self.seeds = folder, folder / "seeds"
        if not self.seeds.exists():
            new = Path(tempfile.mkdtemp(dir=folder))
            self.write_seeds(new)
            new.rename(self.seeds)
        self.scratch = folder / "scratch"

    @abc.abstractmethod
    def write_seeds(self, folder: Path) -> None:
        """Write the good files into a folder."""

    @abc.abstractmethod
    def read(self, path: Path, name: str) -> None:
        """Read the damaged file as kanfield's commands do.

        Args:
            path: The file, where it belongs in a copy of all seeds.
            name: Its path among them.
        """

    @classmethod
    def damaged(cls, folder: Path, rng: random.Random) -> tuple[str, bytes]:
        """The name of a seed, and a damaged copy of it."""
        seeds = folder / "seeds"
        names = sorted({file.relative_to(seeds) for one in cls.patterns for file in seeds.glob(one)})
        name = rng.choice(names)
        alike = [other for other in names if other.suffix == name.suffix] if rng.random() < 0.5 else names
        others = [(seeds / rng.choice(alike)).read_bytes()]
        change = mutate_safetensors if name.suffix == ".safetensors" else mutate
        return name.as_posix(), change((seeds / name).read_bytes(), others, rng)

    def attempt(self, rng: random.Random) -> str:
        """Try one damaged file.

        Returns:
            ``"read"``, ``"refused: ..."``, or what is wrong.
        """
        name, data = self.damaged(self.folder, rng)
        return self.attempt_file(name, data)

    def warm_up(self) -> None:
        """Read good files, so that no case pays for imports; they must be read."""
        for pattern in self.patterns:
            file = min(self.seeds.glob(pattern))
            name = file.relative_to(self.seeds).as_posix()
            if (outcome := self.attempt_file(name, file.read_bytes())) != "read":
                raise Wrong(f"{name}, which is not damaged: {outcome}")

    def attempt_file(self, name: str, data: bytes) -> str:
        """Try some content in the place of a seed; returns as :meth:`attempt`."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        path = self.scratch / name
        if self.patterns == ("*",):
            self.scratch.mkdir()
        else:
            shutil.copytree(self.seeds, self.scratch)
        path.write_bytes(data)
        with _captured() as printed:
            try:
                self.read(path, name)
                outcome = "read"
            except KanfieldError as error:
                outcome = _refusal(str(error), error.exit_code)
            except Wrong as error:
                outcome = f"wrong: {error}"
        noise = "".join(printed).strip()
        return f"noise: {noise}" if noise and not outcome.startswith("wrong") else outcome


def _refusal(message: str, code: int) -> str:
    """How a refusal is counted."""
    if "memory" in message:  # of a file that is small
        return f"memory: {message}"
    if code != 2 or "\n" in message or not message.strip():
        return f"wrong: exit code {code}, {message!r}"
    return f"refused: {message}"


@contextlib.contextmanager
def _captured() -> Iterator[list[str]]:
    """Takes what is printed on the descriptors 1 and 2, from Python or C; it is in the list afterwards."""
    printed: list[str] = []
    with tempfile.TemporaryFile() as file:
        saved = os.dup(1), os.dup(2)
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
        try:
            yield printed
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor in (1, 2):
                os.dup2(saved[descriptor - 1], descriptor)
                os.close(saved[descriptor - 1])
            file.seek(0)
            printed.append(file.read().decode(errors="replace"))


def command(*words: object) -> None:
    """Run a command of kanfield.

    Raises:
        KanfieldError: It refused its input in one line.
        Wrong: It failed in any other way, or printed what is not JSON under ``--json``.
    """
    from kanfield.cli import main

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(word) for word in words])
        except SystemExit as stopped:
            code = stopped.code
    lines = err.getvalue().strip().splitlines()
    if code == 0:
        if "--json" in words:
            json.loads(out.getvalue(), parse_constant=_no_constant)
        return
    if code != 2 or len(lines) != 1 or not lines[0].startswith("kanfield: "):
        raise Wrong(f"{words[0]} ended with {code}: {err.getvalue()}")
    refusal = KanfieldError(lines[0].removeprefix("kanfield: "))
    refusal.exit_code = 2
    raise refusal


def _no_constant(name: str) -> None:
    raise Wrong(f"{name} in the JSON that was printed")


def commands(*lines: tuple[object, ...]) -> None:
    """Run several commands; a refusal of one does not keep the others from their turn, and is raised last."""
    refusal = None
    for line in lines:
        try:
            command(*line)
        except KanfieldError as error:
            if "memory" in str(error):
                raise
            refusal = error
    if refusal is not None:
        raise refusal
