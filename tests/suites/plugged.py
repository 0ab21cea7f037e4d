"""A plug-in as others write them: a process of its own that answers Docker's plug-in protocol on a unix socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

SOCKETS = Path("/run/docker/plugins")
Answer = Callable[[str, dict[str, Any]], Any]


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def plugin(path: Path, answer: Answer) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """`answer(method, body)` gives a dictionary (200), a pair (status, bytes), or raw bytes for the whole response; yields
    the calls as they come. `Plugin.Activate` is asked like all others."""
    calls: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(raw) if raw else {}
            calls.append((self.path[1:], body))
            given = answer(self.path[1:], body)
            if isinstance(given, bytes):
                with contextlib.suppress(OSError):
                    self.wfile.write(given)
                self.close_connection = True
                return
            status, data = given if isinstance(given, tuple) else (200, json.dumps(given).encode())
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(data)

        def address_string(self) -> str:
            return "plugin"

        def log_message(self, format: str, *args: object) -> None: ...

    server = _Server(str(path), Handler)
    thread = threading.Thread(target=lambda: server.serve_forever(0.05))
    thread.start()
    try:
        yield calls
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        path.unlink(missing_ok=True)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


class Example:
    """The plug-in of a folder of `examples`, under a name of its own; `start` and `stop` may be repeated."""

    def __init__(self, folder: str, *arguments: object) -> None:
        self.name = f"lamella-test-{os.urandom(4).hex()}"
        self._command = [sys.executable, ROOT / "examples" / folder / "plugin.py", self.name, *map(str, arguments)]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while not _listens(SOCKETS / f"{self.name}.sock"):
            assert time.monotonic() < end and self._process.poll() is None
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(30)
            self._process = None


@contextlib.contextmanager
def example(folder: str, *arguments: object) -> Iterator[Example]:
    """One that runs."""
    made = Example(folder, *arguments)
    try:
        made.start()
        yield made
    finally:
        made.stop()
