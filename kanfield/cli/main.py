"""Parse the command line, run the command, and turn every failure into one line and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import kanfield
from kanfield.child import set_for_this_process
from kanfield.cli.commands import parse_command
from kanfield.cli.streams import lost_output, steady_streams
from kanfield.container import cores_are_taken
from kanfield.errors import Interrupted, KanfieldError
from kanfield.names import printable


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a failure is one line on standard error.

    Args:
        arguments: the command line without the program's name; by default that of the process.

    Raises:
        SystemExit: with the exit code, unless the command succeeded.
    """
    steady_streams()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments is None and words[:1] in (["fit"], ["work"]):
            _share_cores()
        if words in (["--version"], ["-V"]):
            print(f"kanfield {kanfield.__version__}")
        else:
            parse_command(words).run()
    except (KanfieldError, Interrupted) as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except MemoryError:
        _fail("out of memory: give a smaller image, --size or --crop", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(f"{where}{error.strerror or error}", 1)
    lost = lost_output()
    if lost is not None:
        _fail(f"standard output cannot be written ({lost.strerror}): make room, or print elsewhere", 1)


def _share_cores() -> None:
    """Let threads that wait for each other sleep, not spin, where other processes have taken some cores.

    A thread that spins takes its core from the one it waits for; alone, waking up takes longer.
    OpenMP reads this once, when torch loads it, and only a process of its own may be told so. Its workers
    look for themselves when they begin.
    """
    told = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if "torch" not in sys.modules and not told and cores_are_taken():
        set_for_this_process("OMP_WAIT_POLICY", "PASSIVE")


def _fail(message: str, code: int) -> None:
    from kanfield.process import leads_host

    if leads_host():  # of several processes one says it
        print(f"kanfield: {printable(message)}", file=sys.stderr)
    raise SystemExit(code)
