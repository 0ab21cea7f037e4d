"""A plug-in as others write them: a process of its own that answers Docker's plug-in protocol on a unix socket."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

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
