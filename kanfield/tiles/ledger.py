"""Which worker fits which tile: claims in the run folder, kept alive by a counter that others watch.

No clock is ever compared with another host's. A claim is a file that only one process can make; its owner
raises a counter in it every few seconds, and whoever sees the same counter for as long as the lease, by its
own clock, takes the tile over. Claims only save work: what is done is decided by one rename
(:meth:`kanfield.tiles.folder.TiledFolder.publish`), and a tile fitted twice is the same tile.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from kanfield.tiles.folder import LEASE, TiledFolder

TRIES = 3  # deaths of workers after which a tile is given up
_BEATS = 6  # in a lease


class Claim:
    """A tile that is this process's own until another took it over.

    Args:
        path: The claim's file, which this process has just made.
        descriptor: The file, open for writing.
        worker: Whose claim it is.

    Attributes:
        name: Of the tile.
    """

    def __init__(self, path: Path, descriptor: int, worker: str) -> None:
        self.name, self._path, self._descriptor, self._worker = path.name, path, descriptor, worker
        self._beats = 0
        self._lock = threading.Lock()
        self.beat()

    def beat(self) -> None:
        """Show that the owner is alive. Into the open file: one that was taken away does no harm."""
        with self._lock:
            if self._descriptor >= 0:
                self._beats += 1
                sign = {"worker": self._worker, "host": socket.gethostname(), "pid": os.getpid()}
                os.lseek(self._descriptor, 0, os.SEEK_SET)
                os.write(self._descriptor, json.dumps({**sign, "beat": f"{self._beats:012d}"}).encode())
                os.fsync(self._descriptor)

    @property
    def lost(self) -> bool:
        """Whether another worker took the tile over."""
        with self._lock:
            try:
                return not os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
            except OSError:
                return True

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the tile back; one that is done is not given out again."""
        if not self.lost:
            self._path.unlink(missing_ok=True)
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1


class Ledger:
    """The tiles of a run and who is at work on them, as one worker sees it.

    Args:
        folder: Of the run.
        order: Names of all tiles, in the order in which they are given out.
        lease: Seconds without a sign of life after which a claim is void.

    Attributes:
        worker: What this one is called.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as path:
    ...     folder = TiledFolder(Path(path))
    ...     for each in (folder.tiles, folder.claims, folder.deaths):
    ...         each.mkdir()
    ...     one, two = (Ledger(folder, ["0000-0000", "0000-0001"]) for _ in range(2))
    ...     with one.take() as a, two.take() as b:
    ...         a.name, b.name, one.take()
    ('0000-0000', '0000-0001', None)
    """

    def __init__(self, folder: TiledFolder, order: Sequence[str], lease: float = LEASE) -> None:
        self.worker = secrets.token_hex(4)
        self._folder, self._order, self._lease = folder, order, lease
        self._seen: dict[str, tuple[bytes, float]] = {}  # of others' claims: content, and since when

    # ---- what is settled -----------------------------------------------------------------------

    def given_up(self) -> dict[str, str]:
        """Why tiles were given up, by their names."""
        reasons: dict[str, list[str]] = {}
        for path in sorted(self._folder.deaths.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # forgiven just now
                reason = path.read_text(encoding="utf-8")
                reasons.setdefault(path.name.rpartition(".")[0], []).append(reason)
        done = self._folder.done()
        tried = {name: found for name, found in reasons.items() if len(found) >= TRIES}
        return {name: found[-1] for name, found in tried.items() if name not in done}

    def settled(self) -> bool:
        """Whether every tile is done or given up."""
        return len(self._folder.done()) + len(self.given_up()) >= len(self._order)

    def note_death(self, name: str, reason: str) -> None:
        """Note that a worker did not live to end a tile."""
        for number in range(1, TRIES + 1):
            with (
                contextlib.suppress(FileExistsError),
                open(self._folder.deaths / f"{name}.{number}", "x", encoding="utf-8") as file,
            ):
                file.write(reason)
                return

    def forgive(self) -> None:
        """Forget all deaths: tiles that were given up are tried again."""
        for path in self._folder.deaths.iterdir():
            path.unlink(missing_ok=True)

    # ---- claims --------------------------------------------------------------------------------

    def take(self) -> Claim | None:
        """Claim the next tile that is free; None where there is none at this moment."""
        settled = self._folder.done() | self.given_up().keys()
        for name in self._order:
            if name in settled:
                continue
            claim = self._claim(name)
            if claim is None:
                continue
            if name in self._folder.done():  # since we looked
                claim.__exit__(None, None, None)
                continue
            return claim
        return None

    @contextlib.contextmanager
    def alive(self, claim: Claim) -> Iterator[None]:
        """Show signs of life for a claim while a block is on, from a thread."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(self._lease / _BEATS):
                with contextlib.suppress(OSError):
                    claim.beat()

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def bury(self, pid: int, reason: str) -> bool:
        """Note that a process of this host died, and give out its tile again.

        Returns:
            Whether it had one.
        """
        found = False
        for path in list(self._folder.claims.iterdir()):
            if self._owner(path) == (socket.gethostname(), pid):
                found = True
                self.note_death(path.name, reason)
                path.unlink(missing_ok=True)
        return found

    def clear_dead(self) -> None:
        """Give out the tiles of processes of this host that are no more, as after a power cut."""
        for path in list(self._folder.claims.iterdir()):
            host, pid = self._owner(path)
            if host == socket.gethostname() and not _runs(pid):
                path.unlink(missing_ok=True)

    def running(self) -> int:
        """How many tiles are claimed."""
        return len(os.listdir(self._folder.claims))

    def _owner(self, path: Path) -> tuple[str, int]:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return str(content["host"]), int(content["pid"])
        except (OSError, ValueError, LookupError, TypeError):
            return "", -1

    def _claim(self, name: str) -> Claim | None:
        path = self._folder.claims / name
        for _ in range(2):
            try:
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            except FileExistsError:
                if not self._has_lapsed(path):
                    return None
                continue
            self._seen.pop(name, None)
            return Claim(path, descriptor, self.worker)
        return None

    def _has_lapsed(self, path: Path) -> bool:
        """Whether a claim showed no sign of life for the lease; then it is out of the way."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # given back just now
            return True
        now, before = time.monotonic(), self._seen.get(path.name)
        if before is None or before[0] != content:
            self._seen[path.name] = content, now
            return False
        if now - before[1] < self._lease:
            return False
        aside = path.with_name(f".{path.name}.{self.worker}")
        try:
            path.rename(aside)  # one worker wins
        except FileNotFoundError:
            return True
        if aside.read_bytes() != content:  # another was quicker, and this is its fresh claim: put it back
            with contextlib.suppress(OSError):
                os.link(aside, path)
            aside.unlink()
            return False
        aside.unlink()
        self.note_death(path.name, f"its worker was not heard of for {self._lease:g} s")
        return True


def _runs(pid: int) -> bool:
    """Whether a process of this host is there, as far as one can ask."""
    if os.name == "nt":  # where signal 0 is no question
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
