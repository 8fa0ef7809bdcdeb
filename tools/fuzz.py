"""Damaged files of every kind that kanfield reads: each is read, or refused in one line with exit code 2.

Everything else is a finding, saved with how to repeat it: a traceback, a crash, more than ``--limit``
seconds or 2 GB, a result that is not sane. The mutations depend on the seed and the case's number alone,
and the same command goes on where it was stopped::

    python tools/fuzz.py images --count 20000
    python tools/fuzz.py images --case 1234          # one case again, with its traceback
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from fuzz_kinds import KINDS

_START_SECONDS = 3600.0  # of a worker, which imports torch and writes the files that are damaged
_BYTES = 2 << 30  # over what a worker takes before its first case
_SAVE_EVERY = 50


@dataclass
class State:
    """How far the fuzzing has come: the content of ``state.json``."""

    done: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def read(cls, path: Path) -> State:
        """The state that is kept in a file; that of the beginning where there is none."""
        if not path.is_file():
            return cls()
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(content["done"], Counter(content["outcomes"]))

    def write(self, path: Path) -> None:
        """Keep the state."""
        path.write_text(json.dumps({"done": self.done, "outcomes": self.outcomes}), encoding="utf-8")


def serve(connection: Connection, kind: str, folder: Path) -> None:
    """A worker: prepares, then tries every (seed, number) that arrives and sends back how it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    inputs = KINDS[kind](folder)
    inputs.warm_up()
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + _BYTES, taken + _BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    connection.send("ready")
    while True:
        try:
            seed, number = connection.recv()
        except EOFError:
            return
        try:
            outcome = inputs.attempt(random.Random(f"{kind}/{seed}/{number}"))
        except MemoryError:
            outcome = "memory: MemoryError"
        except BaseException:
            outcome = "traceback: " + traceback.format_exc()
        connection.send(outcome)


class Worker:
    """A process that tries cases, started anew after one that killed it."""

    def __init__(self, kind: str, folder: Path, seconds: float) -> None:
        self._seconds = seconds
        self.connection, theirs = multiprocessing.get_context("spawn").Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, kind, folder), daemon=True
        )
        self.process.start()
        theirs.close()
        if self._answer(_START_SECONDS) != "ready":
            raise SystemExit("fuzz: the worker does not start; its error is above")

    def attempt(self, seed: int, number: int) -> str:
        """How a case ended; the worker is gone after a crash or a hang."""
        self.connection.send((seed, number))
        return self._answer(self._seconds)

    def _answer(self, seconds: float) -> str:
        try:
            if self.connection.poll(seconds):
                return str(self.connection.recv())
            self.process.kill()
            self.process.join()
            return f"hang: over {seconds:g} s"
        except (EOFError, ConnectionResetError):
            self.process.join()
            code = self.process.exitcode or 0
            return f"crash: {signal.Signals(-code).name if code < 0 else code}"

    @property
    def alive(self) -> bool:
        """Whether another case can be tried."""
        return self.process.is_alive()

    def stop(self) -> None:
        """End the process."""
        self.connection.close()
        self.process.join(5)
        self.process.kill()


def save(folder: Path, kind: str, seed: int, number: int, outcome: str) -> None:
    """Keep a finding: the damaged file, and in words what happened and how to repeat it."""
    name, data = KINDS[kind].damaged(folder, random.Random(f"{kind}/{seed}/{number}"))
    findings = folder / "findings"
    findings.mkdir(exist_ok=True)
    (findings / f"{number:06d}-{Path(name).name}").write_bytes(data)
    again = f"python tools/fuzz.py {kind} --seed {seed} --case {number}"
    (findings / f"{number:06d}.txt").write_text(f"{again}\nin place of {name}\n{outcome}\n", encoding="utf-8")


def fuzz(kind: str, seed: int, count: int, minutes: float, seconds: float, folder: Path) -> State:
    """Try cases of ``seconds`` at most up to number ``count``, or for so many minutes, from the last one."""
    state, worker, end = State.read(folder / "state.json"), None, time.monotonic() + 60 * minutes
    try:
        while state.done < count and time.monotonic() < end:
            if worker is None or not worker.alive:
                worker = Worker(kind, folder, seconds)
            outcome = worker.attempt(seed, state.done)
            short = outcome.split(":")[0]
            if short not in ("read", "refused"):
                save(folder, kind, seed, state.done, outcome)
                print(f"{state.done}: {' '.join(outcome.split())[-160:]}", flush=True)
            state.outcomes[short] += 1
            state.done += 1
            if state.done % _SAVE_EVERY == 0:
                state.write(folder / "state.json")
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
    finally:
        state.write(folder / "state.json")
        if worker is not None:
            worker.stop()
    return state


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and fuzz; exit code 1 where something was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--count", type=int, default=20_000, help="cases in all, those of before included")
    parser.add_argument("--minutes", type=float, default=1e6, help="stop after so many")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds after which a case hangs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="try this one alone, in this process")
    parser.add_argument("--out", type=Path, help="default: runs/fuzz/KIND-SEED")
    options = parser.parse_args(arguments)
    folder = (options.out or Path("runs/fuzz") / f"{options.kind}-{options.seed}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # before torch is imported: files are tiny, cores may be taken
    if options.case is not None:
        inputs = KINDS[options.kind](folder)
        print(inputs.attempt(random.Random(f"{options.kind}/{options.seed}/{options.case}")))
        return
    state = fuzz(options.kind, options.seed, options.count, options.minutes, options.limit, folder)
    print(
        f"{state.done} cases: " + ", ".join(f"{n} {outcome}" for outcome, n in sorted(state.outcomes.items()))
    )
    raise SystemExit(1 if set(state.outcomes) - {"read", "refused"} else 0)


if __name__ == "__main__":
    main()
