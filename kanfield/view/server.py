"""The page of ``kanfield view`` and the squares that it asks for, on this machine's own address alone."""

from __future__ import annotations

import io
import json
import math
import sys
import threading
from collections.abc import Sequence
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kanfield.errors import InputError, KanfieldError
from kanfield.names import printable
from kanfield.view.scene import DEEPER, SIDE, Scene

HOST = "127.0.0.1"
_USUAL_PORT = 80  # which browsers leave out
_KEPT = 1024  # squares
_POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'"
_STATIC = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/view.css": ("view.css", "text/css; charset=utf-8"),
    "/view.js": ("view.js", "text/javascript; charset=utf-8"),
    "/openseadragon.min.js": ("openseadragon.min.js", "text/javascript; charset=utf-8"),
}


class Server(ThreadingHTTPServer):
    """Serves some runs until it is shut down.

    Args:
        scenes: The runs.
        port: To listen on; 0 for any free one.

    Raises:
        InputError: The port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(self, scenes: Sequence[Scene], port: int = 0) -> None:
        self.scenes = list(scenes)
        self._drawing = threading.Lock()  # a field has all cores, one square at a time
        self.square = lru_cache(maxsize=_KEPT)(self._square)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"--port {port} cannot be used ({reason}): give another, or none") from None

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    @property
    def hosts(self) -> set[str]:
        """Names by which a browser may ask: a page of another site that points its name here is refused."""
        names, port = {HOST, "localhost"}, self.server_address[1]
        return {f"{name}:{port}" for name in names} | (names if port == _USUAL_PORT else set())

    def runs(self) -> bytes:
        """What the page needs to know of the runs, as JSON."""
        shown = [
            {
                "name": printable("/".join(scene.run.path.resolve().parts[-2:])),
                "width": scene.width,
                "height": scene.height,
                "layers": scene.layers,
                "note": scene.missing_image,
            }
            for scene in self.scenes
        ]
        return json.dumps({"side": SIDE, "deeper": DEEPER, "runs": shown}).encode()

    def _square(self, run: int, layer: str, level: int, column: int, row: int) -> bytes:
        with self._drawing:
            picture = self.scenes[run].square(layer, level, column, row)
        file = io.BytesIO()
        picture.save(file, "PNG", compress_level=1)
        return file.getvalue()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing where a browser has gone on before its answer came."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    def psnr(self, run: int, box: tuple[float, float, float, float]) -> bytes:
        """PSNR of a part as JSON: a number, ``"exact"`` or null."""
        with self._drawing:
            found = self.scenes[run].psnr(box)
        return json.dumps({"psnr": "exact" if found == math.inf else found}).encode()


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"ask for it by 127.0.0.1")
            return
        try:
            kind, content = self._answer()
        except InputError:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is nothing here")
        except KanfieldError as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", str(error).encode())
        else:
            self._send(HTTPStatus.OK, kind, content)

    def _answer(self) -> tuple[str, bytes]:
        url = urlsplit(self.path)
        if url.path in _STATIC:
            name, kind = _STATIC[url.path]
            return kind, (files("kanfield.view") / "static" / name).read_bytes()
        if url.path == "/runs.json":
            return "application/json", self.server.runs()
        kind, asked = _asked(url.path, parse_qs(url.query))
        if asked[0] not in range(len(self.server.scenes)):
            raise InputError("no such run")
        if kind == "squares":
            return "image/png", self.server.square(*asked)
        return "application/json", self.server.psnr(asked[0], asked[1:])

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", _POLICY)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of single requests."""


def _asked(path: str, query: dict[str, list[str]]) -> tuple[str, tuple[Any, ...]]:
    """What an address asks for: ``squares`` (run, layer, level, column, row) or ``psnr`` (run, box)."""
    try:
        what, run, *rest = path.strip("/").split("/")
        number = int(run)
        if what == "squares":
            layer, level, column, row = rest
            return what, (number, layer, int(level), int(column), int(row))
        left, top, right, bottom = (float(word) for word in query["box"][0].split(","))
        if what != "psnr" or rest or not all(map(math.isfinite, (left, top, right, bottom))):
            raise ValueError(path)
    except (LookupError, ValueError):
        raise InputError("no such address") from None
    return what, (number, left, top, right, bottom)
