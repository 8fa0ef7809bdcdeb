"""A page in headless Chromium, asked in real time, however busy the machine is.

Over the pipe of its DevTools protocol, https://chromedevtools.github.io/devtools-protocol: messages are JSON,
each ends with a zero byte.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LONGEST = 240  # seconds that an answer or a condition may take


class Page:
    """A page that is open.

    Args:
        asked: file descriptor that Chromium reads.
        told: file descriptor that it writes.
    """

    def __init__(self, asked: int, told: int) -> None:
        self._asked, self._told, self._count, self._read = asked, told, 0, b""
        self._session: dict[str, str] = {}
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + _LONGEST
        while not self.evaluate(condition):
            assert time.monotonic() < end, f"not in {_LONGEST} s: {condition}"
            time.sleep(0.1)

    def _call(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params, **self._session}
        os.write(self._asked, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._told], [], [], _LONGEST)
            more = os.read(self._told, 1 << 16) if ready else b""
            assert more, "Chromium ended or fell silent"
            self._read += more
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)


@contextmanager
def opened(browser: str, address: str, folder: Path) -> Iterator[Page]:
    """Open a page, close the browser afterwards.

    Args:
        browser: path of Chromium.
        address: of the page.
        folder: for the browser's own files.
    """
    (theirs, asked), (told, ours) = os.pipe(), os.pipe()
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    words += [f"--user-data-dir={folder}", address]
    # Chromium reads descriptor 3 and writes 4; a shell that can name those with two digits moves them there.
    shell = ["bash", "-c", f'exec "$@" 3<&{theirs} 4>&{ours} 2>/dev/null', "bash", *words]
    with subprocess.Popen(shell, pass_fds=(theirs, ours)) as process:
        os.close(theirs)
        os.close(ours)
        try:
            yield Page(asked, told)
        finally:
            process.terminate()
            os.close(asked)
            os.close(told)
